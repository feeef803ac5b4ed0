"""A whole folder: walk, skip what the journal has, upload the rest in parallel, register, give a receipt per file.

    walk ─▶ in the journal, size and time unchanged? ─ yes ─▶ ask the service whether it still has it ─ yes ─┐
                          │ no                                        │ no                                   │
                          └──────────────▶ Uploader.run ◀─────────────┘                                      │
                                                └──────▶ register 100 at a time ─▶ journal ─▶ receipt ◀──────┘

Asking again costs one call per 1000 files and no reading; without it a journal would vouch for a service that was
reset in the meantime.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ankerautotrainsdk.errors import DataloopError, InvalidInput, LocalFileMissing
from ankerautotrainsdk.journal import Entry, Journal
from ankerautotrainsdk.media import media_type
from ankerautotrainsdk.receipts import Receipt, Receipts
from ankerautotrainsdk.results import BatchResult, RawDataResult, UploadResult
from ankerautotrainsdk.uploads import LocalFile, Outcome, Uploader, upload_request

T = TypeVar("T")

RawDataFor = Mapping[str, Any] | Callable[[Path, UploadResult], Mapping[str, Any] | None]
RegisterBatch = Callable[[Sequence[Mapping[str, Any]]], BatchResult[RawDataResult]]
_REGISTER_ITEMS = 100  # limit of POST /raw-data/batch
_ASK_FILES = 1000  # limit of POST /uploads


@dataclass(frozen=True)
class FolderJob:
    """What to do. directory: prefix in the storage; raw_data: None registers nothing."""

    folder: Path
    directory: str
    raw_data: RawDataFor | None
    include: Callable[[Path], bool] | None
    parallel: int


@dataclass(frozen=True)
class _Delivered:
    """A file whose bytes are in the storage. known: its journal entry, when it was there from before."""

    source: LocalFile
    upload: UploadResult
    status: str
    entry: Entry
    known: bool


class FolderUpload:
    """One upload_folder call."""

    def __init__(self, job: FolderJob, uploader: Uploader, register: RegisterBatch, journal: Journal | None) -> None:
        self._job = job
        self._uploader = uploader
        self._register = register
        self._journal = journal
        self._ignored: list[str] = []

    def find(self) -> list[LocalFile]:
        """The files to upload, sorted by their name below the folder."""
        if not self._job.folder.is_dir():
            raise LocalFileMissing(f"there is no folder {self._job.folder}", details={"path": str(self._job.folder)})
        return sorted(self._walk(), key=lambda source: source.relative)

    def run(self, sources: Sequence[LocalFile], on_receipt: Callable[[Receipt], None]) -> Receipts:
        """Upload sources; on_receipt is called in this thread as files finish, in no special order."""
        receipts: list[Receipt] = []
        waiting: list[_Delivered] = []

        def finish(ready: list[_Delivered]) -> None:
            for receipt in self._finish(ready):
                receipts.append(receipt)
                on_receipt(receipt)
            ready.clear()

        try:
            for item in self._delivered(sources):
                if isinstance(item, Receipt):
                    receipts.append(item)
                    on_receipt(item)
                    continue
                waiting.append(item)
                if self._job.raw_data is None or len(waiting) >= _REGISTER_ITEMS:
                    finish(waiting)
        except BaseException:
            # Interrupted: what is in the storage gets its line in the journal, so that nothing is sent twice.
            self._remember(waiting)
            raise
        finish(waiting)
        return Receipts(sorted(receipts, key=lambda receipt: receipt.path), self._ignored)

    def _walk(self) -> Iterator[LocalFile]:
        for root, folders, names in os.walk(self._job.folder):
            # Hidden folders hold thumbnails and tools' data; links to folders are not followed (they may form loops).
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in names:
                path = Path(root, name)
                relative = path.relative_to(self._job.folder).as_posix()
                if not name.startswith(".") and self._wanted(path):
                    below = PurePosixPath(relative).parent.as_posix()
                    parts = [part for part in (self._job.directory, below) if part not in ("", ".")]
                    yield LocalFile(path, "/".join(parts), relative)
                else:
                    self._ignored.append(relative)

    def _wanted(self, path: Path) -> bool:
        return self._job.include(path) if self._job.include else media_type(path) is not None

    def _delivered(self, sources: Sequence[LocalFile]) -> Iterator[_Delivered | Receipt]:
        entries = self._journal.read() if self._journal else {}
        unknown: list[LocalFile] = []
        known: list[tuple[LocalFile, Entry]] = []
        for source in sources:
            entry = entries.get(source.relative)
            if entry is not None and _is_unchanged(source.path, entry):
                known.append((source, entry))
            else:
                unknown.append(source)
        for chunk in _chunks(known, _ASK_FILES):
            answers = self._uploader.ask([upload_request(s, e.size_bytes, e.sha256) for s, e in chunk])
            for (source, entry), answer in zip(chunk, answers, strict=True):
                if isinstance(answer, DataloopError) or not answer.get("exists"):
                    unknown.append(source)
                else:
                    yield _Delivered(source, UploadResult(entry.upload), "skipped", entry, known=True)
        for outcome in self._uploader.run(unknown, self._job.parallel):
            yield _delivered_or_failed(outcome)

    def _finish(self, ready: list[_Delivered]) -> Iterator[Receipt]:
        to_register: list[tuple[_Delivered, Mapping[str, Any], str]] = []
        for item in ready:
            information = self._information(item)
            digest = _digest(information) if information is not None else None
            if information is None or digest is None or item.entry.raw_data_sha256 == digest:
                if not item.known:
                    self._append(item.entry)
                yield _receipt(item, item.entry.raw_data_id)
            else:
                to_register.append((item, information, digest))
        if not to_register:
            return
        try:
            outcomes = self._register([information for _, information, _ in to_register])
        except BaseException:
            self._remember([item for item, _, _ in to_register])
            raise
        for (item, _, digest), outcome in zip(to_register, outcomes, strict=True):
            if isinstance(outcome, DataloopError):
                self._append(item.entry)  # the bytes are in; only the information is missing
                yield _receipt(item, None, outcome)
            else:
                raw_data_id = outcome.raw_data_id
                self._append(replace(item.entry, raw_data_id=raw_data_id, raw_data_sha256=digest))
                yield _receipt(item, raw_data_id)

    def _information(self, item: _Delivered) -> Mapping[str, Any] | None:
        given = self._job.raw_data
        if given is None:
            return None
        extra = given(item.source.path, item.upload) if callable(given) else given
        return None if extra is None else raw_data_of(item.source.path, item.upload, extra)

    def _remember(self, items: Iterable[_Delivered]) -> None:
        for item in items:
            if not item.known:
                self._append(item.entry)

    def _append(self, entry: Entry) -> None:
        if self._journal is not None:
            self._journal.append(entry)


def raw_data_of(path: Path, upload: UploadResult, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The file information of an uploaded file, in the shape of upload_raw_data.

    extra: any of its fields; uid and storage always name the uploaded file.
    """
    return {
        "type": media_type(path) or "image",
        **extra,
        "uid": upload.uid,
        "storage": {"storageId": upload.storage_id, "bucket": upload.bucket, "objectName": upload.object_name},
    }


def _is_unchanged(path: Path, entry: Entry) -> bool:
    try:
        return entry.describes(path.stat())
    except OSError:
        return False  # Uploader.run gives the reason


def _delivered_or_failed(outcome: Outcome) -> _Delivered | Receipt:
    upload, prepared = outcome.result, outcome.prepared
    if upload is None or prepared is None:
        error = outcome.error or DataloopError("the upload ended without a result")
        return Receipt(path=outcome.source.relative, status="failed", error=error.to_dict(), raw_data_id=None)
    entry = Entry(
        relative=outcome.source.relative,
        size_bytes=prepared.size_bytes,
        mtime_ns=prepared.mtime_ns,
        read_at_ns=prepared.read_at_ns,
        sha256=prepared.sha256,
        upload=upload.to_dict(),
    )
    return _Delivered(outcome.source, upload, "exists" if upload.exists else "uploaded", entry, known=False)


def _receipt(item: _Delivered, raw_data_id: str | None, error: DataloopError | None = None) -> Receipt:
    fields = {name: item.upload.get(name) for name in ("uid", "bucket", "storage_id", "object_name", "url")}
    return Receipt(
        path=item.source.relative,
        status="failed" if error else item.status,
        **fields,
        sha256=item.entry.sha256,
        size_bytes=item.entry.size_bytes,
        raw_data_id=raw_data_id,
        error=error.to_dict() if error else None,
    )


def _digest(information: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(information, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"raw_data cannot be written as JSON: {error}", details={"field": "raw_data"}) from error
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
