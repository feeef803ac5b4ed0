"""What a row says and a format cannot hold, counted by one set of words for all writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataloop.formats.pixels import labels_of
from dataloop.formats.surface import ExportImage, Findings

# The words of the loss report, as docs/formats.md has them.
GROUP, ATTRIBUTES, METHOD, SPLIT = "group", "attributes", "labelling method", "split"
SCORE, CROWD, MASK, BOX, IMAGE_LABEL = "score", "crowd", "mask", "box", "label of the whole image"


def note_losses(image: ExportImage, findings: Findings, carried: frozenset[str]) -> None:
    """Count what this image has and the format has no place for. carried: the words above that it can hold."""
    row, item = image.row, image.file_name
    if row["group"] != row["uid"] and GROUP not in carried:
        findings.lost(GROUP, item)
    if row["attributes"] and ATTRIBUTES not in carried:
        findings.lost(ATTRIBUTES, item)
    if METHOD not in carried and any(annotation["method"] for annotation in row["annotations"]):
        findings.lost(METHOD, item)
    if SPLIT not in carried:
        findings.lost(SPLIT, item)
    for label in labels_of(row):
        for what in sorted(_said_by(label) - carried):
            findings.lost(what, item)


def _said_by(label: Mapping[str, Any]) -> set[str]:
    said = set()
    if label["score"] is not None:
        said.add(SCORE)
    if label.get("crowd"):
        said.add(CROWD)
    if has_mask(label):
        said.add(MASK)
    if label["box"] is not None:
        said.add(BOX)
    return said if said & {MASK, BOX} else said | {IMAGE_LABEL}


def has_mask(label: Mapping[str, Any]) -> bool:
    return "polygons" in label or "mask" in label
