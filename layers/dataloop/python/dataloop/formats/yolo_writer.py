"""Writes YOLO in Ultralytics' layout: data.yaml, labels/<split>/<uid>.txt beside images/<split>/<uid>.<suffix>.

When every object of the version has a mask, the lines are outlines, else boxes: trainers take a file with both for one of
the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dataloop.formats.losses import BOX, MASK, SPLIT, note_losses
from dataloop.formats.names import SPLITS, exported_name, stem_of
from dataloop.formats.outlines import joined, rings_of_mask
from dataloop.formats.pixels import labels_of, size_of
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.survey import Survey
from dataloop.formats.targets import Target

# As many as a manifest's shares have.
DECIMALS = 9


class YoloWriter:
    """Masks of several pieces or with holes become one outline that encloses the same pixels by the even-odd rule."""

    NAME = "yolo"

    def image_name(self, image: ExportImage) -> str:
        return f"images/{image.split}/{exported_name(image)}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        classes = {label: place for place, label in enumerate(labels)}
        splits = set()
        with Survey(images) as survey:
            has_outlines = survey.has_objects and survey.is_masked
            carried = frozenset({BOX, SPLIT, *([MASK] if has_outlines else [])})
            for image in survey.images():
                note_losses(image, findings, carried)
                splits.add(image.split)
                objects = [label for label in labels_of(image.row) if label["box"] is not None]
                line_of = _outline_line if has_outlines else _box_line
                lines = (line_of(classes[label["label"]], label, image) for label in objects)
                with target.open(f"labels/{image.split}/{stem_of(exported_name(image))}.txt") as file:
                    file.write("".join(lines).encode("ascii"))
        with target.open("data.yaml") as file:
            file.write(_data_yaml(labels, splits).encode("utf-8"))


def _data_yaml(labels: Sequence[str], splits: set[str]) -> str:
    document: dict[str, Any] = {split: f"images/{split}" for split in SPLITS if split in splits}
    document |= {"nc": len(labels), "names": dict(enumerate(labels))}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _box_line(place: int, label: Mapping[str, Any], _: ExportImage) -> str:
    left, top, width, height = label["box"]
    return f"{place} {_share(left + width / 2)} {_share(top + height / 2)} {_share(width)} {_share(height)}\n"


def _outline_line(place: int, label: Mapping[str, Any], image: ExportImage) -> str:
    if "polygons" in label:
        ring = joined(label["polygons"])
    else:
        width, height = size_of(image.row)
        ring = [
            value / (height if odd % 2 else width) for odd, value in enumerate(joined(rings_of_mask(label["mask"])))
        ]
    return f"{place} {' '.join(map(_share, ring))}\n"


def _share(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
