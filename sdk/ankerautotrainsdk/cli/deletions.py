"""dataloop delete, deletions …, retention …"""

from __future__ import annotations

from typing import Annotated

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, Wait, object_argument, use
from ankerautotrainsdk.cli.session import open_client

group = typer.Typer(help="Deletions of images: list, show.", no_args_is_help=True)
retention = typer.Typer(help="Retention policies: list, show, create, change, try, delete.", no_args_is_help=True)
WhereText = Annotated[
    str | None,
    typer.Option("--where", help='Conditions of a search as a JSON object, or @file, e.g. \'{"regions": ["EU"]}\'.'),
]
Spare = Annotated[
    str | None, typer.Option("--spare", help="nothing, released, models or versions: what these use stays.")
]
Most = Annotated[int | None, typer.Option("--limit", min=1, help="Files that one run deletes at most.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Run it once a day.")]
Comment = Annotated[str | None, typer.Option("--comment")]


def delete(
    uids: Annotated[list[str] | None, typer.Argument(help="Uids of images.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the receipt.")] = "",
    query: Annotated[str | None, typer.Option("--query", help="Id of a saved query: what it finds now.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Delete images for good: from the bucket, from every dataset version, from everything made of them."""
    use(as_json)
    if not yes:
        what = f"{len(uids or [])} images" if query is None else f"what the query {query} finds"
        typer.confirm(f"Delete {what} for good? Nothing brings them back", abort=True, err=True)
    with open_client() as client:
        task = client.delete_images(uids, reason, query_id=query)
        left = task.deletion
        if not as_json:
            for uid in left.unknown:
                typer.echo(f"{uid}: nobody knows it", err=True)
            for uid, deletion_id in left.already.items():
                typer.echo(f"{uid}: was deleted before, by {deletion_id}", err=True)
        output.emit(client.wait_for_task(task, timeout_s=timeout) if wait else task)


@group.command("list")
def list_(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """Deletions, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_deletions(limit=limit, cursor=cursor)
    output.table(page, page, ("deletion_id", "status", "count", "created_at", "reason"))


@group.command()
def show(deletion_id: str, as_json: Json = False) -> None:
    """One deletion with its receipt."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_deletion(deletion_id))


@retention.command("list")
def list_policies(as_json: Json = False) -> None:
    """All policies."""
    use(as_json)
    with open_client() as client:
        found = client.list_retention_policies()
    output.table({"items": found}, found, ("policy_id", "name", "older_than_days", "spare", "enabled", "last_run_at"))


@retention.command("show")
def show_policy(policy_id: str, as_json: Json = False) -> None:
    """One policy with what its last runs did."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_retention_policy(policy_id))


@retention.command()
def create(
    name: str,
    older_than_days: Annotated[int, typer.Option("--older-than-days", min=1, help="Since a file was first seen.")],
    where: WhereText = None,
    spare: Spare = None,
    limit: Most = None,
    enable: Enabled = None,
    comment: Comment = None,
    as_json: Json = False,
) -> None:
    """Make a policy. Look at what it would do (`dataloop retention try`) before it is enabled."""
    use(as_json)
    conditions = object_argument(where, "--where")
    with open_client() as client:
        wish = {"where": conditions, "spare": spare, "limit": limit, "enabled": enable, "comment": comment}
        output.emit(client.save_retention_policy(name, older_than_days, **wish))  # type: ignore[arg-type]


@retention.command()
def change(
    policy_id: str,
    older_than_days: Annotated[int | None, typer.Option("--older-than-days", min=1)] = None,
    where: WhereText = None,
    spare: Spare = None,
    limit: Most = None,
    enable: Enabled = None,
    comment: Comment = None,
    as_json: Json = False,
) -> None:
    """Change what is given; the rest stays."""
    use(as_json)
    given = {
        "older_than_days": older_than_days,
        "where": object_argument(where, "--where"),
        "spare": spare,
        "limit": limit,
        "enabled": enable,
        "comment": comment,
    }
    with open_client() as client:
        output.emit(client.change_retention_policy(policy_id, **{k: v for k, v in given.items() if v is not None}))


@retention.command("try")
def try_policy(policy_id: str, as_json: Json = False) -> None:
    """What a policy would delete now; deletes nothing."""
    use(as_json)
    with open_client() as client:
        output.emit(client.try_retention_policy(policy_id))


@retention.command("delete")
def delete_policy(policy_id: str, as_json: Json = False) -> None:
    """Forget a policy; what it deleted stays deleted."""
    use(as_json)
    with open_client() as client:
        client.delete_retention_policy(policy_id)
    output.emit({"policy_id": policy_id, "deleted": True}, f"{policy_id} deleted")
