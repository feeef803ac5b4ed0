"""dataloop import, dataloop formats, dataloop datasets export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.data import datasets
from ankerautotrainsdk.cli.options import Json, Timeout, Wait, object_argument, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.results import Task


def import_(
    path: Annotated[Path, typer.Argument(help="A folder of pictures and labels, or one label file.")],
    format: Annotated[str, typer.Option("--format", help="A name of `dataloop formats`, or auto.")] = "auto",
    directory: Annotated[str, typer.Option("--directory", "-d", help="Prefix of the pictures in the storage.")] = "",
    on_error: Annotated[
        str, typer.Option("--on-error", help="stop: anything wrong, and nothing comes in; skip: the rest does.")
    ] = "stop",
    dataset: Annotated[str | None, typer.Option("--dataset", help="A draft that gets the annotations.")] = None,
    raw_data: Annotated[
        str | None, typer.Option("--raw-data", help="File information for every picture: a JSON object, or @file.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=64, help="Uploads at a time.")] = 8,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Upload pictures and label files of a folder, and import what they say."""
    use(as_json)
    information = object_argument(raw_data, "--raw-data")
    with open_client() as client:
        task = client.import_folder(
            path,
            directory,
            format=format,
            on_error=on_error,
            dataset_id=dataset,
            raw_data=information,
            parallel=parallel,
            wait=wait,
            timeout_s=timeout,
        )
    if not as_json:
        for problem in (task.get("result") or {}).get("problems") or ():
            typer.echo(f"{problem['item']}: {problem['reason']}", err=True)
        for what, count in ((task.get("result") or {}).get("losses") or {}).items():
            typer.echo(f"not taken: {what} ({count} times)", err=True)
    output.emit(task, _told(task) if task.status == "SUCCEEDED" else None)


def _told(task: Task) -> str:
    result: Any = task.result
    words = [f"{result.registered} annotations from {result.format}"]
    words += [f"{result[name]} {name}" for name in ("failed", "missing") if result.get(name)]
    words += [f"{result.linked} linked"] if result.get("linked") else []
    return ", ".join(words)


def formats(as_json: Json = False) -> None:
    """Which label formats can be imported and exported."""
    use(as_json)
    with open_client() as client:
        found = client.list_formats()
    rows = [
        {"name": each.name, "import": _mark(each.reads), "export": _mark(each.writes), "title": each.title}
        for each in found
    ]
    output.table([each.to_dict() for each in found], rows, ("name", "import", "export", "title"))


def _mark(value: bool) -> str:
    return "yes" if value else ""


@datasets.command()
def export(
    dataset_id: str,
    format: Annotated[str, typer.Option("--format", help="A name of `dataloop formats`.")],
    images: Annotated[bool, typer.Option("--images", help="Also the pictures' own files.")] = False,
    directory: Annotated[str, typer.Option("--directory", "-d", help="Local folder.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Pack a built dataset version in another format, and download it."""
    use(as_json)
    with open_client() as client:
        task = client.export_dataset(dataset_id, format, images=images, wait=True, timeout_s=timeout)
        done = client.download_archive(task, directory, overwrite=overwrite)
    losses = (task.get("result") or {}).get("losses") or {}
    if not as_json:
        for what, count in losses.items():
            typer.echo(f"not in {format}: {what} ({count} times)", err=True)
    output.emit({**done.to_dict(), "losses": dict(losses)}, done.path)
