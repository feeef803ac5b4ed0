"""CPU seconds and peak memory of large label files; each measurement is a process of its own.

python -m benchmarks.formats.throughput 100000 1000000
DATUMARO_PYTHON=… python -m benchmarks.formats.throughput 100000      datumaro reads the same COCO file, too
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.formats.parity import SIDE
from dataloop.formats.registry import reader_of, writer_of
from dataloop.formats.sources import FolderSource, ZipSource
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.targets import ZipTarget

# As COCO 2017 has it: seven objects an image, outlines of some ten points, in no order.
PER_IMAGE, POINTS, CLASSES = 8, 10, 80
FORMATS = ("coco", "voc", "yolo", "jsonl")


def main(counts: list[int]) -> None:
    print("| what | annotations | CPU s | annotations/s | peak, MB |")
    print("|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "annotations/instances_train.json"
            path.parent.mkdir()
            # Datumaro wants the folder, empty or not.
            (Path(folder) / "images").mkdir()
            made = write_coco(path, count)
            report(f"read coco ({made // 1_000_000} MB)", count, own("read", "coco", folder))
            if "DATUMARO_PYTHON" in os.environ:
                command = [os.environ["DATUMARO_PYTHON"], str(SIDE), "time", "coco_instances", folder]
                report("datumaro reads it", count, json.loads(output(command)))
            for name in FORMATS:
                archive = str(Path(folder) / f"{name}.zip")
                report(f"write {name} (zip)", count, own("write", name, archive, str(count)))
                report(f"read {name} (zip)", count, own("read", name, archive))


def own(*arguments: str) -> dict[str, float]:
    return dict(json.loads(output([sys.executable, "-m", "benchmarks.formats.throughput", *arguments])))


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def report(what: str, count: int, found: dict[str, float]) -> None:
    rate = count / found["cpu_s"]
    print(f"| {what} | {count:,} | {found['cpu_s']:.1f} | {rate:,.0f} | {found['peak_mb']:.0f} |", flush=True)


def write_coco(path: Path, count: int) -> int:
    """Annotations before images, as the worst case. Returns the file's size in bytes."""
    rng = random.Random(2)
    images = count // PER_IMAGE
    with path.open("w") as file:
        file.write('{"info": {}, "licenses": [], "annotations": [')
        for place in range(count):
            entry = {"id": place + 1, "image_id": rng.randrange(images) + 1, "category_id": rng.randrange(CLASSES) + 1}
            x, y, width, height = (round(rng.uniform(1, most), 2) for most in (500, 400, 130, 70))
            ring = [
                round(start + rng.random() * side, 2)
                for _ in range(POINTS)
                for start, side in ((x, width), (y, height))
            ]
            entry |= {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0, "segmentation": [ring]}  # type: ignore[dict-item]
            file.write(("," if place else "") + json.dumps(entry))
        file.write('], "images": [')
        for place in range(images):
            image = {"id": place + 1, "file_name": f"{place:012d}.jpg", "width": 640, "height": 480}
            file.write(("," if place else "") + json.dumps(image))
        categories = [{"id": place + 1, "name": f"class {place}", "supercategory": ""} for place in range(CLASSES)]
        file.write('], "categories": ' + json.dumps(categories) + "}")
    return path.stat().st_size


def rows(count: int) -> Iterator[ExportImage]:
    """Rows of a version with boxes and outlines."""
    rng = random.Random(3)
    for place in range(count // PER_IMAGE):
        labels: list[dict[str, Any]] = []
        for _ in range(PER_IMAGE):
            box = [round(rng.random() * most, 9) for most in (0.7, 0.7, 0.3, 0.3)]
            ring = [round(box[odd % 2] + rng.random() * box[2 + odd % 2], 9) for odd in range(2 * POINTS)]
            label = f"class {rng.randrange(CLASSES)}"
            labels.append({"label": label, "box": box, "score": None, "polygons": [ring]})
        uid = f"{place:032x}"
        annotation = {"id": f"{place:024x}", "method": "manual", "labels": labels}
        row = {"uid": uid, "width": 640, "height": 480, "group": uid, "attributes": {}, "annotations": [annotation]}
        yield ExportImage("train", row, f"site/{place}.jpg")


def measure(what: str, name: str, path: str, count: int = 0) -> None:
    findings, annotations = Findings("skip"), count
    started = time.process_time()
    if what == "write":
        with Path(path).open("wb") as stream:
            target = ZipTarget(stream)
            writer_of(name).write(rows(count), sorted(f"class {n}" for n in range(CLASSES)), target, findings)
            target.close()
    elif Path(path).is_dir():
        annotations = sum(len(picture.labels) for picture in reader_of(name).read(FolderSource(Path(path)), findings))
    else:
        with Path(path).open("rb") as stream:
            annotations = sum(len(picture.labels) for picture in reader_of(name).read(ZipSource(stream), findings))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"annotations": annotations, "cpu_s": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    if sys.argv[1] in ("read", "write"):
        measure(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    else:
        main([int(count) for count in sys.argv[1:]])
