"""A version that was being built while images were erased must come out without them."""

from __future__ import annotations

import json

from dataloop.domain.datasets import DatasetVersion
from dataloop.gateways.objects import Bucket
from dataloop.repositories.deletions import DeletionRepository
from dataloop.repositories.erasures import ErasureRepository
from dataloop.services.erasure_copies import has_tombstone, holds_any, strike_version


class ErasedMeanwhile:
    """The last thing before a version is READY. What slips in after it is found by the deletion's second pass."""

    def __init__(self, deletions: DeletionRepository, erasures: ErasureRepository, artifacts: Bucket) -> None:
        self._deletions = deletions
        self._erasures = erasures
        self._artifacts = artifacts

    def leave_out(self, version: DatasetVersion, prefix: str) -> None:
        """Take images out of a version's fresh files that deletions took since its build began.

        Cost: 1 call; for each deletion that began meanwhile 3 more, and the files once when they hold such an image.
        """
        for deletion_id in self._erasures.noted_in_build(version.tenant, version.id):
            deletion = self._deletions.get(version.tenant, deletion_id)
            listed: list[str] = json.loads(self._artifacts.get(f"{deletion.prefix}/request.json"))["uids"]
            records = self._erasures.records(version.tenant, listed)
            uids = {uid for uid in listed if uid in records and records[uid].is_erased}
            if holds_any(self._artifacts, prefix, uids) or has_tombstone(self._artifacts, prefix, uids, deletion_id):
                struck = strike_version(self._artifacts, prefix, uids, deletion_id, str(deletion.marked_at))
                facts = {
                    "at": deletion.marked_at,
                    "splits": {split: len(found) for split, found in struck.images.items()},
                }
                self._erasures.touch_version(version, deletion_id, facts, erased=struck.index["erased"])
