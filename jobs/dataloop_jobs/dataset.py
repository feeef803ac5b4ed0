"""The dataset channel: manifest rows, label map, where each image lies; all checked before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dataloop_jobs.faults import BadDataset
from dataloop_jobs.json_files import read_json, read_json_lines

# A model's own suggestion; where people also labelled the image, their word counts and the suggestion does not.
_SUGGESTED = "auto"
# Boxes may leave the image by rounding in the annotation tool.
_BOX_SLACK = 0.01


@dataclass(frozen=True)
class ObjectPlace:
    """Where an image's exact bytes are in S3."""

    bucket: str
    key: str
    version_id: str | None
    size_bytes: int | None


@dataclass(frozen=True)
class Truth:
    """One label of an image. label: index in the label map. box: (left, top, width, height) as shares of the image."""

    label: int
    box: tuple[float, float, float, float] | None


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
    folder: Path, *, needs_boxes: bool, splits: Sequence[str] = ("train", "val", "test"), labels: Sequence[str] = ()
) -> Dataset:
    """Read and check the channel; splits that are not asked for stay empty.

    labels: the label map to use instead of the channel's (a model that is evaluated brings its own).
    Raises BadDataset naming file, uid, annotation and value of the first row that cannot be used.
    """
    names = tuple(labels) or _read_labels(folder / "label_map.json")
    places = {row["uid"]: _place(row) for row in read_json_lines(folder / "objects.jsonl")}
    index = {label: number for number, label in enumerate(names)}
    read = {
        split: tuple(_read_split(folder / f"{split}.jsonl", index, places, needs_boxes)) if split in splits else ()
        for split in ("train", "val", "test")
    }
    spec_path = folder / "spec.json"
    spec = read_json(spec_path) if spec_path.is_file() else {}
    return Dataset(names, tuple(index)[len(names) :], read, spec)


def read_images_only(folder: Path, limit: int) -> list[Row]:
    """Up to `limit` rows of the first split that has any (test, val, train), without their labels."""
    places = {row["uid"]: _place(row) for row in read_json_lines(folder / "objects.jsonl")}
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
        raise BadDataset(f"label_map.json holds a label twice: {labels}")
    return tuple(labels)


def _place(row: Mapping[str, Any]) -> ObjectPlace:
    try:
        return ObjectPlace(str(row["bucket"]), str(row["key"]), row.get("version_id"), row.get("size_bytes"))
    except KeyError as error:
        raise BadDataset(f"objects.jsonl: uid {row.get('uid')} has no {error.args[0]}") from None


def _read_split(path: Path, index: dict[str, int], places: Mapping[str, ObjectPlace], needs_boxes: bool) -> list[Row]:
    """The rows of one file; of test.jsonl alone, labels outside the map are added to `index`."""
    if not path.is_file():
        return []
    rows = []
    for raw in read_json_lines(path):
        annotations = raw.get("annotations") or []
        if path.name == "test.jsonl":
            _add_unknown(annotations, index)
        truths = _truths(annotations, index, f"{path.name}, uid {raw.get('uid')}", needs_boxes)
        rows.append(_row(raw, places, truths, path.name))
    return rows


def _row(raw: Mapping[str, Any], places: Mapping[str, ObjectPlace], truths: tuple[Truth, ...], file: str) -> Row:
    uid = str(raw.get("uid"))
    for name in ("uid", "sha256", "width", "height"):
        if not raw.get(name):
            raise BadDataset(f"{file}, uid {uid}: {name} is {raw.get(name)!r}")
    if uid not in places:
        raise BadDataset(f"{file}, uid {uid}: objects.jsonl does not say where this image is")
    attributes = {str(name): str(value) for name, value in (raw.get("attributes") or {}).items()}
    return Row(uid, str(raw["sha256"]), int(raw["width"]), int(raw["height"]), places[uid], truths, attributes)


def _add_unknown(annotations: Sequence[Mapping[str, Any]], index: dict[str, int]) -> None:
    for annotation in annotations:
        for item in annotation.get("labels") or []:
            if isinstance(item.get("label"), str):
                index.setdefault(item["label"], len(index))


def _truths(
    annotations: Sequence[Mapping[str, Any]], index: Mapping[str, int], where: str, needs_boxes: bool
) -> tuple[Truth, ...]:
    """The labels of one image: people's where there are any, each once."""
    by_people = [annotation for annotation in annotations if annotation.get("method") != _SUGGESTED]
    found: dict[Truth, None] = {}
    for annotation in by_people or annotations:
        for item in annotation.get("labels") or []:
            label, box = item.get("label"), item.get("box")
            at = f"{where}, annotation {annotation.get('id')}"
            if label not in index:
                raise BadDataset(f"{at}: label {label!r} is not in label_map.json")
            found[Truth(index[label], _box(box, at, needs_boxes))] = None
    return tuple(found)


def _box(box: object, where: str, needs_boxes: bool) -> tuple[float, float, float, float] | None:
    if box is None:
        if needs_boxes:
            raise BadDataset(f"{where}: the label has no box; task_type detection needs one for each label")
        return None
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(_is_finite(value) for value in box):
        raise BadDataset(f"{where}: box {box!r} must be four finite numbers [left, top, width, height]")
    left, top, width, height = (float(value) for value in box)
    right, bottom = left + width, top + height
    if min(left, top) < -_BOX_SLACK or max(right, bottom) > 1 + _BOX_SLACK:
        raise BadDataset(f"{where}: box {box!r} leaves the image; values are shares of it, 0 to 1")
    left, top, right, bottom = (min(1.0, max(0.0, value)) for value in (left, top, right, bottom))
    if right <= left or bottom <= top:
        raise BadDataset(f"{where}: box {box!r} has no area")
    return left, top, right - left, bottom - top


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
