"""dataloop train, evaluate, export, models …"""

from __future__ import annotations

from typing import Annotated

import typer

from ankerautotrainsdk import on_sagemaker
from ankerautotrainsdk.cli import output, sagemaker
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, Wait, parameters, use
from ankerautotrainsdk.cli.session import open_client

group = typer.Typer(help="Models: list, show, files, download.", no_args_is_help=True)


def train(
    dataset_id: str,
    task_type: Annotated[str | None, typer.Option("--task-type", help="What to learn, e.g. detection.")] = None,
    architecture: Annotated[str | None, typer.Option("--architecture")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value, e.g. epochs=3.")] = None,
    model_name: Annotated[str | None, typer.Option("--model-name")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Model to start from.")] = None,
    prune: Annotated[
        float | None, typer.Option("--prune", min=0, max=1, help="Share of the parent's computation to keep.")
    ] = None,
    quantize: Annotated[str | None, typer.Option("--quantize", help="int8: learn with the rounding of int8.")] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
    on: sagemaker.On = "dataloop",
    stack: sagemaker.Stack = "dataloop-dev",
    instance_type: sagemaker.Instance = None,
    instances: sagemaker.Instances = 1,
    spot: sagemaker.Spot = None,
    name: sagemaker.Name = "experiment",
    region: sagemaker.Region = None,
    profile: sagemaker.Profile = None,
) -> None:
    """Train a model on a built dataset version.

    With --on sagemaker the job starts with your own AWS credentials, beside the service: nothing is registered.
    """
    use(as_json)
    sagemaker.check(on)
    compression = {"pruning_macs_kept": prune, "quantization": quantize}
    values = parameters(param or []) | {name: value for name, value in compression.items() if value is not None}
    if on == "sagemaker":
        named = {"task_type": task_type, "architecture": architecture}
        given = {key: value for key, value in named.items() if value is not None} | values
        experiment = on_sagemaker.Experiment(
            dataset_id,
            given,
            name=name,
            instance_type=instance_type,
            instance_count=instances,
            use_spot=spot,
            parent_model_id=parent,
        )
        sagemaker.train(experiment, stack, region, profile, wait)
        return
    with open_client() as client:
        task = client.train(
            dataset_id,
            task_type=task_type,
            architecture=architecture,
            parameters=values,
            model_name=model_name,
            parent_model_id=parent,
            wait=wait,
            timeout_s=timeout,
        )
    output.emit(task)


def recommend(
    dataset_id: str,
    task_type: Annotated[str | None, typer.Option("--task-type", help="What to learn, e.g. detection.")] = None,
    instance: Annotated[str | None, typer.Option("--instance", help="SageMaker instance type.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Recommend the rest for it.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Model to start from.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters to train a built dataset version with, and why."""
    use(as_json)
    with open_client() as client:
        found = client.recommend(
            dataset_id, task_type=task_type, instance=instance, batch_size=batch_size, parent_model_id=parent
        )
    rows = [row.to_dict() for row in found.reasons]
    note = f"{found.steps_per_epoch} steps a pass over the images, {found.steps} in all"
    output.table(found, rows, ("parameter", "value", "text"), note)


def evaluate(
    model_id: str,
    dataset_id: str,
    baseline: Annotated[str | None, typer.Option("--baseline", help="A second model, on the same images.")] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Measure a model on the test split of a built dataset version."""
    use(as_json)
    with open_client() as client:
        task = client.evaluate(model_id, dataset_id, baseline_model_id=baseline, wait=wait, timeout_s=timeout)
    output.emit(task)


def export(
    model_id: str,
    format: Annotated[str, typer.Option("--format", help="onnx, onnx_int8, openvino, … (docs/exports.md)")] = "onnx",
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", min=0, max=1, help="What onnx_int8 may lose of the primary metric.")
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Export a model, verified against the original."""
    use(as_json)
    with open_client() as client:
        output.emit(client.export(model_id, format, max_drop=max_drop, wait=wait, timeout_s=timeout))


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
