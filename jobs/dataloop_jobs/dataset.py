"""The dataset channel: manifest rows, label map, where each image lies; all checked before anything is trained."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from dataloop_inference.masks import expand
from dataloop_inference.predictions import Rle
from dataloop_jobs.faults import BadDataset, shown
from dataloop_jobs.json_files import read_json, read_json_lines

# A model's own suggestion; where people also labelled the image, their word counts and the suggestion does not.
_SUGGESTED = "auto"
# Boxes may leave the image by rounding in the annotation tool.
_BOX_SLACK = 0.01

# What each label must carry for a task type.
Needs = Literal["nothing", "box", "mask"]
Box = tuple[float, float, float, float]
# x, y, x, y, … as shares of the image's width and height; closed by itself.
Polygon = tuple[float, ...]


@dataclass(frozen=True)
class ObjectPlace:
    """Where an image's exact bytes are in S3."""

    bucket: str
    key: str
    version_id: str | None
    size_bytes: int | None


@dataclass(frozen=True)
class Truth:
    """One label of an image.

    label: index in the label map. box: (left, top, width, height) as shares of the image. At most one of polygons (the
    mask is all of them together) and mask (at the image's size) is there; a truth with either has a box, too.
    is_crowd: a region of many objects that nobody outlined one by one; no single object can be learnt from it.
    """

    label: int
    box: Box | None
    polygons: tuple[Polygon, ...] | None = None
    mask: Rle | None = None
    is_crowd: bool = False


@dataclass(frozen=True)
class Row:
    """One image of a split. width and height are in pixels, as registered."""

    uid: str
    sha256: str
    width: int
    height: int
    place: ObjectPlace
    truths: tuple[Truth, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Dataset:
    """All that the dataset channel says.

    labels: what the model can say. unknown_labels: what only the test rows say (a frozen test set may be older or newer
    than the label map); their index goes on after `labels`, and since no model output means them they count as missed.
    spec: {"model_id", "task_id", "dataset": {…}, "test": {…}}, may be empty.
    """

    labels: tuple[str, ...]
    unknown_labels: tuple[str, ...]
    splits: Mapping[str, tuple[Row, ...]]
    spec: Mapping[str, Any]

    @property
    def train(self) -> tuple[Row, ...]:
        """Rows to learn from."""
        return self.splits["train"]

    @property
    def val(self) -> tuple[Row, ...]:
        """Rows to choose the epoch and the threshold by; may be empty."""
        return self.splits["val"]

    @property
    def test(self) -> tuple[Row, ...]:
        """Frozen rows, only ever scored; may be empty."""
        return self.splits["test"]


def read_dataset(
    folder: Path, *, needs: Needs, splits: Sequence[str] = ("train", "val", "test"), labels: Sequence[str] = ()
) -> Dataset:
    """Read and check the channel; splits that are not asked for stay empty.

    needs: what each label must carry. labels: the label map to use instead of the channel's (a model that is evaluated
    brings its own).
    Raises BadDataset naming file, uid, annotation and value of the first row that cannot be used.
    """
    names = tuple(labels) or _read_labels(folder / "label_map.json")
    places = _read_places(folder / "objects.jsonl")
    index = {label: number for number, label in enumerate(names)}
    read = {
        split: tuple(_read_split(folder / f"{split}.jsonl", index, places, needs)) if split in splits else ()
        for split in ("train", "val", "test")
    }
    _require_distinct(read)
    return Dataset(names, tuple(index)[len(names) :], read, _read_spec(folder / "spec.json"))


def read_image_list(folder: Path) -> list[Row]:
    """The images of images.jsonl, in its order, each once and without labels. Raises BadDataset when there is none."""
    places = _read_places(folder / "objects.jsonl")
    rows = [_row(raw, places, (), "images.jsonl") for raw in read_json_lines(folder / "images.jsonl")]
    if not rows:
        raise BadDataset("images.jsonl lists no image: there is nothing to do")
    return list({row.uid: row for row in rows}.values())


def read_images_only(folder: Path, limit: int) -> list[Row]:
    """Up to `limit` rows of the first split that has any (test, val, train), without their labels."""
    places = _read_places(folder / "objects.jsonl")
    for split in ("test", "val", "train"):
        path = folder / f"{split}.jsonl"
        raws = islice(read_json_lines(path), limit) if path.is_file() else ()
        rows = [_row(raw, places, (), path.name) for raw in raws]
        if rows:
            return rows
    return []


def _read_labels(path: Path) -> tuple[str, ...]:
    document = read_json(path)
    labels = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise BadDataset('label_map.json must be {"labels": [name, …]}')
    if not labels:
        raise BadDataset("label_map.json holds no label: annotate some images and build the dataset again")
    if len(set(labels)) != len(labels):
        twice = next(label for label, count in Counter(labels).items() if count > 1)
        raise BadDataset(f"label_map.json holds the label {shown(twice)} twice")
    return tuple(labels)


def _read_spec(path: Path) -> Mapping[str, Any]:
    spec = read_json(path) if path.is_file() else {}
    if not isinstance(spec, dict) or not all(isinstance(spec.get(name) or {}, dict) for name in ("dataset", "test")):
        raise BadDataset('spec.json must be {"model_id", "task_id", "dataset": {…}, "test": {…}}')
    return spec


def _read_places(path: Path) -> dict[str, ObjectPlace]:
    """Where each image is, by uid."""
    places = {}
    for row in read_json_lines(path):
        for name in ("uid", "bucket", "key"):
            if not isinstance(row.get(name), str) or not row[name]:
                raise BadDataset(f"{path.name}, uid {shown(row.get('uid'))}: {name} is {shown(row.get(name))}")
        places[row["uid"]] = ObjectPlace(row["bucket"], row["key"], row.get("version_id"), row.get("size_bytes"))
    return places


def _require_distinct(splits: Mapping[str, Sequence[Row]]) -> None:
    """An image that is learnt from and scored, too, would make every number look better than it is."""
    seen: dict[str, str] = {}
    for split, rows in splits.items():
        for row in rows:
            if row.uid in seen:
                raise BadDataset(f"uid {row.uid} is in {split}.jsonl and in {seen[row.uid]}.jsonl: each image once")
            seen[row.uid] = split


def _read_split(path: Path, index: dict[str, int], places: Mapping[str, ObjectPlace], needs: Needs) -> list[Row]:
    """The rows of one file; of test.jsonl alone, labels outside the map are added to `index`."""
    if not path.is_file():
        return []
    rows = []
    for raw in read_json_lines(path):
        annotations = _annotations(raw, f"{path.name}, uid {raw.get('uid')}")
        if path.name == "test.jsonl":
            _add_unknown(annotations, index)
        row = _row(raw, places, (), path.name)
        truths = _truths(annotations, index, f"{path.name}, uid {row.uid}", needs, (row.height, row.width))
        rows.append(replace(row, truths=truths))
    return rows


def _row(raw: Mapping[str, Any], places: Mapping[str, ObjectPlace], truths: tuple[Truth, ...], file: str) -> Row:
    uid: Any = raw.get("uid")
    attributes = raw.get("attributes") or {}
    for name, kind in (("uid", str), ("sha256", str), ("width", int), ("height", int)):
        value = raw.get(name)
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or not value
            or (isinstance(value, int) and value < 1)
        ):
            raise BadDataset(f"{file}, uid {shown(uid)}: {name} is {shown(value)}")
    if uid not in places:
        raise BadDataset(f"{file}, uid {shown(uid)}: objects.jsonl does not say where this image is")
    if not isinstance(attributes, dict):
        raise BadDataset(f"{file}, uid {uid}: attributes {shown(attributes)} must be an object")
    attributes = {str(name): str(value) for name, value in attributes.items()}
    return Row(uid, str(raw["sha256"]), int(raw["width"]), int(raw["height"]), places[uid], truths, attributes)


def _annotations(raw: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A row's annotations. Raises BadDataset when they are not objects that hold lists of labels."""
    annotations = raw.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise BadDataset(f"{where}: annotations {shown(annotations)} must be a list of objects")
    for annotation in annotations:
        labels = annotation.get("labels") or []
        if not isinstance(labels, list) or not all(isinstance(one, dict) for one in labels):
            raise BadDataset(
                f"{where}, annotation {annotation.get('id')}: labels {shown(labels)} must be a list of objects"
            )
    return annotations


def _add_unknown(annotations: Sequence[Mapping[str, Any]], index: dict[str, int]) -> None:
    for annotation in annotations:
        for item in annotation.get("labels") or []:
            if isinstance(item.get("label"), str):
                index.setdefault(item["label"], len(index))


def _truths(
    annotations: Sequence[Mapping[str, Any]], index: Mapping[str, int], where: str, needs: Needs, size: tuple[int, int]
) -> tuple[Truth, ...]:
    """The labels of one image of (height, width): people's where there are any, each once."""
    by_people = [annotation for annotation in annotations if annotation.get("method") != _SUGGESTED]
    found: dict[Truth, None] = {}
    for annotation in by_people or annotations:
        for item in annotation.get("labels") or []:
            at = f"{where}, annotation {annotation.get('id')}"
            if not isinstance(item.get("label"), str) or item["label"] not in index:
                raise BadDataset(f"{at}: label {shown(item.get('label'))} is not in label_map.json")
            found[_truth(item, index[item["label"]], at, needs, size)] = None
    return tuple(found)


def _truth(item: Mapping[str, Any], label: int, where: str, needs: Needs, size: tuple[int, int]) -> Truth:
    given_polygons, given_mask, given_box = item.get("polygons"), item.get("mask"), item.get("box")
    polygons = None if given_polygons is None else _polygons(given_polygons, where)
    mask = None if given_mask is None else _mask(given_mask, where, size)
    if polygons and mask:
        raise BadDataset(f"{where}: the label has both polygons and a mask; it must be one of them")
    if needs == "mask" and not (polygons or mask):
        raise BadDataset(f"{where}: the label has no mask; a segmentation needs polygons or a mask for each label")
    is_crowd = item.get("crowd") is True
    if needs == "nothing" and given_box is None:
        return Truth(label, None, polygons, mask, is_crowd)
    if given_box is None and polygons:
        return Truth(label, _extent(polygons), polygons, None, is_crowd)
    return Truth(label, _box(given_box, where), polygons, mask, is_crowd)


def _box(box: object, where: str) -> Box:
    if box is None:
        raise BadDataset(f"{where}: the label has no box; this task_type needs one for each label")
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(_is_finite(value) for value in box):
        raise BadDataset(f"{where}: box {shown(box)} must be four finite numbers [left, top, width, height]")
    left, top, width, height = (float(value) for value in box)
    right, bottom = left + width, top + height
    if min(left, top) < -_BOX_SLACK or max(right, bottom) > 1 + _BOX_SLACK:
        raise BadDataset(f"{where}: box {shown(box)} leaves the image; values are shares of it, 0 to 1")
    left, top, right, bottom = (min(1.0, max(0.0, value)) for value in (left, top, right, bottom))
    if right <= left or bottom <= top:
        raise BadDataset(f"{where}: box {shown(box)} has no area; width and height must be more than 0")
    return left, top, right - left, bottom - top


def _polygons(given: object, where: str) -> tuple[Polygon, ...]:
    if not isinstance(given, list) or not given:
        raise BadDataset(f"{where}: polygons {shown(given)} must be a list of [x, y, x, y, …], at least one")
    return tuple(_polygon(one, f"{where}, polygon {number}") for number, one in enumerate(given))


def _polygon(given: object, where: str) -> Polygon:
    if not isinstance(given, list) or not all(_is_finite(value) for value in given):
        raise BadDataset(f"{where}: {shown(given)} must be finite numbers [x, y, x, y, …]")
    if len(given) < 6 or len(given) % 2:
        raise BadDataset(f"{where}: {len(given)} numbers; it must be x and y of at least three points")
    if min(given) < -_BOX_SLACK or max(given) > 1 + _BOX_SLACK:
        raise BadDataset(f"{where}: {shown(given)} leaves the image; values are shares of it, 0 to 1")
    polygon = tuple(min(1.0, max(0.0, float(value))) for value in given)
    if max(polygon[0::2]) <= min(polygon[0::2]) or max(polygon[1::2]) <= min(polygon[1::2]):
        raise BadDataset(f"{where}: {shown(given)} has no area")
    return polygon


def _mask(given: object, where: str, size: tuple[int, int]) -> Rle:
    counts = given.get("counts") if isinstance(given, Mapping) else None
    said = given.get("size") if isinstance(given, Mapping) else None
    if not isinstance(counts, str) or not isinstance(said, list):
        raise BadDataset(f'{where}: mask {shown(given)} must be {{"size": [height, width], "counts": compressed runs}}')
    if tuple(said) != size:
        raise BadDataset(f"{where}: the mask's size {said} is not the image's {list(size)} (height, width)")
    try:
        runs = expand(counts)
    except ValueError as error:
        raise BadDataset(f"{where}: mask counts {shown(counts)}: {error}") from None
    if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        raise BadDataset(f"{where}: the mask's runs add up to {sum(runs)} pixels; the image has {size[0] * size[1]}")
    if not sum(runs[1::2]):
        raise BadDataset(f"{where}: the mask is empty; leave the label out")
    return Rle(size[0], size[1], counts)


def _extent(polygons: Sequence[Polygon]) -> Box:
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _is_finite(value: object) -> bool:
    # JSON has whole numbers that no float can hold.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
