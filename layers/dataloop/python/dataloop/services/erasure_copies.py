"""Erases images from what was derived from them: the files of versions, inputs and outputs of jobs, reports, exports."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dataloop.domain import uid_index
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.json_lines import parse
from dataloop.gateways.erasable import ErasableBucket
from dataloop.gateways.objects import Bucket
from dataloop.manifests.scrubbing import Outcome, file_names_any, scrub
from dataloop.manifests.tombstones import INDEX, TOMBSTONES, Struck, strike
from dataloop.manifests.verifying import verify

# Weights and archives of weights: no image is in them, and they are the largest files of all.
WEIGHTS = (".pt", ".onnx", ".xml", ".bin", ".tflite", ".safetensors", ".mlmodel", "model.tar.gz")
# A training's report before it was unpacked; what is unpacked is looked into, the archive goes.
REPORT_ARCHIVE = "output.tar.gz"
# Files of a job's input that name all its images.
TELLING = ("input/objects.jsonl", "input/images.jsonl", "uids.json")


@dataclass
class Cleaned:
    """What was done below one prefix."""

    prefix: str
    rewritten: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    old_versions: int = 0

    @property
    def is_touched(self) -> bool:
        return bool(self.rewritten or self.removed)

    def to_json(self) -> dict[str, Any]:
        return {
            "prefix": self.prefix,
            "rewritten": self.rewritten,
            "removed": self.removed,
            "old_versions_removed": self.old_versions,
        }


def holds_any(artifacts: Bucket, prefix: str, uids: Collection[str]) -> bool:
    """Is any of these images in the version or download below a prefix? Ranged reads of uids.idx: 1, and 1 more for
    each first byte among the uids."""
    key = f"{prefix}/uids.idx"
    try:
        table = artifacts.get_range(key, 0, uid_index.FANOUT_BYTES)
    except NotFound:
        return False
    blocks: dict[tuple[int, int], bytes] = {}
    for uid in uids:
        place = uid_index.block_of(table, uid)
        if place[1] and place not in blocks:
            blocks[place] = artifacts.get_range(key, *place)
        if place[1] and uid_index.holds(blocks[place], uid):
            return True
    return False


def has_tombstone(artifacts: Bucket, prefix: str, uids: Collection[str], deletion_id: str) -> bool:
    """Did this deletion take any of these images out of the version below a prefix? 1 GET."""
    with suppress(NotFound):
        for line in artifacts.lines(f"{prefix}/{TOMBSTONES}"):
            stone = parse(line)
            if stone["uid"] in uids and stone["deletion_id"] == deletion_id:
                return True
    return False


def strike_version(artifacts: Bucket, prefix: str, uids: Collection[str], deletion_id: str, at: str) -> Struck:
    """Take images out of the files below a prefix, tombstones first and the index last. A repeat ends the same.

    Each file is read and written once; the versions before stay behind them until somebody removes those.
    Raises Unavailable when the files do not prove their digest afterwards.
    """
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "source"), Path(name, "target")
        source.mkdir()
        target.mkdir()
        for key, _ in artifacts.keys(f"{prefix}/"):
            artifacts.download(key, source / PurePosixPath(key).name)
        struck = strike(source, target, uids, deletion_id, at)
        changed = [path.name for path in target.iterdir() if not _is_same(path, source / path.name)]
        for path in source.iterdir():  # what striking leaves as it is (members.txt) has to be there to be verified
            if not (target / path.name).exists():
                path.rename(target / path.name)
        verdict = verify(target)
        if not verdict.is_sound:
            raise Unavailable(f"{prefix}: {verdict.problems[0].file} {verdict.problems[0].reason}")
        order = {TOMBSTONES: 0, INDEX: 2}
        for file in sorted(changed, key=lambda file: (order.get(file, 1), file)):
            artifacts.upload(target / file, f"{prefix}/{file}")
    return struck


def _is_same(path: Path, before: Path) -> bool:
    return before.exists() and filecmp.cmp(path, before, shallow=False)


class CopyEraser:
    """Works on folders of the artifacts bucket; every method may be repeated."""

    def __init__(self, artifacts: ErasableBucket) -> None:
        self._artifacts = artifacts

    def erase_version(self, version: DatasetVersion, uids: Collection[str], deletion_id: str, at: str) -> Struck | None:
        """Strike a READY version's files if it holds any of these images; None: it never did.

        Old versions of its files go in any case.
        """
        prefix = f"{version.manifest_prefix}"
        is_touched = holds_any(self._artifacts, prefix, uids) or has_tombstone(
            self._artifacts, prefix, uids, deletion_id
        )
        struck = strike_version(self._artifacts, prefix, uids, deletion_id, at) if is_touched else None
        self.remove_old(f"{prefix}/")
        return struck

    def purge(self, prefix: str) -> Cleaned:
        """Everything below a prefix goes, old versions and markers too."""
        done = Cleaned(prefix)
        entries = list(self._artifacts.versions(prefix))
        done.removed = sorted({entry.key.removeprefix(prefix) for entry in entries if entry.is_latest})
        done.old_versions = sum(not entry.is_latest for entry in entries)
        self._artifacts.remove((entry.key, entry.version_id) for entry in entries)
        return done

    def remove_old(self, prefix: str) -> int:
        """Versions that were written over, and deletions that only hid something."""
        hidden = set()
        old = []
        for entry in self._artifacts.versions(prefix):
            if not entry.is_latest:
                old.append((entry.key, entry.version_id))
            elif entry.is_marker:
                hidden.add((entry.key, entry.version_id))
        return self._artifacts.remove([*old, *sorted(hidden)])

    def mentions(self, prefix: str, names: Iterable[str], uids: Collection[str]) -> bool:
        """Does one of these files below a prefix name any of the images? Files that are not there name none."""
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                path = Path(folder, "file")
                with suppress(NotFound):
                    self._artifacts.download(f"{prefix}{name}", path)
                    if file_names_any(path, uids):
                        return True
        return False

    def scrub(self, prefix: str, uids: Collection[str], keys: Collection[str]) -> Cleaned:
        """Take the images out of every file below a prefix; files that cannot be edited and name one go whole.

        keys: where the images lay, for lists of keys. The files that tell whether a folder is touched come last, so that a
        repeat after a crash still finds it touched; and images.manifest before the rows that say which keys go.
        """
        done = Cleaned(prefix)
        with tempfile.TemporaryDirectory() as folder:
            for key in sorted(self._scrubbable(prefix), key=lambda key: (key.endswith(TELLING), key)):
                path = Path(folder, PurePosixPath(key).name)
                if key.endswith(REPORT_ARCHIVE):
                    outcome = Outcome.REMOVED
                else:
                    self._artifacts.download(key, path)
                    gone = self._keys_beside(key, uids) | set(keys) if key.endswith("images.manifest") else set()
                    outcome = scrub(path, uids, gone)
                if outcome is Outcome.REWRITTEN:
                    self._artifacts.upload(path, key)
                    done.rewritten.append(key.removeprefix(prefix))
                elif outcome is Outcome.REMOVED:
                    done.removed.append(key.removeprefix(prefix))
                    self._artifacts.purge(key)
                path.unlink(missing_ok=True)
        done.old_versions = self.remove_old(prefix)
        return done

    def _scrubbable(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self._artifacts.keys(prefix) if not key.endswith(WEIGHTS))

    def _keys_beside(self, manifest_key: str, uids: Collection[str]) -> set[str]:
        """Keys that only the erased images have, by the objects.jsonl in the same folder."""
        gone: set[str] = set()
        kept: set[str] = set()
        with suppress(NotFound):
            for line in self._artifacts.lines(f"{manifest_key.rpartition('/')[0]}/objects.jsonl"):
                place = parse(line)
                (gone if place["uid"] in uids else kept).add(place["key"])
        return gone - kept
