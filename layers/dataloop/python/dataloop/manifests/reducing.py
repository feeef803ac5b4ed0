"""All parts of a build become the files of a version: merged, split, written. On local disk, in a step or in a job.

Two passes, because splits can depend on all images: the first merges every image's fragments, shows it to the split
assignment and puts it on a spool; the second reads the spool and writes. Memory holds what the assignment holds, and
the label statistics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from dataloop.domain.errors import NotFound
from dataloop.domain.json_lines import canonical, exact, parse
from dataloop.domain.manifest import JoinReport, attributes_of
from dataloop.domain.splits import SplitPolicy
from dataloop.manifests.assignment import SplitAssignment, listed, placements_in
from dataloop.manifests.fragments import MergedImage, merge_fragments
from dataloop.manifests.merging import merged_lines
from dataloop.manifests.writer import Deleted, ManifestWriter

# Names of a job's small inputs, in one folder; spec.json is `ReduceSpec` as JSON.
SPEC, ANCHOR, LISTS, TOMBSTONES = "spec.json", "anchor.jsonl", "lists.txt", "tombstones.jsonl"
_UID = 32  # characters of a line


@dataclass(frozen=True, slots=True)
class ReduceSpec:
    """What a reduce must know besides the parts' files; JSON in the folder of a job.

    names: what dataset.json says of the version. parts: how many there must be. labels: names that a version built
    again had before. files: SHA-256 of the version's other files by name. is_rebuild: the anchor is the version itself.
    """

    names: Mapping[str, Any]
    policy: SplitPolicy
    parts: int
    anchor: str | None = None
    labels: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    is_rebuild: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReduceSpec:
        return cls(**dict(value) | {"policy": SplitPolicy(**value["policy"]), "labels": tuple(value["labels"])})


class Tombstones:
    """The images that were deleted from a version that is built again, in uid order, read as they are needed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ahead = iter(self)
        self._next = next(self._ahead, None)

    def __iter__(self) -> Iterator[Deleted]:
        for row in map(json.loads, _lines(self._path)):
            yield Deleted(row["uid"], row["split"], row["row_sha256"])

    def __contains__(self, uid: object) -> bool:
        """Ask in ascending order."""
        while self._next is not None and self._next.uid < str(uid):
            self._next = next(self._ahead, None)
        return self._next is not None and self._next.uid == uid


@dataclass(frozen=True, slots=True)
class ReduceInput:
    """The local files of a reduce.

    shards: a folder with the sorted fragments of each part. reports: one of each part's problems. anchor:
    objects.jsonl of the version whose images keep their splits; lists: uids with the split that somebody gave them;
    tombstones: of the version that is built again. The last three may be None, or files that are not there.
    """

    shards: Path
    reports: Path
    anchor: Path | None = None
    lists: Path | None = None
    tombstones: Path | None = None


def part_name(number: int) -> str:
    """The name of a part's ids, rows and report: sorted names are sorted numbers, up to 99,999 parts."""
    return f"part-{number:05d}.json"


def reduce_parts(spec: ReduceSpec, given: ReduceInput, scratch: Path, target: Path) -> dict[str, Any]:
    """Write the files of the version into `target`, which must not exist. Returns the index.

    scratch: an empty folder for temporary files, as large as the parts' files together; with more parts than
    merging.FAN_IN twice as large. The parts' files are used up.
    Raises NotFound when a part did not leave its files; what SplitAssignment raises where the policy refuses leaks.
    """
    names = [part_name(number) for number in range(spec.parts)]
    for path in (folder / name for folder in (given.shards, given.reports) for name in names):
        if not path.exists():
            raise NotFound("part of the build", f"{path.parent.name}/{path.name}")
    report = JoinReport()
    for name in names:
        report.add(json.loads((given.reports / name).read_bytes()))
    gone = Tombstones(given.tombstones)
    assignment = SplitAssignment(
        spec.policy,
        anchor=placements_in(_lines(given.anchor)),
        lists=listed(_lines(given.lists)),
        is_rebuild=spec.is_rebuild,
    )
    spool = scratch / "spool"
    with spool.open("wb") as file:
        for image in _merged([given.shards / name for name in names], scratch):
            uid = image.uid.decode()
            if uid in gone:
                continue
            meta = json.loads(image.meta)
            labels = parse(image.labels) if spec.policy.mode == "stratified" else None
            group = assignment.add(uid, meta, labels, image.phash.decode() or None)
            # What the rows need of the metadata, so that the second pass need not read it again.
            file.write(b"\t".join((canonical(attributes_of(meta)), exact(group), *image)) + b"\n")
    splits = assignment.decide()
    writer = ManifestWriter(target, spec.names, report, gone)
    with spool.open("rb") as file:
        for line in file:
            attributes, group_name, *fields = line[:-1].split(b"\t")
            image = MergedImage(*fields)
            uid = image.uid.decode()
            split = assignment.split_of(uid)
            if split is None:
                report.note("split_conflict", uid)
                continue
            writer.add(image, split, attributes, group_name)
    spool.unlink()
    return writer.close(splits=splits, anchor=spec.anchor, labels=spec.labels, files=spec.files)


def _merged(shards: list[Path], scratch: Path) -> Iterator[MergedImage]:
    for _, lines in groupby(merged_lines(shards, scratch), key=lambda line: line[:_UID]):
        yield merge_fragments(lines)


def _lines(path: Path | None) -> Iterator[bytes]:
    """The lines of a file that need not be there."""
    if path is None or not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")
