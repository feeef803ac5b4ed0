"""Fetching a file behind a link into a folder, whole or not at all.

    link ──▶ <folder>/.<name>.<random>.part ──▶ size and SHA-256 right? ──▶ <folder>/<name>
                                                          └─ no ──▶ removed, ChecksumMismatch

Never writes outside the folder and never over other content: when <name> is taken by different bytes, the file gets
<stem>.<first 8 of its SHA-256><suffix>, so that files of the same name from different days live side by side and a
repeated download finds its own again. overwrite=True replaces instead.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ankerautotrainsdk.connections import OpenAnswer, send
from ankerautotrainsdk.errors import ChecksumMismatch, ConnectionFailed, DataloopError, InvalidInput, TransferError
from ankerautotrainsdk.filenames import safe_file_name, with_mark
from ankerautotrainsdk.progress import Bar
from ankerautotrainsdk.results import DownloadResult
from ankerautotrainsdk.retry import RETRY_STATUSES, retry_after_seconds
from ankerautotrainsdk.transport import Transport

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Link:
    """What to fetch: a presigned url, the name to give it, and what is known of the bytes (None: not known)."""

    url: str
    file_name: str
    size_bytes: int | None = None
    sha256: str | None = None


class Downloader:
    """Downloads over one transport; safe to share between threads."""

    def __init__(self, transport: Transport, progress: bool | None) -> None:
        self._transport = transport
        self._progress = progress

    def fetch(
        self, get_link: Callable[[], Link], directory: str | os.PathLike[str], *, overwrite: bool = False
    ) -> DownloadResult:
        """Fetch one file into directory, which is created when missing ("" is the working directory).

        get_link: asked first, and again when the link turns out to be expired.
        Raises ChecksumMismatch, TransferError, ConnectionFailed, InvalidInput (the directory cannot be used).
        """
        folder = _ready_folder(directory)
        link = get_link()
        name = safe_file_name(link.file_name)
        if not overwrite and (kept := _already_there(folder, name, link)):
            return kept
        partial = _new_partial(folder, name)
        try:
            sha256, size_bytes = self._fetch_into(partial, link, get_link)
            target = _settle(partial, folder, name, sha256, overwrite=overwrite)
        finally:
            partial.unlink(missing_ok=True)
        return _described(target, size_bytes, sha256)

    def _fetch_into(self, partial: Path, link: Link, get_link: Callable[[], Link]) -> tuple[str, int]:
        attempt = 0
        renewed = False
        while True:
            try:
                with send(self._transport.pool, "GET", link.url, {"Accept-Encoding": "identity"}) as answer:
                    if answer.status == 200:
                        return self._copy(answer, partial, link)
                    if answer.status in (401, 403) and not renewed:
                        link, renewed = get_link(), True
                        continue
                    wait_s = retry_after_seconds(answer.headers.get("Retry-After"))
                    if answer.status not in RETRY_STATUSES or not self._transport.retry.wait(attempt, wait_s):
                        raise _refusal(answer, link)
            except (ConnectionFailed, ChecksumMismatch) as error:
                # Wrong bytes are worth another try: a proxy may have cut the answer short.
                if not self._transport.retry.wait(attempt):
                    raise type(error)(f"{error.message} (tried {attempt + 1} times)", details=error.details) from error
            attempt += 1

    def _copy(self, answer: OpenAnswer, partial: Path, link: Link) -> tuple[str, int]:
        length = answer.headers.get("Content-Length") or ""
        said_bytes = int(length) if length.isdigit() else None
        expected_bytes = said_bytes if link.size_bytes is None else link.size_bytes
        digest = hashlib.sha256()
        size_bytes = 0
        try:
            with (
                partial.open("wb", buffering=0) as file,
                Bar(self._progress, expected_bytes, link.file_name, "B") as bar,
            ):
                while piece := answer.read(_CHUNK_BYTES):
                    digest.update(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
                    size_bytes += len(piece)
                    bar.advance(len(piece))
                os.fsync(file.fileno())
        except DataloopError:
            raise
        except OSError as error:
            raise TransferError(f"cannot write {partial.parent}: {error}", details={"path": str(partial)}) from error
        sha256 = digest.hexdigest()
        expected_sha = link.sha256 or _sha256_of_header(answer)
        wrong_size = expected_bytes is not None and size_bytes != expected_bytes
        if wrong_size or (expected_sha and sha256 != expected_sha.lower()):
            raise ChecksumMismatch(
                f"{link.file_name}: expected {expected_bytes} bytes with SHA-256 {expected_sha}, "
                f"got {size_bytes} with {sha256}",
                details={
                    "expected": {"size_bytes": expected_bytes, "sha256": expected_sha},
                    "received": {"size_bytes": size_bytes, "sha256": sha256},
                },
            )
        return sha256, size_bytes


def _ready_folder(directory: str | os.PathLike[str]) -> Path:
    folder = Path(directory or ".").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot download into {folder}: {error}", details={"field": "directory"}) from error
    return folder.resolve()


def _new_partial(folder: Path, name: str) -> Path:
    # Same folder, hence same file system: the rename at the end is atomic.
    path = folder / f".{name[:40]}.{os.urandom(6).hex()}.part"
    try:
        path.open("xb").close()
    except OSError as error:
        raise InvalidInput(f"cannot write into {folder}: {error}", details={"field": "directory"}) from error
    return path


def _already_there(folder: Path, name: str, link: Link) -> DownloadResult | None:
    """The file of an earlier download with the promised bytes, under its own or its marked name."""
    if not link.sha256:
        return None
    sha256 = link.sha256.lower()
    for candidate in (folder / name, folder / with_mark(name, sha256[:8])):
        if _sha256_of_file(candidate, link.size_bytes) == sha256:
            return _described(candidate, candidate.stat().st_size, sha256)
    return None


def _settle(partial: Path, folder: Path, name: str, sha256: str, *, overwrite: bool) -> Path:
    """Give the finished file its name; see the module's head for what happens when that is taken."""
    target = folder / name
    if overwrite:
        partial.replace(target)
        return target
    for candidate in (target, folder / with_mark(name, sha256[:8]), folder / with_mark(name, sha256)):
        if _take_name(partial, candidate) or _sha256_of_file(candidate, None) == sha256:
            return candidate
    raise TransferError(f"{target} exists with other content", details={"path": str(target)})


def _take_name(partial: Path, target: Path) -> bool:
    """Rename that never replaces; False when the name is taken."""
    try:
        # link() fails on an existing name, where rename() would silently replace it.
        os.link(partial, target)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links. Creating the name exclusively reserves it.
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        partial.replace(target)
    return True


def _sha256_of_file(path: Path, size_bytes: int | None) -> str | None:
    with suppress(OSError):
        if path.is_file() and (size_bytes is None or path.stat().st_size == size_bytes):
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _sha256_of_header(answer: OpenAnswer) -> str | None:
    value = answer.headers.get("x-amz-checksum-sha256") or ""
    # "<digest>-<parts>" is the checksum of checksums of a multipart upload, of no use here.
    if not value or "-" in value:
        return None
    with suppress(ValueError):
        digest = base64.b64decode(value, validate=True)
        return digest.hex() if len(digest) == 32 else None
    return None


def _described(path: Path, size_bytes: int, sha256: str) -> DownloadResult:
    return DownloadResult(path=str(path), file_name=path.name, size_bytes=size_bytes, sha256=sha256)


def _refusal(answer: OpenAnswer, link: Link) -> TransferError:
    return TransferError(
        f"the storage did not deliver {link.file_name}: HTTP {answer.status}",
        details={"file_name": link.file_name},
        status=answer.status,
        request_id=answer.headers.get("x-amz-request-id"),
    )
