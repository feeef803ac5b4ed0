"""`run.py export_dataset`: a large dataset version in somebody else's format, as one archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dataloop.domain.errors import DomainError
from dataloop.formats.packing import REPORT, pack
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.json_files import read_json

SPEC = "spec.json"


def export_dataset(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write the archive and report.json. Raises BadDataset for files that do not fit together, or Interrupted."""
    progress = Progress()
    spec = read_json(folders.input("spec") / SPEC)
    if not isinstance(spec, dict):
        raise BadDataset(f"{SPEC} must hold one JSON object")
    dataset, images = folders.input("dataset"), folders.optional_input("images")
    index = read_json(dataset / "index.json")
    total = sum(index["counts"].values()) if isinstance(index, dict) else 0
    done = 0
    progress.report("labels", 0, total, "images")

    def open_picture(place: Mapping[str, Any]) -> IO[bytes]:
        nonlocal done
        stop.leave_if_requested()
        done += 1
        progress.report("pictures", done, total, "images")
        return _inside(images, str(place["key"])).open("rb")

    folders.output.mkdir(parents=True, exist_ok=True)
    (folders.output / REPORT).unlink(missing_ok=True)
    try:
        pack(dataset, folders.output, spec, open_picture)
    except (DomainError, KeyError, ValueError) as error:
        raise BadDataset(f"the version cannot be exported as {spec.get('format')}: {error}") from error
    progress.report("export", total, total, "images")


def _inside(folder: Path | None, key: str) -> Path:
    """Raises FileNotFoundError for a picture that is not there, or a key that leads elsewhere."""
    if folder is None:
        raise FileNotFoundError(key)
    path = (folder / key).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise FileNotFoundError(key)
    return path
