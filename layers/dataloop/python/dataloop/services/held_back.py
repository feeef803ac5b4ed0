"""What a training must not see because a frozen test set has it: the same image, its group, a picture like it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.near_duplicates import NearIndex
from dataloop.domain.splits import SplitPolicy
from dataloop.gateways.objects import Bucket


class HeldBack:
    """Answers for the rows of one version, beside the test split of another."""

    def __init__(self, artifacts: Bucket, version: DatasetVersion, test: DatasetVersion) -> None:
        """Pictures that look alike are held back where the split of either version keeps them together.

        Memory holds the test set's uids, group values and hashes. Cost: 1 GET; with near-duplicates 2 more.
        """
        self.uids: set[str] = set()
        self._groups: set[tuple[str, str]] = set()
        self._policy = version.split
        for line in artifacts.lines(f"{test.manifest_prefix}/test.jsonl"):
            row = json.loads(line)
            self.uids.add(row["uid"])
            self._groups |= _groups(test.split, row)
        self._near: set[str] = set()
        distances = [policy.near_duplicates for policy in (version.split, test.split)]
        distance = max((bits for bits in distances if bits is not None), default=None)
        if distance is not None:
            self._near = self._look_alikes(artifacts, version, test, distance)

    def _look_alikes(self, artifacts: Bucket, version: DatasetVersion, test: DatasetVersion, distance: int) -> set[str]:
        places = (json.loads(line) for line in artifacts.lines(f"{test.manifest_prefix}/objects.jsonl"))
        hashes = [int(place["phash"], 16) for place in places if place["uid"] in self.uids and place.get("phash")]
        index, found = NearIndex(hashes, distance), set()
        for line in artifacts.lines(f"{version.manifest_prefix}/objects.jsonl"):
            place = json.loads(line)
            if place.get("phash") and index.is_near(int(place["phash"], 16)):
                found.add(place["uid"])
        return found

    def __contains__(self, row: object) -> bool:
        """row: one of the version's manifest."""
        assert isinstance(row, Mapping)
        return (
            row["uid"] in self.uids
            or row["uid"] in self._near
            or not self._groups.isdisjoint(_groups(self._policy, row))
        )


def _groups(policy: SplitPolicy, row: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(path, value) of each group that a row is in; a group by itself has the image's uid for a name.

    One value counts whatever its path, too: the path may have got another name since the test set was frozen.
    """
    if row["group"] == row["uid"]:
        return set()
    if isinstance(policy.group, str):
        return {(policy.group, row["group"]), ("", row["group"])}
    return set(json.loads(row["group"]).items())
