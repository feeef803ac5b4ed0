"""From annotations and raw data to the rows of a manifest. Same membership, same bytes (design D13, §10.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dataloop.domain.canonical import digest
from dataloop.domain.geometry import Box, extent_of, normalise, normalise_rings, shares
from dataloop.domain.masks import extent_of_mask
from dataloop.domain.raw_data import Location, RawData
from dataloop.domain.splits import lookup

FORMAT = 2
# What each label must carry to be of use to a type of annotation. A mask has a box, too: its extent.
Needs = Literal["nothing", "box", "mask"]
# How many ids a report spells out; the counts are always complete.
REPORT_IDS = 100
# Metadata that becomes a slice in evaluation, by its name in the manifest.
ATTRIBUTES = {
    "region": "region",
    "security_level": "securityLevel",
    "source": "sourceInfo.type",
    "device": "extra.device",
    "bg": "bg",
}


@dataclass
class JoinReport:
    """What a join could not use, or used with a change."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, id: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < REPORT_IDS:
            examples.append(id)

    def add(self, other: Mapping[str, Any]) -> None:
        """Merge the JSON form of another report into this one."""
        for what, count in other.get("counts", {}).items():
            self.counts[what] = self.counts.get(what, 0) + count
        for what, ids in other.get("examples", {}).items():
            merged = self.examples.setdefault(what, [])
            merged.extend(ids[: REPORT_IDS - len(merged)])

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "examples": self.examples}


def label_rows(
    annotation_id: str,
    labels: Iterable[Mapping[str, Any]],
    size: tuple[int, int],
    report: JoinReport,
    needs: Needs = "nothing",
) -> list[dict[str, Any]]:
    """An annotation's labels as rows have them, boxes and masks in fractions of an image of this (width, height).

    Notes in the report: clipped_box and clipped_mask (cut to the image); dropped_box and dropped_mask (wholly outside
    it), wrong_mask_size (an RLE of another size than the image); label_without_box, label_without_mask (where the
    annotation's type needs one).
    """
    width, height = size
    rows = []
    for label in labels:
        sent = label.get("bbox_xyxy")
        if sent is not None and needs != "mask" and label.get("segmentation") is None:
            # Nearly all labels of most versions: a box inside the image, and nothing else.
            x1, y1, x2, y2 = sent
            if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:
                rows.append(
                    {"box": shares(x1, y1, x2, y2, width, height), "label": str(label["label"]), "score": _score(label)}
                )
                continue
        row = _label_row(annotation_id, label, size, report, needs)
        if row is not None:
            rows.append(row)
    return rows


def _label_row(
    annotation_id: str, label: Mapping[str, Any], size: tuple[int, int], report: JoinReport, needs: Needs
) -> dict[str, Any] | None:
    """One label with its box and mask in fractions, or None when nothing of it can be used.

    A mask that cannot be used is left out; the label stays where the box that was sent with it is enough.
    """
    sent_mask, sent_box = label.get("segmentation"), label.get("bbox_xyxy")
    mask = {} if sent_mask is None else _mask_row(annotation_id, sent_mask, size, report)
    if mask and label.get("iscrowd"):
        mask["crowd"] = True
    if needs == "mask" and sent_mask is None:
        report.note("label_without_mask", annotation_id)
    if not mask and (needs == "mask" or (sent_mask is not None and sent_box is None)):
        return None
    box = None
    if sent_box is not None:
        box = normalise(sent_box, *size)
        if box is None:
            report.note("dropped_box", annotation_id)
            return None
        if box.clipped:
            report.note("clipped_box", annotation_id)
    elif mask:
        box = _extent(mask)
    elif needs == "box":
        report.note("label_without_box", annotation_id)
        return None
    row = {"box": None if box is None else box.as_list(), "label": str(label["label"]), "score": _score(label)}
    return row | mask if mask else row


def _mask_row(annotation_id: str, sent: Any, size: tuple[int, int], report: JoinReport) -> dict[str, Any]:
    """{"polygons": …} in fractions or {"mask": …}, or nothing when it does not fit the image."""
    width, height = size
    if isinstance(sent, Mapping):
        if list(sent["size"]) != [height, width]:
            report.note("wrong_mask_size", annotation_id)
            return {}
        return {"mask": {"size": [height, width], "counts": sent["counts"]}}
    polygons, is_clipped = normalise_rings(sent, width, height)
    if not polygons:
        report.note("dropped_mask", annotation_id)
        return {}
    if is_clipped:
        report.note("clipped_mask", annotation_id)
    return {"polygons": polygons}


def _extent(mask: Mapping[str, Any]) -> Box:
    """The box around a row's mask."""
    if "polygons" in mask:
        box = normalise(extent_of(mask["polygons"]), 1, 1)
    else:
        height, width = mask["mask"]["size"]
        box = normalise(extent_of_mask(mask["mask"]), width, height)
    assert box is not None  # a mask of a row encloses something
    return box


def _score(label: Mapping[str, Any]) -> float | None:
    """Always a float: DynamoDB answers 1.0 as 1, a spilt body as 1.0, and both must give the same bytes."""
    score = label.get("score")
    return None if score is None else float(score)


def image_row(raw: RawData) -> dict[str, Any]:
    """Facts of the content alone."""
    assert raw.facts is not None
    return {
        "sha256": raw.facts.sha256,
        "width": raw.facts.width,
        "height": raw.facts.height,
        "media_type": raw.facts.media_type,
        "size_bytes": raw.facts.size_bytes,
    }


def object_row(uid: str, location: Location) -> dict[str, Any]:
    """Where the bytes lie: not part of a version's digest, because a copy elsewhere changes nothing."""
    return {
        "uid": uid,
        "bucket": location.bucket,
        "key": location.key,
        "version_id": location.version_id,
        "size_bytes": location.size_bytes,
    }


def attributes_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's metadata becomes a slice; what is missing or no plain value is left out."""
    found = {}
    for name, path in ATTRIBUTES.items():
        value = lookup(meta, path)
        if isinstance(value, (str, int, float)):
            found[name] = value
    return found


class RowsDigest:
    """The digest of one split: SHA-256 over the digests of its rows, in uid order.

    A row that was deleted still counts with the digest that its tombstone kept, so a version's digest can be checked
    for ever, and nothing of the row has to stay for it.
    """

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()

    def add_row(self, line: bytes) -> None:
        """line: the row's canonical JSON without the line's end."""
        self._hasher.update(hashlib.sha256(line).digest())

    def add_deleted(self, row_sha256: str) -> None:
        """row_sha256: 64 hex characters, as the tombstone has them."""
        self._hasher.update(bytes.fromhex(row_sha256))

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()


def version_digest(rows: Mapping[str, str], labels: Iterable[str]) -> str:
    """The digest of a dataset version of format 2: over its splits' row digests and its label map."""
    return digest({"format": FORMAT, "rows": dict(rows), "labels": list(labels)})


def version_digest_1(files: Mapping[str, str], labels: Iterable[str]) -> str:
    """The digest of a version of format 1: over the SHA-256 of its split files and its label map."""
    return digest({"format": 1, "files": dict(files), "labels": list(labels)})
