"""Labels in, datasets out: imports of label files, exports of dataset versions, the formats there are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ankerautotrainsdk.errors import LocalFileMissing, TransferError
from ankerautotrainsdk.operations.analyses import AnalysisCalls
from ankerautotrainsdk.operations.base import without_none
from ankerautotrainsdk.operations.files import FileCalls
from ankerautotrainsdk.results import DownloadResult, Record, Task
from ankerautotrainsdk.transport import path as route


class ImportCalls(FileCalls, AnalysisCalls):
    """Calls that bring labels and take datasets away."""

    def list_formats(self) -> list[Record]:
        """Every format with name, title, reads, writes and kinds, the annotation types it can carry whole."""
        return [Record(each) for each in self._transport.get("/formats")["items"]]

    def import_labels(
        self,
        object_name: str | None = None,
        *,
        prefix: str | None = None,
        format: str = "auto",
        on_error: str = "stop",
        images: str | None = None,
        dataset_id: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Register what label files in the storage say of images in the storage.

        object_name: one file, or a .zip of label files, which is read in place; or prefix: all files below it.
        format: "auto" looks at names and first bytes. on_error: "stop" registers nothing when anything is wrong; "skip"
        registers the rest, and the task's report names each item that was left out (file report.jsonl).
        images: prefix below which the images that the files name are looked for first.
        dataset_id: a draft that gets the annotations.
        Raises NotFound, InvalidInput, IllegalTransition (the dataset is no draft); with wait also TaskFailed.
        """
        body = without_none(
            object_name=object_name,
            prefix=prefix,
            format=format,
            on_error=on_error,
            images=images,
            dataset_id=dataset_id,
        )
        return self._maybe_wait(self._start("/imports", body), wait, timeout_s)

    def import_folder(
        self,
        path: str | os.PathLike[str],
        directory: str = "",
        *,
        format: str = "auto",
        on_error: str = "stop",
        dataset_id: str | None = None,
        raw_data: Mapping[str, Any] | None = None,
        parallel: int = 8,
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Task:
        """Upload the pictures and the label files of a local folder, and import them: one call for a whole dataset.

        path: a folder with pictures and labels in the layout of a format, or one label file (its pictures are in the
        storage already, below `directory`). directory: prefix in the storage; empty means the folder's own name, and for
        a single file that names are looked for from the top. raw_data: file information for every picture.
        The label files travel as one archive below imports/. A repeated call uploads only what is new, and registers
        the same annotations. Pictures that cannot be uploaded raise their first error before anything is imported.
        Raises LocalFileMissing, InvalidInput, TransferError, and with wait TaskFailed.
        """
        from ankerautotrainsdk.label_folder import AREA, look_into, pack_labels

        source = Path(path)
        wish: dict[str, Any] = {"format": format, "on_error": on_error, "dataset_id": dataset_id}
        if source.is_file():
            stored = self.upload_file(source, "/".join(part for part in (AREA, directory.strip("/")) if part))
            images = directory or None
            return self.import_labels(stored.object_name, images=images, wait=wait, timeout_s=timeout_s, **wish)
        if not source.is_dir():
            raise LocalFileMissing(f"there is no {source}", details={"path": str(source)})
        source = source.resolve()  # upload_folder asks about absolute paths
        folder = look_into(source)
        images = directory.strip("/") or source.name
        done = self.upload_folder(source, images, raw_data=raw_data, include=folder.is_picture, parallel=parallel)
        done.raise_for_errors()
        if not folder.labels:
            return self.import_labels(prefix=images, wait=wait, timeout_s=timeout_s, **wish)
        with tempfile.TemporaryDirectory() as packed:
            stored = self.upload_file(pack_labels(folder, Path(packed)), f"{AREA}/{images}")
        return self.import_labels(stored.object_name, images=images, wait=wait, timeout_s=timeout_s, **wish)

    def export_dataset(
        self, dataset_id: str, format: str, *, images: bool = False, wait: bool = False, timeout_s: float | None = None
    ) -> Task:
        """Pack a built version in a format, as one archive of its labels, with images=True also its pictures.

        The same version gives the same bytes. The finished task's result has losses (what the format cannot hold, with
        counts), archive (file_name, sha256, size_bytes) and files. Raises NotFound, InvalidInput, IllegalTransition.
        """
        body = {"format": format, "images": images}
        return self._maybe_wait(self._start(f"{route('datasets', dataset_id)}/exports", body), wait, timeout_s)

    def download_exported_dataset(
        self,
        dataset_id: str,
        format: str,
        directory: str | os.PathLike[str] = "",
        *,
        images: bool = False,
        overwrite: bool = False,
        timeout_s: float | None = None,
    ) -> DownloadResult:
        """export_dataset, the wait, and the download of the archive, verified by its SHA-256.

        Raises as export_dataset, and TaskFailed, TaskTimeout, ChecksumMismatch, TransferError.
        """
        task = self.export_dataset(dataset_id, format, images=images, wait=True, timeout_s=timeout_s)
        return self.download_archive(task, directory, overwrite=overwrite)

    def download_archive(
        self, task: Mapping[str, Any], directory: str | os.PathLike[str] = "", *, overwrite: bool = False
    ) -> DownloadResult:
        """The archive of a finished export_dataset task."""
        archive = (task.get("result") or {}).get("archive")
        if not archive:
            raise TransferError("the export ended without an archive", details={"task_id": task.get("task_id")})
        return self.download_task_file(str(task["task_id"]), archive["file_name"], directory, overwrite=overwrite)
