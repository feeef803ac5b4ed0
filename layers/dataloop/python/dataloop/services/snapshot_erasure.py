"""Removal of content from what was frozen of iterations: rows, bits, and for good the objects that held them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from pyroaring import BitMap

from dataloop.domain.errors import Throttled, Unavailable
from dataloop.domain.projects import ROWS_A_BLOCK, Iteration
from dataloop.gateways.erasable import ErasableBucket
from dataloop.gateways.objects import Bucket, ListedVersion
from dataloop.manifests.frozen import Directory
from dataloop.services.frozen_files import FrozenFiles, directory_key, performance_prefix_of, prefix_of

# Of removals from one iteration at the same time, one wins each time.
ATTEMPTS = 5


class SnapshotForgetter:
    """What is forgotten is gone for readers; old versions of objects stay until the bucket's rule expires them."""

    def __init__(self, artifacts: Bucket) -> None:
        self._bucket = artifacts
        self._files = FrozenFiles(artifacts)

    def forget(self, iteration: Iteration, uids: Collection[str], ordinals: Iterable[int] | None = None) -> int:
        """Remove content from an iteration's snapshot and from its performance; how many rows went.

        ordinals: those that the content has or had in the project; None looks at every row. May be repeated after any
        crash: what replaces a file is in force before the file goes. Raises Unavailable while the images are being
        frozen: a part that is being written could bring them back. Cost: 4 calls when nothing is there; else as
        FrozenFiles.without, once for the images and once for the performance.
        """
        owner = iteration.tenant, iteration.project_id, iteration.id
        snapshot, performance = prefix_of(*owner), performance_prefix_of(*owner)
        wanted, places = frozenset(uids), None if ordinals is None else BitMap(ordinals)
        is_training = iteration.status == "TRAINING"
        if is_training and self._files.directory(snapshot) is None:
            raise Unavailable(f"iteration {iteration.id} is being frozen", 60)
        # The snapshot first: whoever records a performance meanwhile looks whether the snapshot is still the same.
        count = self._forget(snapshot, wanted, places)
        # A performance that is being made has no directory yet, and its files no name: they are not removed under it.
        measured = self._files.directory(performance)
        if measured is not None and places is not None:
            places = self._new_numbers(measured, places)
        if measured is not None or not is_training:
            count += self._forget(performance, wanted, places)
        return count

    def _new_numbers(self, performance: Directory, ordinals: BitMap) -> BitMap:
        """The numbers that test images have in a performance (services/performing.py `record`)."""
        came = BitMap.deserialize(self._bucket.get(performance.files[1]))
        return BitMap(came.rank(ordinal) - 1 for ordinal in ordinals & came)

    def _forget(self, prefix: str, uids: frozenset[str], places: BitMap | None) -> int:
        count = 0
        for _ in range(ATTEMPTS):
            # Looked at before the directory is read: what somebody else writes from now on is not removed here.
            stored = self._stored(prefix)
            directory, etag = self._files.tagged_directory(prefix)
            if directory is None:
                self._remove(prefix, stored)
                return count
            found = self._found(directory, uids, places)
            old = [each for each in stored if self._is_old(each, directory, prefix)]
            count = max(count, len(found))  # ours may have replaced it although its answer was lost
            if not found and not old:
                return count
            # A new generation even with nothing to take out: it stops whoever would name what is removed here.
            without = replace(directory, generation=directory.generation + 1)
            if found:
                without = self._files.without(prefix, directory, found)
            if self._files.replace_directory(prefix, without, etag):
                named = without.keys()
                self._remove(prefix, [each for each in stored if each.key not in named or not each.is_latest])
                return count
        raise Throttled(f"what is frozen below {prefix} keeps changing")

    def _found(self, directory: Directory, uids: frozenset[str], places: BitMap | None) -> BitMap:
        wanted = None if places is None else {ordinal // ROWS_A_BLOCK for ordinal in places}
        found = BitMap()
        for file in directory.rows:
            only = None if wanted is None else wanted.intersection(range(file.first, file.first + len(file.lengths)))
            if only is None or only:
                rows = (row for block in self._files.blocks(file, only) for row in block)
                found.update(row["ordinal"] for row in rows if row["uid"] in uids)
        return found

    def _stored(self, prefix: str) -> list[ListedVersion]:
        return [
            ListedVersion(key, "", size, is_latest=True, is_marker=False, modified="")
            for key, size in self._bucket.keys(f"{prefix}/")
        ]

    def _is_old(self, stored: ListedVersion, directory: Directory, prefix: str) -> bool:
        return not stored.is_latest or stored.key not in directory.keys() | {directory_key(prefix)}

    def _remove(self, prefix: str, stored: Sequence[ListedVersion]) -> None:
        self._bucket.delete([each.key for each in stored if each.key != directory_key(prefix)])


class SnapshotEraser(SnapshotForgetter):
    """Removes versions too. Only the role of functions/erasure_steps may: whoever calls this runs there."""

    def __init__(self, artifacts: ErasableBucket) -> None:
        super().__init__(artifacts)
        self._erasable = artifacts

    def _stored(self, prefix: str) -> list[ListedVersion]:
        return list(self._erasable.versions(f"{prefix}/"))

    def _remove(self, prefix: str, stored: Sequence[ListedVersion]) -> None:
        """Older versions of the directory too: all that were there before it was replaced."""
        self._erasable.remove((each.key, each.version_id) for each in stored)
