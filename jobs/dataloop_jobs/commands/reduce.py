"""`run.py reduce`: all parts of a large dataset version become its files, as the step `dataset.reduce` does for others."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dataloop.domain.errors import DomainError, InvalidInput
from dataloop.manifests.reducing import ANCHOR, LISTS, SPEC, TOMBSTONES, ReduceInput, ReduceSpec, reduce_parts
from dataloop_jobs.contract import ProcessingFolders, StopRequest, say
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.json_files import read_json, write_json


def reduce(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write the version's files and result.json, which says why there are none where the split policy refuses leaks.

    Inputs: shards and reports (one file a part each), reduce (spec.json and what `ReduceInput` may have). Raises
    BadDataset when a part is missing, Interrupted when stopped before the first file; started again it begins anew.
    """
    stop.leave_if_requested()
    given = folders.input("reduce")
    spec = ReduceSpec.from_json(read_json(given / SPEC))
    parts = ReduceInput(
        folders.input("shards"), folders.input("reports"), given / ANCHOR, given / LISTS, given / TOMBSTONES
    )
    # Beside the output, so that the finished files need only a new name.
    with tempfile.TemporaryDirectory(dir=folders.output.parent) as name:
        scratch, target = Path(name), Path(name, "manifest")
        refused = ""
        try:
            index = reduce_parts(spec, parts, scratch, target)
            say("reduced", counts=index["counts"], digest=index["digest"])
            for path in target.iterdir():
                shutil.move(path, folders.output / path.name)
        except InvalidInput as error:
            refused = str(error)
        except DomainError as error:
            raise BadDataset(str(error)) from error
    write_json(folders.output / "result.json", {"refused": refused})
