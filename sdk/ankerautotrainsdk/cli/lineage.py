"""dataloop why: from any id to what it came from, and to what was made of it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Json, Timeout, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.cli.versions import verdict
from ankerautotrainsdk.client import AnkerAutoTrainSDK
from ankerautotrainsdk.errors import InvalidInput
from ankerautotrainsdk.results import Record

# What is listed of the images of a version, and of the versions an image is in.
IMAGES = ("uid", "split", "annotations", "object_name", "version_id")
PLACES = ("dataset_name", "dataset_version", "split", "annotations", "version_id", "digest")


def why(
    id: Annotated[str, typer.Argument(help="A model, release, dataset version, annotation or file (uid).")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="Images to show.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Show every image.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every digest; exit code 1 when one is wrong.")
    ] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """What an id came from, down to images and annotations, and what was made of it."""
    use(as_json)
    with open_client() as client:
        found = client.trace(id)
        rows, more = _images(client, found, None if everything else limit)
        proof = _verified(client, found, timeout) if verify else None
    whole: dict[str, Any] = {**found.to_dict(), "items": rows, "more": more}
    if proof is not None:
        whole["verification"] = proof
    if not as_json:
        for line in _chain(found):
            typer.echo(line)
    shown = [
        {**row, "annotations": len(row.get("annotation_ids") or ()), "digest": (row.get("digest") or "")[:12]}
        for row in rows
    ]
    note = "there are more images: --all shows every one" if more else f"{len(rows)} images" if rows else ""
    if as_json or rows:
        is_used = found.kind in ("image", "annotation")
        note = f"{len(rows)} dataset versions" if is_used else note
        output.table(whole, shown, PLACES if is_used else IMAGES, note)
    if proof is not None:
        if not as_json:
            typer.echo("\n".join(verdict(proof)))
        if not proof["sound"]:
            raise typer.Exit(1)


def _images(client: AnkerAutoTrainSDK, found: Record, limit: int | None) -> tuple[list[dict[str, Any]], bool]:
    """What is listed below: the images of a version, or the versions an image is in."""
    if found.kind in ("image", "annotation"):
        return [place.to_dict() for place in found.used.places], False
    version = found.get("dataset")
    if not version or version.status != "READY":
        return [], False
    rows = [
        row.to_dict() for row in islice(client.iter_images(version.dataset_id), None if limit is None else limit + 1)
    ]
    return rows[:limit], limit is not None and len(rows) > limit


def _verified(client: AnkerAutoTrainSDK, found: Record, timeout: float | None) -> dict[str, Any]:
    """The verdict on the version behind a model, a release or the version itself."""
    version = found.get("dataset")
    if not version:
        raise InvalidInput(
            "--verify checks the version behind a model, a release or a dataset", details={"kind": found.kind}
        )
    task = client.verify_dataset(version.dataset_id, wait=True, timeout_s=timeout)
    return dict((task.result or Record()).to_dict())


def _chain(found: Record) -> list[str]:
    """One line a link of the chain, from what was asked for to where it came from, and then what was made of it."""
    lines = []
    if release := found.get("release"):
        lines.append(f"release     {release.name} {release.status}  {release.release_id}")
    if model := found.get("model"):
        lines.append(f"model       {model.name} {model.version}  {model.model_id}")
        lines += [f"touched     by deletion {each.deletion_id} at {each.at}" for each in model.get("touched_by") or ()]
    if dataset := found.get("dataset"):
        lines.append(f"dataset     {dataset.dataset_name} {dataset.dataset_version}  {dataset.dataset_id}")
        lines.append(f"digest      {dataset.digest or 'not built'}")
        if dataset.get("deletion"):
            lines.append(
                f"deleted     {dataset.deletion.at} by {dataset.deletion.by or 'the sweep'}: its images are gone"
            )
        if dataset.get("erased"):
            lines.append(f"erased      {dataset.erased} of its images were deleted since")
    if annotation := found.get("annotation"):
        labels = ", ".join(sorted({label.label for label in annotation.labelInfo})) or "no labels"
        lines.append(f"annotation  {annotation.labelMethod or annotation.annotationType}: {labels}")
        lines += [f"file        {uid}" for uid in annotation.dataId]
    if image := found.get("image"):
        lines.append(f"file        {image.uid} {image.status}  sha256 {image.sha256 or 'not known'}")
    used = found.used
    lines += [f"taught      model {each.name} {each.version}  {each.model_id}" for each in used.models]
    others = [each for each in used.releases if each.release_id != found.id]
    lines += [f"released    {each.name} {each.status}  {each.release_id}" for each in others]
    lines += [f"in use      {name}" for name in used.current]
    return lines
