"""Versions of datasets: history, tags, diff, restore, verification, deletion; and lineage both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ankerautotrainsdk.operations.base import every
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import Page, Record, Task
from ankerautotrainsdk.transport import path as route


class VersionCalls(TaskCalls):
    """A dataset is a series of versions with one name. dataset_id names a version, series_id the series."""

    def list_series(
        self, name: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Record]:
        """One page of datasets, newest first: name, tags (tag → dataset_id), info and the newest versions of each.

        name: only the dataset of this name (an empty page when there is none).
        """
        return self._page("/series", Record, limit=limit, cursor=cursor, name=name)

    def iter_series(self) -> Iterator[Record]:
        """All datasets, newest first, fetched page by page."""
        return every(lambda cursor: self.list_series(cursor=cursor))

    def list_versions(self, series_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """One page of a dataset's history: its versions, newest first, also deleted ones. Raises NotFound."""
        answer = self._transport.get(route("series", series_id), {"limit": limit, "cursor": cursor})
        return Page((Record(each) for each in answer["versions"]), answer.get("cursor"))

    def iter_versions(self, series_id: str) -> Iterator[Record]:
        """The whole history of a dataset, newest first, fetched page by page."""
        return every(lambda cursor: self.list_versions(series_id, cursor=cursor))

    def tag_dataset(self, dataset_id: str, tag: str) -> Record:
        """From now on the tag stands for this version, wherever a version is looked up by its names.

        Returns the dataset with its tags. Raises NotFound, Conflict (a version has this name), InvalidInput,
        LimitExceeded.
        """
        return Record(self._transport.put(route("datasets", dataset_id, "tags", tag)))

    def untag_dataset(self, dataset_id: str, tag: str) -> Record:
        """Forget a tag of this version. Raises NotFound when it does not stand for it (any more)."""
        return Record(self._transport.delete(route("datasets", dataset_id, "tags", tag)))

    def restore_dataset(self, dataset_id: str, dataset_version: str) -> Record:
        """A new draft, named dataset_version, with the members of this version; returns its record.

        Raises NotFound, Conflict (name taken), IllegalTransition (being built or deleted).
        """
        body = {"datasetVersion": dataset_version}
        return Record(self._transport.post_keyed(f"{route('datasets', dataset_id)}/restore", body))

    def diff_datasets(
        self, dataset_id: str, other_id: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> Task:
        """What changed from one built version to another, of the same dataset or of two.

        The task's result: images (added, removed, relabelled, moved, …), labels, moves between splits, statistics of the
        labels whose counts differ. Its files: diff.jsonl, a line a change, and diff.html, a page (download_task_file).
        Raises NotFound, IllegalTransition (not built), LimitExceeded.
        """
        return self._maybe_wait(
            self._start(f"{route('datasets', dataset_id)}/diff", {"other": other_id}), wait, timeout_s
        )

    def verify_dataset(self, dataset_id: str, *, wait: bool = False, timeout_s: float | None = None) -> Task:
        """Recompute the digests of a built version from its files, and ask for every object and annotation.

        The task's result: sound, digest, computed_digest, problems, images and annotations (looked_at, proved).
        Raises NotFound, IllegalTransition (not built), LimitExceeded.
        """
        return self._maybe_wait(self._start(f"{route('datasets', dataset_id)}/verify", {}), wait, timeout_s)

    def delete_dataset(self, dataset_id: str, *, force: bool = False) -> Record:
        """Delete one version: its name is free, its files go; returns the record, which stays.

        force: also when models learnt from it (needs the scope admin). Raises NotFound, IllegalTransition, which says
        what needs it.
        """
        return Record(self._delete(route("datasets", dataset_id), force))

    def delete_series(self, series_id: str, *, force: bool = False) -> Record:
        """Delete a dataset with all its versions, or, when one of them is needed, none. Raises as delete_dataset."""
        return Record(self._delete(route("series", series_id), force))

    def _delete(self, target: str, force: bool) -> Any:
        return self._transport.call("DELETE", target, query={"force": "true"} if force else None)

    def list_images(self, dataset_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """One page of a built version's images: uid, sha256, split, object version, annotations with digests."""
        return self._page(f"{route('datasets', dataset_id)}/images", Record, limit=limit, cursor=cursor)

    def iter_images(self, dataset_id: str) -> Iterator[Record]:
        """All images of a built version, in uid order, fetched page by page."""
        return every(lambda cursor: self.list_images(dataset_id, cursor=cursor))

    def trace(self, id: str) -> Record:
        """What an id names, and what was made of it: a model, release, dataset version, annotation or file (uid).

        kind; the chain behind it (release, model, dataset, annotation, image; None where it has none); used: places (the
        image in each version), versions, models, releases, current (release names that stand for it now).
        Raises NotFound, InvalidInput.
        """
        return Record(self._transport.get(route("lineage", id)))

    def get_annotation_usage(self, annotation_id: str) -> Record:
        """Every built version, model and release an annotation counts in. Raises NotFound."""
        return Record(self._transport.get(f"{route('annotations', annotation_id)}/usage"))
