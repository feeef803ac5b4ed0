"""Names that move (tags), and versions that come back (restore)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dataloop.domain.datasets import Dataset, DatasetVersion, Segment, check_name, check_tag
from dataloop.domain.errors import IllegalTransition
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.splits import SplitPolicy
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.clock import Clock
from dataloop.services.curating import DatasetService


class VersionService:
    """A built version never changes; what changes is which name stands for it."""

    def __init__(self, datasets: DatasetRepository, curating: DatasetService, clock: Clock) -> None:
        self._datasets = datasets
        self._curating = curating
        self._clock = clock

    def set_tag(self, tenant: str, version_id: str, tag: object) -> Dataset:
        """From now on the tag stands for this version, wherever a version is looked up by name.

        Raises InvalidInput, NotFound, Conflict (a version of the dataset has this very name), LimitExceeded,
        IllegalTransition (being deleted). Cost: 2 reads, 1 transaction of up to 10 WRU.
        """
        return self._datasets.set_tag(tenant, version_id, check_tag(tag), self._clock.text())

    def remove_tag(self, tenant: str, version_id: str, tag: object) -> Dataset:
        """Forget a tag. Raises NotFound when it does not stand for this version (any more)."""
        return self._datasets.remove_tag(tenant, version_id, check_tag(tag), self._clock.text())

    def restore(
        self,
        tenant: str,
        version_id: str,
        name: object,
        draft_id: str | None = None,
        clearance: Clearance = EVERYTHING,
        *,
        split: SplitPolicy | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> DatasetVersion:
        """A new draft of the same dataset with the same members, the same split policy and the same restriction.

        split, info: instead of the old version's.

        Its images keep the splits they have in the old version (its anchor). Built with nothing added, its digest
        equals the old one's if none of its images was erased, removed or described anew meanwhile (docs/versions.md).
        draft_id: the id to use, for callers that retry.
        Raises NotFound, Conflict (name taken), IllegalTransition (being built or deleted), InvalidInput,
        ResidencyViolation. Cost: 1 transaction of 14 WRU, and 8 WRU a segment; no annotation is read or written.
        """
        source = self._curating.get(tenant, version_id)
        if source.status not in ("READY", "DRAFT", "FAILED"):
            raise IllegalTransition("dataset version", version_id, source.status, "restoring")
        clearance.require_holdings(source.report.get("residency") or {}, f"dataset {version_id}")
        is_built = source.status == "READY"
        draft = self._curating.create_version(
            tenant,
            source.name,
            check_name(name, "datasetVersion"),
            split=source.split if split is None else split,
            info=source.info if info is None else info,
            version_id=draft_id,
            base_version_id=source.id,
            residency=source.residency,
            anchor_id=source.id if is_built else source.anchor_id,
        )
        if draft.status == "DRAFT":  # a repeat of a request whose draft is built by now has nothing left to do
            for segment in self._members(source, draft):
                self._datasets.add_segment(tenant, segment)
        return draft

    def _members(self, source: DatasetVersion, draft: DatasetVersion) -> Iterator[Segment]:
        """What is linked: of a built version the list that its build merged, otherwise its own segments."""
        if source.manifest_prefix:
            yield Segment(
                version_id=draft.id,
                id=f"base-{source.id}",
                key=f"{source.manifest_prefix}/members.txt",
                count=sum(source.report.get("counts", {}).values()),
                created_at=source.created_at,
                is_base=True,
            )
            return
        for segment in self._datasets.segments(source.tenant, source.id):
            yield replace(segment, version_id=draft.id)
