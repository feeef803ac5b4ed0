"""dataloop predict, auto-annotate, select, sensitivity: what models say of images that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Json, Timeout, Wait, json_argument, use
from ankerautotrainsdk.cli.session import open_client

Uids = Annotated[list[str] | None, typer.Argument(help="Uids of images.")]
UidsFrom = Annotated[
    Path | None, typer.Option("--uids", exists=True, dir_okay=False, help="File: a JSON list, or one uid a line.")
]
Since = Annotated[str | None, typer.Option("--from", help="First day their object came, yyyy-mm-dd.")]
Until = Annotated[str | None, typer.Option("--to", help="Last day.")]
Source = Annotated[list[str] | None, typer.Option("--source", help="sourceInfo.type; repeatable.")]
Region = Annotated[list[str] | None, typer.Option("--region", help="Repeatable.")]
Labels = Annotated[str | None, typer.Option("--labels", help="any, none, suggested or labelled.")]
Most = Annotated[int | None, typer.Option("--limit", min=1, help="Images of the query at most.")]
Model = Annotated[str | None, typer.Option("--model", help="Id of a model.")]
Release = Annotated[str | None, typer.Option("--release", help="Name of a release: the model it stands for now.")]
MinScore = Annotated[float | None, typer.Option("--min-score", min=0, max=1, help="Leave out what is less sure.")]


def predict(
    uids: Uids = None,
    uids_from: UidsFrom = None,
    since: Since = None,
    until: Until = None,
    source: Source = None,
    region: Region = None,
    labels: Labels = None,
    limit: Most = None,
    model: Model = None,
    release: Release = None,
    min_score: MinScore = None,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Let a model look at many images. Without uids: those of a day (today) or of --from … --to."""
    use(as_json)
    images = _images(uids, uids_from, since, until, source, region, labels, limit)
    with open_client() as client:
        task = client.predict_images(
            **images, model_id=model, release=release, min_score=min_score, wait=wait, timeout_s=timeout
        )
    output.emit(task)


def auto_annotate(
    uids: Uids = None,
    uids_from: UidsFrom = None,
    since: Since = None,
    until: Until = None,
    source: Source = None,
    region: Region = None,
    labels: Labels = None,
    limit: Most = None,
    model: Model = None,
    release: Release = None,
    min_score: MinScore = None,
    include_labelled: Annotated[
        bool, typer.Option("--include-labelled", help="Also images that people labelled.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Let a teacher suggest labels: its predictions become annotations of the method auto."""
    use(as_json)
    images = _images(uids, uids_from, since, until, source, region, labels, limit)
    with open_client() as client:
        task = client.auto_annotate(
            **images,
            model_id=model,
            release=release,
            min_score=min_score,
            include_labelled=include_labelled or None,
            wait=wait,
            timeout_s=timeout,
        )
    output.emit(task)


def select(
    count: Annotated[int, typer.Argument(min=1, help="How many images to choose.")],
    uids: Uids = None,
    uids_from: UidsFrom = None,
    since: Since = None,
    until: Until = None,
    source: Source = None,
    region: Region = None,
    labels: Labels = None,
    limit: Most = None,
    model: Model = None,
    release: Release = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="random, uncertainty, diversity or uncertainty_diversity.")
    ] = "random",
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    measure: Annotated[str | None, typer.Option("--measure", help="margin or entropy.")] = None,
    per_group: Annotated[int | None, typer.Option("--per-group", min=0, help="Images of one scene at most.")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Take turns between the labels the model sees.")] = False,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Keep near-duplicates; by default one of each group is taken.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Choose the images that are worth a person's time, with reasons."""
    use(as_json)
    images = _images(uids, uids_from, since, until, source, region, labels, limit)
    with open_client() as client:
        task = client.select_images(
            count,
            **images,
            strategy=strategy,
            seed=seed,
            measure=measure,
            per_group=per_group,
            balance=balance or None,
            near_duplicates=near_duplicates or None,
            model_id=model,
            release=release,
            wait=wait,
            timeout_s=timeout,
        )
    output.emit(task)


def sensitivity(model_id: str, wait: Wait = True, timeout: Timeout = None, as_json: Json = False) -> None:
    """Measure how much of each layer a model can lose: what pruning goes by."""
    use(as_json)
    with open_client() as client:
        output.emit(client.sensitivity(model_id, wait=wait, timeout_s=timeout))


def _images(
    uids: list[str] | None,
    uids_from: Path | None,
    since: str | None,
    until: str | None,
    source: list[str] | None,
    region: list[str] | None,
    labels: str | None,
    limit: int | None,
) -> dict[str, Any]:
    """`uids` or `query` of a call. Raises a usage error when both were given."""
    named = list(uids or [])
    if uids_from is not None:
        text = uids_from.read_text("utf-8").strip()
        named += json_argument(text, "--uids") if text.startswith("[") else text.split()
    query = {"from": since, "to": until, "sources": source, "regions": region, "labels": labels, "limit": limit}
    given = {name: value for name, value in query.items() if value}
    if named and given:
        raise typer.BadParameter(f"give uids or a query, not both ({', '.join(given)})")
    return {"uids": named} if named else {"query": given}
