"""dataloop upload, dataloop datasets …"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, Wait, json_argument, object_argument, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.client import AnkerAutoTrainSDK
from ankerautotrainsdk.errors import DataloopError, LocalFileMissing
from ankerautotrainsdk.folder import raw_data_of
from ankerautotrainsdk.results import UploadResult

datasets = typer.Typer(help="Datasets: list, show, create, link, build, download.", no_args_is_help=True)
_COLUMNS = ("dataset_id", "dataset_name", "dataset_version", "status")


def upload(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    directory: Annotated[str, typer.Option("--directory", "-d", help="Prefix of the names in the storage.")] = "",
    raw_data: Annotated[
        str | None, typer.Option("--raw-data", help="File information for every file: a JSON object, or @file.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=64, help="Uploads at a time.")] = 8,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Skip what an earlier run uploaded.")] = True,
    as_json: Json = False,
) -> None:
    """Upload files and folders. A folder goes on where an interrupted upload of it stopped."""
    use(as_json)
    information = object_argument(raw_data, "--raw-data")
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise LocalFileMissing(f"there is no {', '.join(missing)}", details={"paths": missing})
    receipts: list[dict[str, Any]] = []
    with open_client() as client:
        files = [path for path in paths if not path.is_dir()]
        receipts += _upload_files(client, files, directory, information, parallel)
        for folder in (path for path in paths if path.is_dir()):
            done = client.upload_folder(folder, directory, raw_data=information, parallel=parallel, resume=resume)
            # As the file was named on the command line, not below its folder.
            receipts += [{**each.to_dict(), "path": str(folder / each.path)} for each in done]
    counts = dict.fromkeys(("uploaded", "exists", "skipped", "failed"), 0)
    for each in receipts:
        counts[each["status"]] += 1
    for each in receipts:
        if each["error"] and not as_json:
            typer.echo(f"{each['path']}: {each['error']['code']}: {each['error']['message']}", err=True)
    text = ", ".join(f"{amount} {status}" for status, amount in counts.items() if amount) or "nothing to upload"
    output.emit({"counts": counts, "receipts": receipts}, text)
    if counts["failed"]:
        raise typer.Exit(1)


def _upload_files(
    client: AnkerAutoTrainSDK, files: list[Path], directory: str, information: dict[str, Any] | None, parallel: int
) -> list[dict[str, Any]]:
    outcomes = client.upload_files(files, directory, parallel=parallel) if files else ()
    receipts = [_receipt(path, outcome) for path, outcome in zip(files, outcomes, strict=True)]
    if information is not None:
        done = [(place, outcome) for place, outcome in enumerate(outcomes) if not isinstance(outcome, DataloopError)]
        rows = [raw_data_of(files[place], outcome, information) for place, outcome in done]
        for (place, _), outcome in zip(done, client.upload_raw_data_batch(rows), strict=True):
            if isinstance(outcome, DataloopError):
                receipts[place] |= {"status": "failed", "error": outcome.to_dict()}
            else:
                receipts[place]["raw_data_id"] = outcome.raw_data_id
    return receipts


def _receipt(path: Path, outcome: UploadResult | DataloopError) -> dict[str, Any]:
    if isinstance(outcome, DataloopError):
        return {"path": str(path), "status": "failed", "raw_data_id": None, "error": outcome.to_dict()}
    fields = outcome.to_dict()
    status = "exists" if fields.pop("exists") else "uploaded"
    return {"path": str(path), "status": status, **fields, "raw_data_id": None, "error": None}


@datasets.command("list")
def list_(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """Dataset versions, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_datasets(limit=limit, cursor=cursor)
    output.table(page, page, _COLUMNS, f"more: --cursor {page.cursor}" if page.cursor else "")


@datasets.command()
def show(dataset_id: str, as_json: Json = False) -> None:
    """One dataset version."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_dataset(dataset_id))


@datasets.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    version: Annotated[str, typer.Argument(help="Version, e.g. v1.")],
    annotation_type: Annotated[str, typer.Option("--annotation-type", help="What is learnt from it, e.g. detection.")],
    owner: Annotated[str, typer.Option("--owner")] = "",
    version_type: Annotated[str, typer.Option("--version-type")] = "train",
    remark: Annotated[str, typer.Option("--remark")] = "",
    info: Annotated[
        str | None, typer.Option("--info", help="More fields of create_dataset: a JSON object, or @file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a dataset version."""
    use(as_json)
    given = {"owner": owner, "versionType": version_type, "remark": remark}
    fields = {
        "datasetName": name,
        "datasetVersion": version,
        "annotationType": annotation_type,
        **{key: value for key, value in given.items() if value},
        **(object_argument(info, "--info") or {}),
    }
    with open_client() as client:
        answer = client.create_dataset(fields)
    output.emit(answer, answer.dataset_id)


@datasets.command()
def link(
    dataset_id: str,
    annotation_ids: Annotated[list[str] | None, typer.Argument(help="Ids of annotations.")] = None,
    ids_from: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="File: a JSON list, or one id a line.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put annotations into a dataset version that is not built yet."""
    use(as_json)
    ids = list(annotation_ids or [])
    if ids_from is not None:
        text = ids_from.read_text("utf-8").strip()
        ids += json_argument(text, "--from") if text.startswith("[") else text.split()
    if not ids:
        raise typer.BadParameter("give ids, or --from FILE")
    with open_client() as client:
        answer = client.link_dataset(ids, dataset_id)
    output.emit(answer, f"{answer.linked} annotations linked")


@datasets.command()
def build(dataset_id: str, wait: Wait = True, timeout: Timeout = None, as_json: Json = False) -> None:
    """Freeze a dataset version and write its manifest."""
    use(as_json)
    with open_client() as client:
        task = client.build_dataset(dataset_id, wait=wait, timeout_s=timeout)
    output.emit(task)


@datasets.command()
def download(
    name: str,
    version: str,
    directory: Annotated[str, typer.Option("--directory", "-d", help="Local folder.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Download a dataset version as one .json file."""
    use(as_json)
    with open_client() as client:
        done = client.download_dataset(name, version, directory, overwrite=overwrite, timeout_s=timeout)
    output.emit(done, done.path)
