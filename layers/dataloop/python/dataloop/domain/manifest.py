"""From annotations and raw data to the rows of a manifest. Same membership, same bytes (design D13, §10.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json, digest
from dataloop.domain.geometry import Box, extent_of, normalise, normalise_rings
from dataloop.domain.masks import extent_of_mask
from dataloop.domain.raw_data import Location, RawData
from dataloop.domain.splits import SplitPolicy, lookup

FORMAT = 1
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


def fragments(
    annotation: Annotation, raws: Mapping[str, RawData], report: JoinReport, *, needs: Needs = "nothing"
) -> Iterator[dict[str, Any]]:
    """One fragment per image the annotation speaks of: the image's facts and this annotation's labels.

    Notes in the report: missing_object (no sound object yet), not_an_image; clipped_box and clipped_mask (cut to the
    image); dropped_box and dropped_mask (wholly outside it), wrong_mask_size (an RLE of another size than the image);
    label_without_box, label_without_mask (where the annotation's type needs one).
    """
    for uid in annotation.data_ids:
        raw = raws.get(uid)
        if raw is None or raw.facts is None or not raw.is_usable:
            report.note("missing_object", annotation.id)
            continue
        width, height = raw.facts.width, raw.facts.height
        if raw.facts.type != "image" or not width or not height:
            report.note("not_an_image", annotation.id)
            continue
        found = (_label_row(annotation.id, label, (width, height), report, needs) for label in annotation.labels)
        labels = sorted((row for row in found if row is not None), key=canonical_json)
        location = raw.location
        assert location is not None  # is_usable says so
        yield {
            "uid": uid,
            "image": image_row(raw),
            "object": object_row(uid, location),
            "annotation": {"id": annotation.id, "method": annotation.method, "labels": labels},
            "supersedes": annotation.supersedes,
            "meta": dict(raw.meta or {}),
            "full": {
                "type": annotation.type,
                "labels": [dict(label) for label in annotation.labels],
                "scope": list(annotation.scope),
                "model_name": annotation.model_name,
                "model_version": annotation.model_version,
                "bg": annotation.bg,
                "owner": annotation.owner,
            },
        }


def _label_row(
    annotation_id: str, label: Mapping[str, Any], size: tuple[int, int], report: JoinReport, needs: Needs
) -> dict[str, Any] | None:
    """One label with its box and mask in fractions, or None when nothing of it can be used.

    A mask that cannot be used is left out; the label stays where the box that was sent with it is enough.
    """
    row = {"label": str(label["label"]), "box": None, "score": _score(label)}
    sent_mask, sent_box = label.get("segmentation"), label.get("bbox_xyxy")
    mask = {} if sent_mask is None else _mask_row(annotation_id, sent_mask, size, report)
    if mask and label.get("iscrowd"):
        mask["crowd"] = True
    if needs == "mask" and sent_mask is None:
        report.note("label_without_mask", annotation_id)
    if not mask and (needs == "mask" or (sent_mask is not None and sent_box is None)):
        return None
    if sent_box is not None:
        box = normalise(sent_box, *size)
        if box is None:
            report.note("dropped_box", annotation_id)
            return None
        if box.clipped:
            report.note("clipped_box", annotation_id)
        return row | {"box": box.as_list()} | mask
    if mask:
        return row | {"box": _extent(mask).as_list()} | mask
    if needs == "box":
        report.note("label_without_box", annotation_id)
    return None if needs == "box" else row


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
    return None if label.get("score") is None else float(label["score"])


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


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a version, merged from its fragments."""

    split: str
    row: dict[str, Any]
    object: dict[str, Any]
    item: dict[str, Any]
    superseded: tuple[str, ...]


def merge_fragments(parts: Iterable[Mapping[str, Any]], policy: SplitPolicy) -> ImageRow:
    """Merge all fragments of one image. Superseded annotations drop out; order and repeats do not matter."""
    by_id = {part["annotation"]["id"]: part for part in parts}
    replaced = {part["supersedes"] for part in by_id.values() if part["supersedes"] in by_id}
    if replaced >= by_id.keys():
        replaced = set()  # they replace each other in a circle: nobody has the last word, so all of them stay
    kept = [by_id[id] for id in sorted(by_id) if id not in replaced]
    first = kept[0]
    uid, image, meta = first["uid"], first["image"], first["meta"]
    split, group = policy.split_of(uid, meta)
    row = {
        "uid": uid,
        "sha256": image["sha256"],
        "width": image["width"],
        "height": image["height"],
        "group": group,
        "attributes": attributes_of(meta),
        "annotations": [part["annotation"] for part in kept],
    }
    item = {
        "file": {"uid": uid, "object": first["object"], "image": image, "meta": meta, "split": split},
        "annotations": [{**part["annotation"], **part["full"], "data_id": uid} for part in kept],
    }
    return ImageRow(split, row, first["object"], item, tuple(sorted(replaced)))


def attributes_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's metadata becomes a slice; what is missing or no plain value is left out."""
    found = {name: lookup(meta, path) for name, path in ATTRIBUTES.items()}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def version_digest(file_digests: Mapping[str, str], labels: Iterable[str]) -> str:
    """The digest of a dataset version: over the digests of its split files and its label map."""
    return digest({"format": FORMAT, "files": dict(file_digests), "labels": list(labels)})
