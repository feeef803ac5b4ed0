"""dataloop datasets history, tag, untag, restore, diff, verify, delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.data import datasets as group
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.client import AnkerAutoTrainSDK
from ankerautotrainsdk.errors import NotFound
from ankerautotrainsdk.results import Record

__all__ = ["group"]
Name = Annotated[str, typer.Argument(help="Name of the dataset.")]
Version = Annotated[str, typer.Argument(help="Version, or a tag.")]
Force = Annotated[bool, typer.Option("--force", help="Also when models learnt from it; needs the scope admin.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
# Labels that the summary on the screen shows; the page and --json have more.
SHOWN = 20
IMAGES = {
    "added": "added",
    "removed": "removed",
    "erased": "erased for good",
    "relabelled": "labelled anew",
    "moved": "moved between splits",
    "metadata": "described anew",
    "annotations": "other annotations, same labels",
    "unchanged": "unchanged",
}
LABELS = {
    "added": "labels added",
    "removed": "labels removed",
    "renamed": "labels renamed",
    "box": "boxes moved",
    "mask": "masks drawn anew",
    "score": "scores changed",
    "crowd": "crowd marks changed",
    "nudge": "boxes moved by less than counts",
}


@group.command()
def series(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """Datasets, newest first, with their tags and newest versions."""
    use(as_json)
    with open_client() as client:
        page = client.list_series(limit=limit, cursor=cursor)
    rows = [
        {
            "series_id": each.series_id,
            "name": each.name,
            "versions": " ".join(version.dataset_version for version in each.versions),
            "tags": " ".join(each.tags),
        }
        for each in page
    ]
    note = f"more: --cursor {page.cursor}" if page.cursor else ""
    output.table(page, rows, ("series_id", "name", "versions", "tags"), note)


@group.command()
def history(name: Name, limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """All versions of a dataset, newest first, also deleted ones."""
    use(as_json)
    with open_client() as client:
        page = client.list_versions(_series(client, name).series_id, limit=limit, cursor=cursor)
    rows = [
        {
            **{column: version.get(column) for column in ("dataset_id", "dataset_version", "status", "created_at")},
            "images": sum((version.get("counts") or {}).values()) or None,
            "tags": " ".join(version.tags),
            "digest": (version.digest or "")[:12] or None,
        }
        for version in page
    ]
    columns = ("dataset_id", "dataset_version", "status", "images", "tags", "digest", "created_at")
    output.table(page, rows, columns, f"more: --cursor {page.cursor}" if page.cursor else "")


def _series(client: AnkerAutoTrainSDK, name: str) -> Record:
    for each in client.list_series(name):
        return each
    raise NotFound(f"there is no dataset {name!r}", details={"entity": "dataset", "id": name})


@group.command()
def tag(name: Name, version: Version, tag: str, as_json: Json = False) -> None:
    """Let a tag stand for a version from now on: it can be given wherever a version is."""
    use(as_json)
    with open_client() as client:
        found = client.find_dataset(name, version)
        answer = client.tag_dataset(found.dataset_id, tag)
    output.emit(answer, f"{name} {tag} is {name} {found.dataset_version} now")


@group.command()
def untag(name: Name, tag: str, as_json: Json = False) -> None:
    """Forget a tag."""
    use(as_json)
    with open_client() as client:
        tags = _series(client, name).tags
        if tag not in tags:
            raise NotFound(f"dataset {name!r} has no tag {tag!r}", details={"entity": "tag", "id": tag})
        answer = client.untag_dataset(tags[tag], tag)
    output.emit(answer, f"{name} {tag} is forgotten")


@group.command()
def restore(
    name: Name,
    version: Version,
    new_version: Annotated[str, typer.Argument(help="Name of the new draft.")],
    as_json: Json = False,
) -> None:
    """Make a new draft with the members of an older version."""
    use(as_json)
    with open_client() as client:
        answer = client.restore_dataset(client.find_dataset(name, version).dataset_id, new_version)
    output.emit(answer, answer.dataset_id)


@group.command()
def diff(
    name: Name,
    before: Annotated[str, typer.Argument(help="The older version, or a tag.")],
    after: Annotated[str, typer.Argument(help="The newer version, or a tag.")],
    other: Annotated[str | None, typer.Option("--other", help="Dataset of the newer version, if another one.")] = None,
    directory: Annotated[
        str | None, typer.Option("--directory", "-d", help="Save diff.jsonl and diff.html in this folder.")
    ] = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """What changed from one built version to another."""
    use(as_json)
    with open_client() as client:
        sides = client.find_dataset(name, before), client.find_dataset(other or name, after)
        ids = [side.dataset_id for side in sides]
        task = client.diff_datasets(*ids, wait=True, timeout_s=timeout)
        saved = [
            client.download_task_file(task.task_id, file, directory, overwrite=True).path
            for file in ("diff.jsonl", "diff.html")
            if directory is not None
        ]
    output.emit(task, "\n".join([*_summary(task.result or {}), *saved]))


def _summary(found: dict[str, Any]) -> list[str]:
    """The numbers of a diff in words, what is 0 left out."""
    before, after = found["before"], found["after"]
    lines = [f"{before['name']} {before['version']} → {after['name']} {after['version']}"]
    if found["is_same"]:
        return [*lines, f"the same: {sum(after['counts'].values())} images, digest {after['digest']}"]
    images = [(found["images"][key], word) for key, word in IMAGES.items()]
    lines += ["images", *(f"  {count:>8}  {word}" for count, word in images if count)]
    lines += [f"  {move['images']:>8}  {move['from']} → {move['to']}" for move in found["moves"]]
    labels = [(found["labels"][key], word) for key, word in LABELS.items() if found["labels"][key]]
    if labels:
        lines += ["labels of images in both", *(f"  {count:>8}  {word}" for count, word in labels)]
    if found["statistics"]:
        lines.append("labels whose counts differ")
    for label, sides in list(found["statistics"].items())[:SHOWN]:
        old, new = sum(sides["before"].values()), sum(sides["after"].values())
        # The same number may lie in other splits.
        lines.append(f"  {new - old:>+8}  {label} ({old} → {new})")
    left_out = max(0, len(found["statistics"]) - SHOWN) + found["labels_not_shown"]
    return [*lines, f"  and {left_out} more"] if left_out else lines


@group.command()
def verify(name: Name, version: Version, timeout: Timeout = None, as_json: Json = False) -> None:
    """Does a version still hold what its digest says, down to each object? Exit code 1 when it does not."""
    use(as_json)
    with open_client() as client:
        dataset_id = client.find_dataset(name, version).dataset_id
        task = client.verify_dataset(dataset_id, wait=True, timeout_s=timeout)
    found = dict(task.result or {})
    output.emit(task, "\n".join(verdict(found)))
    if not found["sound"]:
        raise typer.Exit(1)


def verdict(found: dict[str, Any]) -> list[str]:
    """A verification in words."""
    images, annotations, report = found["images"], found["annotations"], found["report"]
    lines = [
        "sound" if found["sound"] else "NOT SOUND",
        f"digest       {found['digest']}",
        f"computed     {found['computed_digest']}",
        f"objects      {images['proved']} of {images['looked_at']} proved by their checksum"
        + (f" ({images['all']} in all)" if images["all"] != images["looked_at"] else ""),
        f"annotations  {annotations['proved']} of {annotations['looked_at']} proved by their id",
    ]
    if found["erased"]:
        lines.append(f"erased       {found['erased']} images, by their tombstones")
    lines += [f"{problem['file']}: {problem['reason']}" for problem in found["problems"]]
    for what, count in report["counts"].items():
        lines.append(f"{count} {what.replace('_', ' ')}, e.g. {', '.join(report['examples'][what][:3])}")
    return lines


@group.command()
def delete(
    name: Name,
    version: Annotated[str | None, typer.Argument(help="Version, or a tag; without it the whole dataset.")] = None,
    force: Force = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a version, or a dataset with all its versions."""
    use(as_json)
    with open_client() as client:
        if version is None:
            found = _series(client, name)
            _confirm(f"delete {name} with all its versions?", yes or as_json)
            answer = client.delete_series(found.series_id, force=force)
        else:
            found = client.find_dataset(name, version)
            _confirm(f"delete {name} {found.dataset_version} ({found.status})?", yes or as_json)
            answer = client.delete_dataset(found.dataset_id, force=force)
    output.emit(answer, f"{name}{'' if version is None else f' {found.dataset_version}'}: {answer.status}")


def _confirm(question: str, is_sure: bool) -> None:
    if not is_sure:
        typer.confirm(question, abort=True)
