"""Datasets: create, link, build, download."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ankerautotrainsdk.errors import InvalidInput, TransferError
from ankerautotrainsdk.operations.base import checked_dict, every
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import DatasetResult, DownloadResult, LinkResult, Page, Record, Task
from ankerautotrainsdk.transport import path as route

_LINK_IDS = 200_000  # limit of one link call


class DatasetCalls(TaskCalls):
    """Calls about datasets. A dataset_id names one (name, version) pair."""

    def create_dataset(self, dataset_info: Mapping[str, Any]) -> DatasetResult:
        """Create a dataset version, in which annotations are collected.

        dataset_info: datasetName, datasetVersion, annotationType, modelType, versionType, annotationBy, bg, owner,
        remark as in the document; beyond it, split: {"train", "val", "test", "group", "near_duplicates", "mode", …}, how
        images are split and what stays together (docs/manifest.md#splits), and residency: {"regions": […],
        "max_security_level": …}, the only data that may enter.
        Returns dataset_id. Raises Conflict when name and version are taken, InvalidInput.
        Cost: one call.  Source: SDK `create_dataset`.
        """
        body = checked_dict(dataset_info, "dataset_info")
        return DatasetResult(self._transport.post_keyed("/datasets", body))

    def link_dataset(
        self,
        annotation_id_list: Iterable[str],
        dataset_id: str | None = None,
        *,
        dataset_version_id: str | None = None,
    ) -> LinkResult:
        """Put annotations into a dataset version that is not built yet.

        annotation_id_list: ids from upload_annotated_data, any number; order and repeats do not matter.
        dataset_id: from create_dataset; dataset_version_id is another name for the same.
        Returns dataset_id, segment_id (of the last call made) and linked, the number of different ids.
        Raises NotFound, IllegalTransition (already built), InvalidInput.
        Cost: one call per 200 000 ids.  Source: SDK `link_dataset`; its heading says dataset_id, its example
        dataset_version_id.
        """
        target = _one_of(dataset_id, dataset_version_id)
        if isinstance(annotation_id_list, (str, bytes)):
            raise InvalidInput("annotation_id_list must be a list of ids", details={"field": "annotation_id_list"})
        ids = list(dict.fromkeys(annotation_id_list))
        linked = 0
        answer: dict[str, Any] = {}
        for start in range(0, max(len(ids), 1), _LINK_IDS):
            chunk = ids[start : start + _LINK_IDS]
            # The segment's id is the digest of the ids: sending it again changes nothing.
            answer = self._transport.post(f"{route('datasets', target)}/links", {"annotation_id_list": chunk})
            linked += answer.get("linked", len(chunk))
        return LinkResult({**answer, "linked": linked})

    def get_dataset(self, dataset_id: str) -> Record:
        """The record of a dataset version: name, version, status, counts. Raises NotFound."""
        return Record(self._transport.get(route("datasets", dataset_id)))

    def find_dataset(self, dataset_name: str, dataset_version: str) -> Record:
        """The record of a dataset version by its names. Raises NotFound."""
        query = {"dataset_name": dataset_name, "dataset_version": dataset_version}
        return Record(self._transport.get("/datasets/lookup", query))

    def list_datasets(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """One page of dataset versions, newest first."""
        return self._page("/datasets", Record, limit=limit, cursor=cursor)

    def iter_datasets(self) -> Iterator[Record]:
        """All dataset versions, newest first, fetched page by page."""
        return every(lambda cursor: self.list_datasets(cursor=cursor))

    def build_dataset(self, dataset_id: str, *, wait: bool = False, timeout_s: float | None = None) -> Task:
        """Freeze a dataset version and write its manifest: afterwards it can be trained on, and changes no more.

        wait: return only when the build is over, and raise TaskFailed when it failed.
        Raises NotFound, IllegalTransition (already building or built).
        """
        task = Task(self._transport.post_keyed(f"{route('datasets', dataset_id)}/build"))
        return self._maybe_wait(task, wait, timeout_s)

    def download_dataset(
        self,
        dataset_name: str,
        dataset_version: str,
        directory: str | os.PathLike[str] = "",
        *,
        overwrite: bool = False,
        timeout_s: float | None = None,
    ) -> DownloadResult:
        """Download a dataset version as one .json file with the information and annotations of every image.

        directory: local folder, made when missing; empty means the working directory. The file is named
        "<name>_<version>.json" (made safe); an earlier file with other content is kept, see download_file_by_uid.
        A version that is not built yet is put together first, which is waited for, at most timeout_s seconds.
        Returns the result with .path; it can be given to open().
        Raises NotFound, TaskFailed, TaskTimeout, ChecksumMismatch, TransferError.
        Cost: two calls and one download, plus polling for a draft.  Source: SDK `download_dataset`.
        """
        from ankerautotrainsdk.downloads import Downloader, Link

        file_name = f"{dataset_name}_{dataset_version}.json"
        dataset_id = self.find_dataset(dataset_name, dataset_version)["dataset_id"]

        def link() -> Link:
            # Two tasks for one wish do no harm: a download changes nothing.
            task = Task(self._transport.post(f"{route('datasets', dataset_id)}/download"))
            if not task.is_over or task.status != "SUCCEEDED":
                task = self.wait_for_task(task, timeout_s=timeout_s)
            result = task.get("result")
            if not result or not result.get("url"):
                raise TransferError("the download task ended without a link", details={"task_id": task.task_id})
            return Link(result["url"], file_name, result.get("size_bytes"), result.get("sha256"))

        return Downloader(self._transport, self._progress).fetch(link, directory, overwrite=overwrite)


def _one_of(dataset_id: str | None, dataset_version_id: str | None) -> str:
    given = {each for each in (dataset_id, dataset_version_id) if each}
    if not given:
        raise InvalidInput("link_dataset needs dataset_id (or dataset_version_id)", details={"field": "dataset_id"})
    if len(given) > 1:
        raise InvalidInput(
            "dataset_id and dataset_version_id are two names for the same, but differ here",
            details={"dataset_id": dataset_id, "dataset_version_id": dataset_version_id},
        )
    return given.pop()
