"""A diff of two generated versions: python -m … make|ours|rival FOLDER [IMAGES] → {"cpu_s", "peak_mb", "changed"}.

`ours` is what a diff task runs. `rival` is what one writes without it: both versions into dictionaries, then compare row
by row; it does not match labels, so it answers less. One image in ten differs: gone, new, or with a box that moved.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json

SPLITS = ("train", "val", "test")
LABELS = 10


def row(uid: str, shift: float, generator: random.Random) -> dict[str, Any]:
    """An image with three boxes, as a build writes it."""
    labels = [
        {
            "label": f"class-{generator.randrange(LABELS)}",
            "box": [round(generator.random() / 2 + shift, 9), round(generator.random() / 2, 9), 0.25, 0.25],
            "score": None,
        }
        for _ in range(3)
    ]
    return {
        "uid": uid,
        "sha256": uid * 2,
        "width": 640,
        "height": 480,
        "group": uid,
        "attributes": {"region": "CN", "source": "trigger"},
        "annotations": [{"id": uid[:24], "method": "manual", "labels": labels}],
    }


def make(folder: Path, images: int) -> None:
    """Two versions in folder/before and folder/after."""
    for side in ("before", "after"):
        generator = random.Random(7)
        target = folder / side
        target.mkdir(parents=True)
        files = {split: (target / f"{split}.jsonl").open("wb") for split in SPLITS}
        for number in range(images):
            uid = f"{number * 2**100:032x}"
            kind = number % 40  # 2.5 % gone, 2.5 % new, 5 % moved
            shift = 0.05 if kind in (2, 3) and side == "after" else 0.0
            made = row(uid, shift, generator)
            if (kind, side) not in ((0, "after"), (1, "before")):
                files[SPLITS[0 if number % 10 < 8 else number % 2 + 1]].write(canonical_json(made) + b"\n")
        for file in files.values():
            file.close()
        index: dict[str, Any] = {"digest": side, "counts": {}, "statistics": {}}
        (target / "index.json").write_bytes(canonical_json(index))


def ours(folder: Path) -> int:
    from dataloop.manifests.diff_report import write_diff

    found = write_diff(folder / "before", folder / "after", folder / "diff", {"before": {}, "after": {}})
    images = found["images"]
    return int(images["added"] + images["removed"] + images["changed"])


def rival(folder: Path) -> int:
    sides = []
    for side in ("before", "after"):
        rows = {}
        for split in SPLITS:
            with (folder / side / f"{split}.jsonl").open("rb") as lines:
                for line in lines:
                    read = json.loads(line)
                    rows[read["uid"]] = (split, read)
        sides.append(rows)
    before, after = sides
    return sum(before.get(uid) != after.get(uid) for uid in before.keys() | after.keys())


if __name__ == "__main__":
    side, target = sys.argv[1], Path(sys.argv[2])
    if side == "make":
        make(target, int(sys.argv[3]))
        sys.exit()
    begun = time.process_time()
    changed = {"ours": ours, "rival": rival}[side](target)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"cpu_s": time.process_time() - begun, "peak_mb": peak_mb, "changed": changed}))
