"""dataloop train, evaluate, export, why, models …"""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, Wait, parameters, use
from ankerautotrainsdk.cli.session import open_client

group = typer.Typer(help="Models: list, show, files, download.", no_args_is_help=True)


def train(
    dataset_id: str,
    task_type: Annotated[str | None, typer.Option("--task-type", help="detection or classification.")] = None,
    architecture: Annotated[str | None, typer.Option("--architecture")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value, e.g. epochs=3.")] = None,
    model_name: Annotated[str | None, typer.Option("--model-name")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Model to start from.")] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Train a model on a built dataset version."""
    use(as_json)
    with open_client() as client:
        task = client.train(
            dataset_id,
            task_type=task_type,
            architecture=architecture,
            parameters=parameters(param or []),
            model_name=model_name,
            parent_model_id=parent,
            wait=wait,
            timeout_s=timeout,
        )
    output.emit(task)


def evaluate(model_id: str, dataset_id: str, wait: Wait = True, timeout: Timeout = None, as_json: Json = False) -> None:
    """Measure a model on the test split of a built dataset version."""
    use(as_json)
    with open_client() as client:
        output.emit(client.evaluate(model_id, dataset_id, wait=wait, timeout_s=timeout))


def export(
    model_id: str,
    format: Annotated[str, typer.Option("--format")] = "onnx",
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Export a model, verified against the original."""
    use(as_json)
    with open_client() as client:
        output.emit(client.export(model_id, format, wait=wait, timeout_s=timeout))


def why(
    model_id: str,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Images to show.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Show every image.")] = False,
    as_json: Json = False,
) -> None:
    """Which dataset version, images and annotations made this model."""
    use(as_json)
    with open_client() as client:
        head = client.why(model_id, limit=1)
        rows = [row.to_dict() for row in islice(client.iter_lineage(model_id), None if everything else limit + 1)]
    more = not everything and len(rows) > limit
    rows = rows[:limit] if more else rows
    model, dataset = head.get("model") or {}, head.get("dataset") or {}
    whole = {"model": output.plain(model), "dataset": output.plain(dataset), "items": rows, "more": more}
    if not as_json:
        typer.echo(f"model    {model.get('name', '')} {model.get('version', '')}  {model.get('model_id', model_id)}")
        typer.echo(f"dataset  {dataset.get('name', '')} {dataset.get('version', '')}  {dataset.get('digest', '')}")
    for row in rows:
        row["annotations"] = len(row.get("annotation_ids") or ())
    note = "there are more images: --all shows every one" if more else f"{len(rows)} images"
    output.table(whole, rows, ("uid", "split", "annotations", "object_name", "version_id"), note)


@group.command("list")
def list_(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """Models, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_models(limit=limit, cursor=cursor)
    columns = ("model_id", "name", "version", "status", "task_type")
    output.table(page, page, columns, f"more: --cursor {page.cursor}" if page.cursor else "")


@group.command()
def show(model_id: str, as_json: Json = False) -> None:
    """One model: dataset, metrics, artefacts."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_model(model_id))


@group.command()
def files(model_id: str, as_json: Json = False) -> None:
    """The files of a model."""
    use(as_json)
    with open_client() as client:
        rows = [each.to_dict() for each in client.get_model_files(model_id)]
    output.table({"items": rows}, rows, ("name", "size_bytes"))


@group.command()
def download(
    model_id: str,
    name: Annotated[str, typer.Argument(help="File name as `models files` shows it.")] = "model.onnx",
    directory: Annotated[str, typer.Option("--directory", "-d", help="Local folder.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Download one file of a model."""
    use(as_json)
    with open_client() as client:
        done = client.download_model_file(model_id, name, directory, overwrite=overwrite)
    output.emit(done, done.path)
