"""The files of a small dataset version, written as a build writes them."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from dataloop.domain.annotations import make_annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.manifest import JoinReport
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.splits import SplitPolicy
from dataloop.manifests.fragments import fragment_lines
from dataloop.manifests.reducing import ReduceInput, ReduceSpec, part_name, reduce_parts

AT = "2026-11-22T12:00:00.000Z"


def write_version(target: Path, images: int = 12) -> Path:
    """Images with a cat and a dog each, but for the last, which has no label; about a third not in train."""
    lines, report = [], JoinReport()
    for number in range(images):
        uid = hashlib.sha256(f"image {number}".encode()).hexdigest()[:32]
        facts = ObjectFacts(uid * 2, 1000 + number, "image/jpeg", 80, 60)
        place = Location("raw", f"d/{number}.jpg", "v1", "0", 1000 + number)
        said = [{"label": "cat", "bbox_xyxy": [number, 2, 40, 50.5]}, {"label": "dog", "bbox_xyxy": [1, 2, 30, 40]}]
        split = ("train", "train", "val", "test")[number % 4]
        raw = RawData("default", uid, facts, (place,), {"region": "CN", "extra": {"split": split}})
        labels = said if number < images - 1 else []
        made = make_annotation("default", AT, data_ids=uid, type="object", labels=labels)
        lines += fragment_lines(made, {uid: raw}, report)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for area in ("shards", "reports", "scratch"):
            (folder / area).mkdir()
        (folder / "shards" / part_name(0)).write_bytes(b"".join(line + b"\n" for line in sorted(lines)))
        (folder / "reports" / part_name(0)).write_bytes(canonical_json(report.to_json()))
        names = {"name": "animals", "version": "1", "dataset_id": "v", "info": {}}
        spec = ReduceSpec(names, SplitPolicy(salt="animals"), 1)
        reduce_parts(spec, ReduceInput(folder / "shards", folder / "reports"), folder / "scratch", target)
    return target
