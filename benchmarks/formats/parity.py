"""Each format both ways: datumaro reads what Dataloop wrote, Dataloop reads what datumaro wrote.

DATUMARO_PYTHON=/path/to/its/python python -m benchmarks.formats.parity [SCENES]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.formats.scenes import Dress, version
from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.names import exported_name, stem_of
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.registry import reader_of, writer_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import ExportImage, Findings, Label, Picture
from dataloop.formats.targets import FolderTarget

SIDE = Path(__file__).with_name("datumaro_side.py")
# Format, its name with datumaro (reading, writing), and the dresses of the version that both can say.
PAIRS: tuple[tuple[str, str, str, tuple[Dress, ...]], ...] = (
    ("coco", "coco", "coco_instances", ("boxes", "polygons", "masks")),
    ("voc", "voc_detection", "voc_detection", ("boxes",)),
    ("yolo", "yolo", "yolo_ultralytics", ("boxes",)),
    ("yolo", "yolo", "yolo", ("boxes",)),
    ("imagenet", "imagenet_with_subset_dirs", "imagenet_with_subset_dirs", ("classes",)),
    ("masks", "voc_segmentation", "voc_segmentation", ("masks",)),
)


@dataclass(frozen=True)
class Agreement:
    """images and labels that both have; missing: labels of one side alone; box: the largest difference of a corner in
    pixels; mask: the largest share of an object's pixels that differ."""

    images: int
    labels: int
    missing: int
    splits: int
    box: float
    mask: float


Object = tuple[str, tuple[float, ...] | None, bytes | None]
Sides = dict[str, tuple[str, list[Object]]]


def main(scenes: int) -> None:
    python = os.environ.get("DATUMARO_PYTHON")
    if not python:
        raise SystemExit("set DATUMARO_PYTHON to the interpreter of an environment with datumaro")
    print("| format | labels | direction | images | labels | missing | other split | box, px | mask, share |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, theirs_in, theirs_out, dresses in PAIRS:
        for dress in dresses:
            with tempfile.TemporaryDirectory() as folder:
                for direction, agreement in compare(python, name, theirs_in, theirs_out, dress, scenes, Path(folder)):
                    cells = (agreement.images, agreement.labels, agreement.missing, agreement.splits)
                    print(
                        f"| {name} | {dress} | {direction} | {' | '.join(map(str, cells))} "
                        f"| {agreement.box:.4f} | {agreement.mask:.4f} |",
                        flush=True,
                    )


def compare(
    python: str, name: str, theirs_in: str, theirs_out: str, dress: Dress, scenes: int, folder: Path
) -> Iterator[tuple[str, Agreement]]:
    # Their items are called like the pictures' files; so the objects are called by their uids.
    made = version(dress, scenes, folder / "pictures")
    images = [ExportImage(image.split, image.row, exported_name(image)) for image in made]
    wanted = {image.row["uid"]: (image.split, ours(image)) for image in images}
    export, lines = folder / "ours", folder / "lines.jsonl"
    writer = writer_of(name)
    writer.write(
        images, sorted({e["label"] for i in images for e in labels_of(i.row)}), FolderTarget(export), Findings()
    )
    for image in images:
        place = export / writer.image_name(image)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "pictures" / image.file_name, place)
    run(python, "read", theirs_in, export, lines)
    sizes = {image.row["uid"]: size_of(image.row) for image in images}
    yield f"ours → datumaro {theirs_in}", agreement_of(wanted, theirs(lines), dress, sizes)
    lines.write_text("".join(json.dumps(line_of(image, folder)) + "\n" for image in images), "utf-8")
    run(python, "write", theirs_out, folder / "theirs", lines)
    findings = Findings("stop")
    found = {}
    for picture in reader_of(name).read(FolderSource(folder / "theirs"), findings):
        uid = stem_of(picture.file_name)
        found[uid] = (picture.split or "", [object_of(picture, label, sizes[uid]) for label in picture.labels])
    yield f"datumaro {theirs_out} → ours", agreement_of(wanted, found, dress, sizes)


def run(python: str, *arguments: str | Path) -> str:
    command = [python, str(SIDE), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def ours(image: ExportImage) -> list[Object]:
    size = size_of(image.row)
    return [
        (label["label"], box_of(label, size), pixels(segmentation_of(label, size), size))
        for label in labels_of(image.row)
    ]


def pixels(segmentation: Any, size: tuple[int, int]) -> bytes | None:
    return None if segmentation is None else bytes(bitmap_of(segmentation, *size).tobytes())


def object_of(picture: Picture, label: Label, size: tuple[int, int]) -> Object:
    box = label.box
    if box is not None and picture.in_shares:
        box = (box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1])
    return label.label, box, pixels(label.segmentation, size)


def line_of(image: ExportImage, folder: Path) -> dict[str, Any]:
    size = size_of(image.row)
    uid = image.row["uid"]
    labels = [
        {
            "label": label["label"],
            "box": box_of(label, size),
            "mask": label.get("mask"),
            "polygons": segmentation_of(label, size) if "polygons" in label else None,
        }
        for label in labels_of(image.row)
    ]
    picture = str(folder / "pictures" / f"{uid}.jpg")
    return {"id": uid, "split": image.split, "picture": picture, "width": size[0], "height": size[1], "labels": labels}


def theirs(lines: Path) -> Sides:
    """Datumaro's items; pieces of one object (one group) are put together."""
    found: Sides = {}
    for line in lines.read_text("utf-8").splitlines():
        item = json.loads(line)
        objects: dict[Any, Object] = {}
        for place, entry in enumerate(item["labels"]):
            key = entry["group"] or f"alone {place}"
            box, mask = tuple(entry["box"]) if entry["box"] else None, entry["mask"]
            flat = None if mask is None else pixels(mask, (mask["size"][1], mask["size"][0]))
            label, known_box, known = objects.get(key, (entry["label"], None, None))
            both = (
                known
                if flat is None
                else flat
                if known is None
                else bytes(a | b for a, b in zip(flat, known, strict=True))
            )
            objects[key] = label.rsplit("/", 1)[-1], box or known_box, both
        found[item["id"].rsplit(":", 1)[-1].rsplit("/", 1)[-1]] = (item["split"], list(objects.values()))
    return found


def agreement_of(wanted: Sides, found: Sides, dress: Dress, sizes: Mapping[str, tuple[int, int]]) -> Agreement:
    labels = missing = splits = 0
    box = mask = 0.0
    for uid, (split, objects) in wanted.items():
        their_split, rest = found.get(uid, ("", []))
        splits += uid in found and split != their_split
        rest = list(rest)
        for entry in objects:
            same = [other for other in rest if other[0] == entry[0]]
            if not same:
                missing += 1
                continue
            closest = min(same, key=lambda other: distance(entry, other, dress))
            rest.remove(closest)
            labels += 1
            if dress == "boxes":
                box = max(box, distance(entry, closest, dress))
            elif dress != "classes":
                mask = max(mask, distance(entry, closest, dress))
        missing += len(rest)
    return Agreement(len(wanted.keys() & found.keys()), labels, missing, splits, box, mask)


def distance(one: Object, other: Object, dress: Dress) -> float:
    """Pixels between corners, or the share of the object's pixels that only one side has."""
    if dress == "classes":
        return 0.0
    if dress == "boxes":
        return 1e9 if other[1] is None or one[1] is None else corners_apart(one[1], other[1])
    if one[2] is None or other[2] is None:
        return 1.0
    differing = sum(bool(a) != bool(b) for a, b in zip(one[2], other[2], strict=True))
    return differing / max(1, sum(map(bool, one[2])))


def corners_apart(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
