"""The files of a built dataset version: downloaded, checked, asked in SQL."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ankerautotrainsdk.config import cache_folder
from ankerautotrainsdk.errors import TransferError
from ankerautotrainsdk.operations.base import Calls
from ankerautotrainsdk.results import Record
from ankerautotrainsdk.transport import path as route

if TYPE_CHECKING:
    from ankerautotrainsdk.analytics import Answer

# What the digest and the tables are made of; the others say the same in other forms.
_ROWS = ("train.jsonl", "val.jsonl", "test.jsonl", "tombstones.jsonl", "objects.jsonl", "label_map.json", "index.json")


class ManifestCalls(Calls):
    """Calls about the files that docs/manifest.md describes."""

    def dataset_files(self, dataset_id: str) -> Record:
        """digest, format and files (name, size_bytes, sha256, url) of a built version; links live for minutes.

        Raises NotFound, IllegalTransition (not built yet), Forbidden (it holds regions or levels beyond the key's).
        """
        return Record(self._transport.get(f"{route('datasets', dataset_id)}/files"))

    def download_dataset_files(self, dataset_id: str, directory: str | os.PathLike[str]) -> list[str]:
        """Download all files of a built version into a folder, and check that they are what its digest says.

        A file of that name is replaced. Returns the paths. Raises ChecksumMismatch, TransferError, and as dataset_files.
        """
        found = self.dataset_files(dataset_id)
        return self._fetch(dataset_id, found, [file["name"] for file in found["files"]], Path(directory))

    def query_dataset(self, dataset_id: str, sql: str) -> Answer:
        """Rows of one SQL statement over a built version: tables images, labels and splits. Iterate over the answer.

        The version's rows are downloaded, checked and read into a database once; it is kept in the cache folder
        ($XDG_CACHE_HOME/dataloop), and made anew when images were deleted from the version since. The statement can read
        these tables and nothing else. Needs the extra `analytics`.
        Raises InvalidInput (in DuckDB's words), ConfigurationError (no DuckDB), and as download_dataset_files.
        """
        from ankerautotrainsdk import analytics

        return analytics.query(self._tables(dataset_id), sql)

    def _tables(self, dataset_id: str) -> Path:
        from ankerautotrainsdk import analytics

        found = self.dataset_files(dataset_id)
        names = [file["name"] for file in found["files"] if file["name"] in _ROWS]
        state = sorted((file["name"], file["sha256"] or "") for file in found["files"])
        mark = hashlib.sha256(repr((found["digest"], state)).encode()).hexdigest()[:16]
        kept = (
            cache_folder()
            / "datasets"
            / hashlib.sha256(f"{self._transport.credentials.url} {dataset_id}".encode()).hexdigest()[:32]
        )
        folder = kept / mark
        if not (folder / "complete").exists():
            # What was deleted from the version must not stay here.
            shutil.rmtree(kept, ignore_errors=True)
            self._fetch(dataset_id, found, names, folder)
            (folder / "complete").touch()
        return analytics.prepare(folder)

    def _fetch(self, dataset_id: str, found: Record, names: list[str], folder: Path) -> list[str]:
        from ankerautotrainsdk.downloads import Downloader, Link
        from ankerautotrainsdk.manifest_files import check_digest

        downloader = Downloader(self._transport, self._progress)
        latest: dict[str, dict[str, Any]] = {file["name"]: file for file in found["files"]}
        paths = []
        for name in names:
            given = [latest[name]]

            def link(name: str = name, given: list[dict[str, Any]] = given) -> Link:
                # The first link is at hand; when it has expired, a new one.
                file = given.pop() if given else self._file(dataset_id, name)
                return Link(file["url"], name, file["size_bytes"], file["sha256"])

            paths.append(downloader.fetch(link, folder, overwrite=True).path)
        check_digest(folder, found["digest"])
        return paths

    def _file(self, dataset_id: str, name: str) -> dict[str, Any]:
        files: list[dict[str, Any]] = self.dataset_files(dataset_id)["files"]
        for file in files:
            if file["name"] == name:
                return file
        raise TransferError(f"{name} is no file of dataset {dataset_id} any more", details={"file_name": name})
