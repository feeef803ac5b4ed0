"""What a dataset is and what is going on with it: the dataset itself, its versions, its draft, its tasks, some images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.datasets import Dataset, DatasetVersion
from dataloop.domain.tasks import Task

# The version whose members are a dataset's images while they are gathered; it is never built itself.
DRAFT_NAME = "draft"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to look at. url: a link for minutes. labels: how often each label is on it. at: when it was first seen."""

    uid: str
    key: str
    bucket: str
    size_bytes: int
    media_type: str
    url: str
    at: str
    width: int | None = None
    height: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    """A dataset with what belongs to it.

    versions: those that were or are being built, newest first, without deleted ones. draft: its own, or the newest.
    linked: how many annotations the draft holds. importing: the import that was started with the dataset.
    running: its tasks that have not ended, of the kinds that were asked for.
    """

    dataset: Dataset
    versions: tuple[DatasetVersion, ...] = ()
    draft: DatasetVersion | None = None
    linked: int = 0
    importing: Task | None = None
    running: tuple[Task, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def current(self) -> DatasetVersion | None:
        """The version somebody chose, as long as it is there; otherwise the newest that is ready."""
        chosen = self.dataset.info.get("current_version_id")
        ready = [version for version in self.versions if version.status == "READY"]
        return next((version for version in ready if version.id == chosen), ready[0] if ready else None)

    @property
    def is_gathering(self) -> bool:
        """True while the draft has members, so that the dataset is more than its current version."""
        return self.draft is not None and self.linked > 0

    @property
    def labelled(self) -> int:
        """Annotated images: one per annotation in the draft, or those of the current version."""
        return self.linked if self.is_gathering else labelled_images(self.current)

    @property
    def total(self) -> int:
        """All images: those found in the folder it was made from, but never fewer than the annotated ones."""
        found = int((self.dataset.info.get("found") or {}).get("images", 0))
        return max(found, self.labelled if self.is_gathering else images_of(self.current))

    @property
    def changed_at(self) -> str:
        """When anything of it changed last."""
        times = [self.dataset.created_at, self.dataset.updated_at]
        for version in (*self.versions, self.draft):
            times += [version.created_at, version.updated_at] if version else []
        return max(time for time in times if time)


def images_of(version: DatasetVersion | None) -> int:
    """Images of a built version, less those that were erased since."""
    counts: Mapping[str, Any] = version.report.get("counts") or {} if version else {}
    return max(0, sum(int(count) for count in counts.values()) - (version.erased if version else 0))


def labelled_images(version: DatasetVersion | None) -> int:
    """Images of a built version that carry a label; a version built before that was counted says: all of them."""
    if version is None:
        return 0
    labelled = version.report.get("labelled")
    return images_of(version) if labelled is None else min(int(labelled), images_of(version))
