"""dataloop search, queries …"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, Wait, object_argument, use
from ankerautotrainsdk.cli.session import open_client

queries = typer.Typer(help="Saved searches: save, list, show, delete, dataset.", no_args_is_help=True)
Texts = list[str] | None
WhereText = Annotated[
    str | None, typer.Option("--where", help="More conditions as a JSON object, or @file, e.g. '{\"min_score\": 0.3}'.")
]
Labels = Annotated[Texts, typer.Option("--label", help="Carries one of these labels; repeatable.")]
Without = Annotated[Texts, typer.Option("--without", help="Carries none of these labels; repeatable.")]
Region = Annotated[Texts, typer.Option("--region", help="Of one of these regions; repeatable.")]
SourceType = Annotated[Texts, typer.Option("--source", help="Of one of these sourceInfo.type; repeatable.")]
FirstDay = Annotated[str | None, typer.Option("--from", help="First day, yyyy-mm-dd.")]
LastDay = Annotated[str | None, typer.Option("--to", help="Last day, yyyy-mm-dd.")]
State = Annotated[str | None, typer.Option("--state", help="none, suggested or labelled.")]


def where_of(
    text: str | None,
    label: Texts,
    without: Texts,
    region: Texts,
    source: Texts,
    first_day: str | None,
    last_day: str | None,
    state: str | None,
) -> dict[str, Any]:
    """The `where` of a search from the options; --where adds what they cannot say."""
    given = {
        "any_label": label,
        "no_label": without,
        "regions": region,
        "sources": source,
        "first_day": first_day,
        "last_day": last_day,
        "state": state,
    }
    return {name: value for name, value in given.items() if value} | (object_argument(text, "--where") or {})


def search(
    label: Labels = None,
    without: Without = None,
    region: Region = None,
    source: SourceType = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
    state: State = None,
    where: WhereText = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Files at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Find files by what they state and what is said of them."""
    use(as_json)
    wanted = where_of(where, label, without, region, source, first_day, last_day, state)
    with open_client() as client:
        found = list(islice(client.find_raw_data(wanted), limit))
    rows = [dict(one) | {"object_name": next((at["object_name"] for at in one["locations"]), "")} for one in found]
    output.table(found if as_json else rows, rows, ("uid", "object_name", "width", "height", "last_seen"))


@queries.command()
def save(
    name: str,
    label: Labels = None,
    without: Without = None,
    region: Region = None,
    source: SourceType = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
    state: State = None,
    where: WhereText = None,
    comment: Annotated[str | None, typer.Option("--comment")] = None,
    as_json: Json = False,
) -> None:
    """Keep a search under a name."""
    use(as_json)
    wanted = where_of(where, label, without, region, source, first_day, last_day, state)
    with open_client() as client:
        made = client.save_query(name, wanted, comment)
    output.emit(made, made["query_id"])


@queries.command("list")
def list_(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """Saved searches, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_queries(limit=limit, cursor=cursor)
    output.table(page, page, ("query_id", "name", "revision", "updated_at", "comment"))


@queries.command()
def show(query_id: str, as_json: Json = False) -> None:
    """One saved search with its conditions."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_query(query_id))


@queries.command()
def delete(query_id: str, as_json: Json = False) -> None:
    """Forget a saved search; datasets made from it stay."""
    use(as_json)
    with open_client() as client:
        client.delete_query(query_id)
    output.emit({"query_id": query_id, "deleted": True}, f"{query_id} deleted")


@queries.command()
def dataset(
    query_id: str,
    name: str,
    version: str,
    annotation_type: Annotated[str | None, typer.Option("--type", help="annotationType, e.g. detection.")] = None,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Of pictures that look alike, only the first.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Make a draft of what the search finds now."""
    use(as_json)
    info = {"datasetName": name, "datasetVersion": version}
    if annotation_type:
        info["annotationType"] = annotation_type
    near = "keep_first" if keep_first else None
    with open_client() as client:
        task = client.dataset_from_query(query_id, info, near_duplicates=near, wait=wait, timeout_s=timeout)
    output.emit(task)
