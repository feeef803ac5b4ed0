"""Getting files into the storage: hash, ask for a grant (presigned POST), send.

    read + hash ──▶ POST /uploads, up to 100 files a call ──▶ one form upload a file, in threads
        (the calling thread prepares the next batch while the threads send the last one)

A file of up to 8 MiB is read once, and the bytes that were hashed are the bytes that are sent. A larger one is read
twice, in pieces; the storage checks the SHA-256, so a file that changes in between is refused, not stored wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ankerautotrainsdk import image_check
from ankerautotrainsdk.connections import send
from ankerautotrainsdk.errors import (
    ConnectionFailed,
    DataloopError,
    InvalidInput,
    LocalFileMissing,
    TransferError,
    error_from_answer,
)
from ankerautotrainsdk.media import content_type
from ankerautotrainsdk.multipart import FormUpload
from ankerautotrainsdk.results import Record, UploadResult
from ankerautotrainsdk.retry import RETRY_STATUSES, retry_after_seconds
from ankerautotrainsdk.transport import Transport

if TYPE_CHECKING:
    from ankerautotrainsdk.connections import Answer

_HOLD_BYTES = 8 << 20
# Files in one POST /uploads of the pipeline; the service takes up to 1000, but a smaller batch starts sending sooner.
BATCH_FILES = 100
_BATCH_BYTES = 32 << 20
# A grant lives 15 minutes. An older one than this is renewed before use.
_GRANT_AGE_S = 600.0


@dataclass(frozen=True)
class LocalFile:
    """A file to upload. directory: prefix in the storage; relative: its name in receipts."""

    path: Path
    directory: str
    relative: str


@dataclass(frozen=True)
class PreparedFile:
    """A file that was read: content is held for small files, None for large ones."""

    source: LocalFile
    size_bytes: int
    mtime_ns: int
    read_at_ns: int
    sha256: str
    content: bytes | None

    def request(self) -> dict[str, Any]:
        """Its entry in POST /uploads."""
        return upload_request(self.source, self.size_bytes, self.sha256)


@dataclass(frozen=True)
class Outcome:
    """What became of one file: result, or error."""

    source: LocalFile
    prepared: PreparedFile | None
    result: UploadResult | None
    error: DataloopError | None


def upload_request(source: LocalFile, size_bytes: int, sha256: str) -> dict[str, Any]:
    """One entry of POST /uploads."""
    return {
        "file_name": source.path.name,
        "directory": source.directory,
        "size_bytes": size_bytes,
        "sha256": sha256,
        "content_type": content_type(source.path),
    }


def prepare(source: LocalFile) -> PreparedFile:
    """Read and hash one file.

    Raises LocalFileMissing; InvalidInput for an empty file, a folder, a device, or a file that is named like an image
    and is none, is cut short or has too many pixels; TransferError when it cannot be read.
    """
    path = source.path
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"{path} is not a regular file", details={"path": str(path)})
            read_at_ns = time.time_ns()
            content = file.read() if status.st_size <= _HOLD_BYTES else None
            ends = (content, content) if content is not None else _ends(file, status.st_size)
            digest = hashlib.sha256(content) if content is not None else hashlib.file_digest(file, "sha256")
    except FileNotFoundError as error:
        raise LocalFileMissing(f"there is no file {path}", details={"path": str(path)}) from error
    except IsADirectoryError as error:
        raise InvalidInput(f"{path} is a folder; use upload_folder", details={"path": str(path)}) from error
    except (OSError, ValueError) as error:
        raise TransferError(f"cannot read {path}: {error}", details={"path": str(path)}) from error
    size_bytes = status.st_size if content is None else len(content)
    if not size_bytes:
        raise InvalidInput(f"{path} is empty", details={"path": str(path), "field": "size_bytes"})
    if image_check.is_named_like_image(path):
        image_check.check(path, size_bytes, *ends)
    return PreparedFile(source, size_bytes, status.st_mtime_ns, read_at_ns, digest.hexdigest(), content)


def _ends(file: FileIO, size_bytes: int) -> tuple[bytes, bytes]:
    """The first and last bytes of a large file; the file is left at its beginning."""
    head = file.read(image_check.HEAD_BYTES)
    file.seek(max(0, size_bytes - image_check.TAIL_BYTES))
    tail = file.read(image_check.TAIL_BYTES)
    file.seek(0)
    return head, tail


class Uploader:
    """Uploads over one transport; safe to share between threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(self, source: LocalFile) -> UploadResult:
        """One file: one call for the grant, one form upload, or none when the bytes are there already."""
        prepared = prepare(source)
        return self._deliver(prepared, self._granted(prepared), time.monotonic())

    def ask(self, requests: Sequence[dict[str, Any]]) -> list[Record | DataloopError]:
        """POST /uploads for up to 1000 files: per file the answer, or the error it was refused with."""
        answer = self._transport.post("/uploads", {"files": list(requests)})
        results: list[Record | DataloopError] = [
            error_from_answer(None, entry["error"]) if entry.get("error") else Record(entry)
            for entry in answer["results"]
        ]
        if len(results) != len(requests):
            raise TransferError(f"asked for {len(requests)} grants, got {len(results)}")
        return results

    def run(self, sources: Iterable[LocalFile], parallel: int) -> Iterator[Outcome]:
        """Upload many files in threads; outcomes come in the order they finish.

        At most two batches (64 MiB) are held in memory. Leaving the iteration early stops what has not begun.
        Raises what stops everything: a refused key, no connection; a single bad file is an Outcome with an error.
        """
        from concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(parallel, thread_name_prefix="dataloop-upload")
        running: set[Future[Outcome]] = set()
        silent = 0
        try:
            for batch, unreadable in _batches(iter(sources)):
                yield from unreadable
                yield from self._submit(executor, batch, running)
                while len(running) > BATCH_FILES:
                    finished, running = _first_finished(running)
                    silent = _count_silence(finished, silent, parallel)
                    yield from finished
            while running:
                finished, running = _first_finished(running)
                silent = _count_silence(finished, silent, parallel)
                yield from finished
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, executor: Any, batch: list[PreparedFile], running: set[Future[Outcome]]) -> Iterator[Outcome]:
        grants = self.ask([each.request() for each in batch]) if batch else []
        asked_at_s = time.monotonic()
        for prepared, grant in zip(batch, grants, strict=True):
            if isinstance(grant, DataloopError):
                yield Outcome(prepared.source, prepared, None, grant)
            elif grant.get("upload") is None:
                yield Outcome(prepared.source, prepared, _result(grant), None)
            else:
                running.add(executor.submit(self._deliver_or_report, prepared, grant, asked_at_s))

    def _deliver_or_report(self, prepared: PreparedFile, grant: Record, asked_at_s: float) -> Outcome:
        try:
            return Outcome(prepared.source, prepared, self._deliver(prepared, grant, asked_at_s), None)
        except DataloopError as error:
            return Outcome(prepared.source, prepared, None, error)

    def _granted(self, prepared: PreparedFile) -> Record:
        (grant,) = self.ask([prepared.request()])
        if isinstance(grant, DataloopError):
            raise grant
        return grant

    def _deliver(self, prepared: PreparedFile, grant: Record, asked_at_s: float) -> UploadResult:
        if time.monotonic() - asked_at_s > _GRANT_AGE_S:
            grant = self._granted(prepared)
        form = grant.get("upload")
        if form is not None:
            self._send_form(prepared, form["url"], form["fields"])
        return _result(grant)

    def _send_form(self, prepared: PreparedFile, url: str, fields: dict[str, str]) -> None:
        content = prepared.content if prepared.content is not None else prepared.source.path
        body = FormUpload(fields, content, prepared.size_bytes)
        retry = self._transport.retry
        attempt = 0
        while True:
            try:
                with send(self._transport.pool, "POST", url, body.headers, body) as open_answer:
                    answer = open_answer.read_all()
                if 200 <= answer.status < 300:
                    return
                wait_s = retry_after_seconds(answer.header("Retry-After"))
                if not (_is_passing(answer) and retry.wait(attempt, wait_s)):
                    raise _refusal(answer, prepared.source.path)
            except ConnectionFailed as error:
                if not retry.wait(attempt):
                    raise ConnectionFailed(f"{error.message} (tried {attempt + 1} times)") from error
            attempt += 1


def _result(grant: Record) -> UploadResult:
    fields = {name: grant.get(name) for name in ("url", "bucket", "storage_id", "object_name", "uid")}
    return UploadResult(fields, exists=bool(grant.get("exists")))


def _batches(sources: Iterator[LocalFile]) -> Iterator[tuple[list[PreparedFile], list[Outcome]]]:
    """Prepared files in batches of up to 100 files or 32 MiB held, each with the files that could not be read."""
    while chunk := list(islice(sources, BATCH_FILES)):
        ready: list[PreparedFile] = []
        unreadable: list[Outcome] = []
        held_bytes = 0
        for source in chunk:
            try:
                prepared = prepare(source)
            except DataloopError as error:
                unreadable.append(Outcome(source, None, None, error))
                continue
            ready.append(prepared)
            held_bytes += len(prepared.content or b"")
            if held_bytes > _BATCH_BYTES:
                yield ready, unreadable
                ready, unreadable, held_bytes = [], [], 0
        yield ready, unreadable


def _first_finished(running: set[Future[Outcome]]) -> tuple[list[Outcome], set[Future[Outcome]]]:
    finished, rest = wait(running, return_when=FIRST_COMPLETED)
    return [future.result() for future in finished], rest


def _count_silence(finished: list[Outcome], silent: int, parallel: int) -> int:
    """Count connection failures in a row; with the storage gone, give up instead of failing file by file."""
    for outcome in finished:
        silent = silent + 1 if isinstance(outcome.error, ConnectionFailed) else 0
        if silent >= 2 * parallel and outcome.error is not None:
            raise outcome.error
    return silent


_XML_FIELD = re.compile(rb"<(Code|Message)>([^<]*)</")


def _storage_error(answer: Answer) -> dict[str, str]:
    return {name.decode(): text.decode("utf-8", "replace") for name, text in _XML_FIELD.findall(answer.body[:4096])}


def _is_passing(answer: Answer) -> bool:
    # S3 answers 400 RequestTimeout when the bytes came too slowly, and means: again.
    return answer.status in RETRY_STATUSES or _storage_error(answer).get("Code") == "RequestTimeout"


def _refusal(answer: Answer, path: Path) -> TransferError:
    reason = _storage_error(answer)
    code, message = reason.get("Code", f"HTTP {answer.status}"), reason.get("Message", "")
    return TransferError(
        f"the storage refused {path.name}: {code} {message}".rstrip(),
        details={"path": str(path), "storage_code": code, "storage_message": message},
        status=answer.status,
        request_id=answer.header("x-amz-request-id"),
    )
