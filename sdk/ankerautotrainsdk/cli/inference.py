"""dataloop infer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Json, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.errors import DataloopError


def infer(
    images: Annotated[list[str], typer.Argument(help="Image files, or uids of uploaded images.")],
    release: Annotated[str | None, typer.Option("--release", help="The model that this name stands for.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model of this id.")] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="By default the model's own.")] = None,
    most: Annotated[int | None, typer.Option("--max-predictions", min=1, help="Of an image.")] = None,
    as_json: Json = False,
) -> None:
    """What a model sees in some images, now."""
    use(as_json)
    if (release is None) == (model is None):
        raise typer.BadParameter("give either --release or --model")
    with open_client() as client:
        outcomes = client.infer(images, release=release, model_id=model, min_score=min_score, max_predictions=most)
    rows: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    for image, outcome in zip(images, outcomes, strict=True):
        if isinstance(outcome, DataloopError):
            items.append({"image": image, "error": outcome.to_dict()})
            if not as_json:
                typer.echo(f"{image}: {outcome.code}: {outcome.message}", err=True)
            continue
        items.append({"image": image, **outcome.to_dict()})
        rows += [_row(image, found) for found in outcome.to_dict()["predictions"]]
    has_masks = any(found.get("mask") for item in items for found in item.get("predictions", []))
    note = f"{len(rows)} predictions in {len(items) - len(outcomes.errors)} images"
    note += "; --json has their masks" if has_masks else ""
    output.table({"items": items}, rows, ("image", "label", "score", "left", "top", "width", "height"), note)
    if outcomes.errors:
        raise typer.Exit(1)


def _row(image: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"image": image, "label": found["label"], "score": found["score"], **(found["box"] or {})}
