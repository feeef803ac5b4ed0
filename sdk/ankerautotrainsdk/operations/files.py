"""Files: upload one, many or a folder; download by uid or by storage place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ankerautotrainsdk.errors import InvalidInput
from ankerautotrainsdk.operations.labels import LabelCalls
from ankerautotrainsdk.progress import Bar
from ankerautotrainsdk.results import BatchResult, DownloadResult, UploadResult
from ankerautotrainsdk.transport import path as route

if TYPE_CHECKING:
    from ankerautotrainsdk.downloads import Link
    from ankerautotrainsdk.folder import RawDataFor
    from ankerautotrainsdk.receipts import Receipt, Receipts

PathLike = str | os.PathLike[str]


class FileCalls(LabelCalls):
    """Calls about files."""

    def upload_file(self, file_path: PathLike, directory: str = "") -> UploadResult:
        """Upload one image or video.

        directory: prefix of the name in the storage; empty means the date of today, yyyy-mm-dd.
        Returns url, bucket, storage_id, object_name, uid. The uid is derived from the content: the same bytes always
        have the same uid, and uploading them again to the same name sends nothing.
        Raises LocalFileMissing, InvalidInput (empty file, folder, bad directory), LimitExceeded (too large),
        TransferError, ConnectionFailed.
        Cost: one call and one form upload.  Source: SDK `upload_file`; its example says `upload_image`.
        """
        from ankerautotrainsdk.uploads import LocalFile, Uploader

        path = _checked_path(file_path)
        return Uploader(self._transport).upload(LocalFile(path, _checked_directory(directory), path.name))

    def upload_image(self, file_path: PathLike, directory: str = "") -> UploadResult:
        """The same as upload_file, under the name that the examples use."""
        return self.upload_file(file_path, directory)

    def upload_files(
        self, file_paths: Iterable[PathLike], directory: str = "", *, parallel: int = 8
    ) -> BatchResult[UploadResult]:
        """Upload many files in parallel; the outcomes are in the order of file_paths.

        A file that cannot be uploaded does not stop the others: look at .errors, or call .raise_for_errors().
        parallel: 1 to 64 uploads at a time. Cost: one call per 100 files and one form upload per file.
        """
        from ankerautotrainsdk.uploads import LocalFile, Uploader

        if isinstance(file_paths, (str, os.PathLike)):
            raise InvalidInput("file_paths must be a list of paths; for one file use upload_file")
        paths = [_checked_path(each) for each in file_paths]
        prefix = _checked_directory(directory)
        # The position is the identity here: the same path may be given twice.
        sources = [LocalFile(path, prefix, str(place)) for place, path in enumerate(paths)]
        outcomes: dict[int, Any] = {}
        with Bar(self._progress, len(sources), "upload", "file") as bar:
            for outcome in Uploader(self._transport).run(sources, _checked_parallel(parallel)):
                outcomes[int(outcome.source.relative)] = outcome.result or outcome.error
                bar.advance()
        return BatchResult(outcomes[place] for place in range(len(sources)))

    def upload_folder(
        self,
        path: PathLike,
        directory: str = "",
        *,
        raw_data: RawDataFor | None = None,
        include: Callable[[Path], bool] | None = None,
        parallel: int = 8,
        resume: bool = True,
        journal: PathLike | None = None,
        on_receipt: Callable[[Receipt], None] | None = None,
    ) -> Receipts:
        """Upload all images and videos below a folder, in parallel, with a receipt per file.

        directory: prefix in the storage; sub-folders follow it. Empty means the folder's own name (not the date, so
        that an upload that goes on tomorrow keeps its names).
        raw_data: file information to register for every file, in the shape of upload_raw_data without uid, storage
        and type; or a function (path, upload result) -> dict, or None for a file that gets none. Left
        out, nothing is registered.
        include: function (path) -> bool that decides instead of "is an image or video"; hidden files never count.
        resume: an interrupted upload goes on where it stopped. Files whose size and time stamp are unchanged since are
        neither read nor sent; the service is asked whether it still has them (one call per 1000).
        journal: file for that memory; by default one below ~/.local/state/dataloop/receipts.
        on_receipt: called with each receipt as it comes, from the calling thread.
        Returns the receipts sorted by path; failed files are receipts with status "failed", not exceptions.
        Raises LocalFileMissing, InvalidInput, Unauthenticated, Forbidden, ConnectionFailed.
        Cost: one call per 100 files, one form upload per file, and one call per 100 files when raw_data is given.
        """
        from ankerautotrainsdk.folder import FolderJob, FolderUpload
        from ankerautotrainsdk.journal import Journal, default_journal
        from ankerautotrainsdk.uploads import Uploader

        folder = _checked_path(path).resolve()
        prefix = _checked_directory(directory) or folder.name
        job = FolderJob(folder, prefix, raw_data, include, _checked_parallel(parallel))
        credentials = self._transport.credentials
        memory = Journal(Path(journal) if journal else default_journal(credentials, folder, prefix)) if resume else None
        upload = FolderUpload(job, Uploader(self._transport), self.upload_raw_data_batch, memory)
        sources = upload.find()
        with Bar(self._progress, len(sources), f"upload {folder.name}", "file") as bar:

            def note(receipt: Receipt) -> None:
                bar.advance()
                if on_receipt is not None:
                    on_receipt(receipt)

            if memory is None:
                return upload.run(sources, note)
            with memory:
                return upload.run(sources, note)

    def download_file_by_uid(self, uid: str, directory: PathLike = "", *, overwrite: bool = False) -> DownloadResult:
        """Download the file with this uid into a local directory, which is made when missing.

        directory: empty means the working directory. Size and SHA-256 are verified; the file appears whole or not at
        all, never outside the directory. A file of the same name with other content is kept, and the new one gets a
        mark in its name (see .path); overwrite=True replaces it.
        Raises NotFound, ChecksumMismatch, TransferError, ConnectionFailed, InvalidInput.
        Cost: one call and one download.  Source: SDK `download_file_by_uid`; its example says `download_image`.
        """
        from ankerautotrainsdk.downloads import Downloader, Link

        def link() -> Link:
            answer = self._transport.get(f"{route('files', uid)}/link")
            return Link(answer["url"], answer["file_name"], answer.get("size_bytes"), answer.get("sha256"))

        return Downloader(self._transport, self._progress).fetch(link, directory, overwrite=overwrite)

    def download_file_by_storage(
        self, storage_id: str, bucket: str, object_name: str, directory: PathLike = "", *, overwrite: bool = False
    ) -> DownloadResult:
        """Download the file at a place in the storage, as upload_file returned it; else as download_file_by_uid.

        Source: SDK `download_file_by_storage`; its example says `download_image`.
        """
        from ankerautotrainsdk.downloads import Downloader, Link

        place = {"storage_id": storage_id, "bucket": bucket, "object_name": object_name}

        def link() -> Link:
            answer = self._transport.post("/files/by-storage", place)
            return Link(answer["url"], answer["file_name"], answer.get("size_bytes"), answer.get("sha256"))

        return Downloader(self._transport, self._progress).fetch(link, directory, overwrite=overwrite)

    @overload
    def download_image(self, uid: str, directory: PathLike = ..., /, *, overwrite: bool = ...) -> DownloadResult: ...
    @overload
    def download_image(
        self, storage_id: str, bucket: str, object_name: str, directory: PathLike = ..., /, *, overwrite: bool = ...
    ) -> DownloadResult: ...
    @overload
    def download_image(self, **fields: Any) -> DownloadResult: ...
    def download_image(self, *place: Any, **fields: Any) -> DownloadResult:
        """download_file_by_uid(uid, directory) or download_file_by_storage(storage_id, bucket, object_name, directory).

        Which one is decided by the number of positional arguments (1 or 2: uid; 3 or 4: storage), or by the keywords.
        Raises TypeError for any other combination.  Source: the examples of the SDK use this one name for both.
        """
        by_storage = len(place) > 2 or any(name in fields for name in ("storage_id", "bucket", "object_name"))
        if by_storage:
            return self.download_file_by_storage(*place, **fields)
        return self.download_file_by_uid(*place, **fields)

    def get_file_link(self, uid: str) -> Mapping[str, Any]:
        """A temporary download link: url (at most 15 minutes), file_name, size_bytes, sha256."""
        from ankerautotrainsdk.results import Record

        return Record(self._transport.get(f"{route('files', uid)}/link"))


def _checked_path(path: PathLike) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise InvalidInput(f"not a path: {path!r}", details={"field": "file_path"})
    return Path(path).expanduser()


def _checked_directory(directory: str | None) -> str:
    if directory is None:
        return ""
    if not isinstance(directory, str):
        kind = type(directory).__name__
        raise InvalidInput(f"directory must be a string, not {kind}", details={"field": "directory"})
    return directory.strip("/")


def _checked_parallel(parallel: int) -> int:
    if not 1 <= parallel <= 64:
        raise InvalidInput(f"parallel must be 1 to 64, not {parallel}", details={"field": "parallel"})
    return parallel
