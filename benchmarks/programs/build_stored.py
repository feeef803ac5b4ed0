"""Store what a COCO file says, then build a version of it: python -m … → one JSON line

store COCO FOLDER {image|box}         reader, checks and records: FOLDER/table.sqlite and FOLDER/segment.txt. One
                                      annotation an image with all its labels, as our import makes them, or one a box
build FOLDER WORK PART_IDS SEED [N]   plan, join (parts in the order of SEED) and reduce, into WORK; with N it is
                                      killed after N joins, in the middle of the next
digest WORK                           SHA-256 of every file of the version in WORK
floor WORK                            parse the rows of that version, write them with sorted keys, hash them
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.building.stored import AT, TASK, TENANT, VERSION, FolderBucket, OneTask, OneVersion, StoredTable


def store(coco: Path, folder: Path, shape: str) -> dict[str, Any]:
    """The records that an import of the file leaves, with the metadata that cameras send."""
    from dataloop.repositories.annotations import AnnotationRepository

    table: Any = StoredTable(folder / "table.sqlite")
    annotations = AnnotationRepository(table, FolderBucket(folder))
    begun = time.process_time()
    ids = []
    for uid, made in _said(coco, shape):
        table.put(_raw(uid, made[0][1]))
        for annotation, _ in made:
            annotations._put(annotation)
            ids.append(annotation.id)
    table.commit()
    ids.sort()
    (folder / "segment.txt").write_text("".join(f"{id}\n" for id in ids))
    return {"cpu_s": time.process_time() - begun, "annotations": len(ids)}


def _said(coco: Path, shape: str) -> Iterator[tuple[str, list[Any]]]:
    """(uid, its annotations with their picture), by our reader."""
    from dataloop.domain.annotations import make_annotation
    from dataloop.formats.registry import reader_of
    from dataloop.formats.sources import FolderSource
    from dataloop.formats.surface import Findings

    for picture in reader_of("coco").read(FolderSource(coco.parent), Findings("stop")):
        uid = hashlib.sha256(picture.file_name.encode()).hexdigest()[:32]
        labels = [_label(label) for label in picture.labels]
        said = [labels] if shape == "image" else [[label] for label in labels]
        made = [
            make_annotation(TENANT, AT, data_ids=[uid], type="detection", labels=part, method="manual", owner="import")
            for part in said
        ]
        yield uid, [(annotation, picture) for annotation in made]


def _label(label: Any) -> dict[str, Any]:
    found = {"label": label.label, "bbox_xyxy": list(label.box)}
    return found if label.segmentation is None else found | {"segmentation": label.segmentation}


def _raw(uid: str, picture: Any) -> dict[str, Any]:
    from dataloop.repositories import keys

    name = picture.file_name
    meta = {
        "type": "image",
        "region": "CN",
        "securityLevel": "internal",
        "dateTime": "2026-01-01T10:00:00Z",
        "sourceInfo": {"type": "trigger", "id": name.split("/")[1]},
        "extra": {"device": name.split("/")[1], "firmware": "4.1.2", "battery": 0.87},
    }
    place = {"b": "bench-raw", "k": name, "v": "v" * 32, "seq": "0" * 40, "n": 100_000, "direct": False, "gone": False}
    facts = {"sha256": uid * 2, "size_bytes": 100_000, "media_type": "image/jpeg", "width": 640, "height": 480}
    item = {"pk": keys.raw(TENANT, uid), "sk": keys.ROOT, "tenant": TENANT, "uid": uid, "meta": meta, "meta_at": AT}
    return item | facts | {"seen_at": AT, "g1pk": keys.raw(TENANT, uid)[:20], "g1sk": f"{AT}#{uid}", "loc_0": place}


def build(folder: Path, work: Path, part_ids: int, seed: int, joins: int | None) -> dict[str, Any]:
    """All steps, one after the other. joins: die in the middle of the one after so many."""
    begun = time.process_time()
    from dataloop.domain.residency import Residency
    from dataloop.repositories.annotations import AnnotationRepository
    from dataloop.repositories.raw_data import RawDataRepository
    from dataloop.services import building
    from dataloop.services.clock import Clock
    from dataloop.settings import Settings

    building.PART_IDS = part_ids
    bucket: Any = FolderBucket(work)
    bucket.put("segment.txt", (folder / "segment.txt").read_bytes())
    table: Any = StoredTable(folder / "table.sqlite")
    datasets: Any = OneVersion("segment.txt")
    tasks: Any = OneTask()
    no_deletions: Any = None  # is asked when a version becomes READY, after what is measured here
    settings = Settings("bench", "table", "once", "raw", "artifacts", "local", step_reduce_bytes=1 << 50)
    annotations = AnnotationRepository(table, FolderBucket(folder))
    service = building.BuildService(
        datasets,
        annotations,
        RawDataRepository(table),
        tasks,
        bucket,
        Clock(),
        Residency({}, ()),
        settings,
        no_deletions,
    )
    plan = service.plan(TENANT, TASK)
    imports_and_plan = time.process_time() - begun
    keys = [key for key, _ in bucket.keys(plan["parts_prefix"])]
    random.Random(seed).shuffle(keys)
    for number, key in enumerate(keys):
        if number == joins:
            # The part's rows are there and its report is not: the state between the two writes of a join.
            bucket.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        service.join(TENANT, TASK, key)
    joined = time.process_time() - begun
    found = service.reduce(TENANT, TASK)
    if not found["passed"]:
        raise SystemExit(f"the build did not pass: {found}")
    used = time.process_time() - begun
    stages = {"plan": imports_and_plan, "join": joined - imports_and_plan, "reduce": used - joined}
    facts = {"cpu_s": used - table.stand_in_s, "stand_in_s": table.stand_in_s, "peak_mb": peak_mb(), "stages": stages}
    return facts | found


def digests(work: Path) -> dict[str, str]:
    folder = work / TENANT / "manifests" / VERSION
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def floor(work: Path) -> dict[str, float]:
    """What the JSON of the rows alone costs."""
    begun, hasher = time.process_time(), hashlib.sha256()
    with (work / "floor.jsonl").open("wb") as target:
        for path in sorted((work / TENANT / "manifests" / VERSION).glob("*.jsonl")):
            with path.open("rb") as source:
                for line in source:
                    text = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode() + b"\n"
                    hasher.update(text)
                    target.write(text)
    return {"cpu_s": time.process_time() - begun}


def peak_mb() -> float:
    """Of this process alone: getrusage would carry over the memory of the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the kernel does not tell VmHWM")


def main() -> None:
    command, *given = sys.argv[1:]
    found: dict[str, Any]
    if command == "store":
        found = store(Path(given[0]), Path(given[1]), given[2])
    elif command == "build":
        joins = int(given[4]) if len(given) > 4 else None
        found = build(Path(given[0]), Path(given[1]), int(given[2]), int(given[3]), joins)
    elif command == "floor":
        found = floor(Path(given[0]))
    else:
        found = digests(Path(given[0]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
