"""From annotations and raw data to the rows of a manifest. Same membership, same bytes (design D13, §10.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json, digest
from dataloop.domain.geometry import normalise
from dataloop.domain.raw_data import Location, RawData
from dataloop.domain.splits import SplitPolicy, lookup

FORMAT = 1
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
    annotation: Annotation, raws: Mapping[str, RawData], report: JoinReport, *, needs_boxes: bool = False
) -> Iterator[dict[str, Any]]:
    """One fragment per image the annotation speaks of: the image's facts and this annotation's labels.

    Notes in the report: missing_object (no sound object yet), not_an_image, clipped_box, dropped_box (wholly outside
    the image), label_without_box (where the annotation's type is about objects).
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
        found = (_label_row(annotation.id, label, (width, height), report, needs_boxes) for label in annotation.labels)
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
    annotation_id: str, label: Mapping[str, Any], size: tuple[int, int], report: JoinReport, needs_boxes: bool
) -> dict[str, Any] | None:
    """One label with its box in fractions, or None when nothing of it can be used."""
    row = {"label": str(label["label"]), "box": None, "score": _score(label)}
    if label.get("bbox_xyxy") is None:
        if needs_boxes:
            report.note("label_without_box", annotation_id)
        return None if needs_boxes else row
    box = normalise(label["bbox_xyxy"], *size)
    if box is None:
        report.note("dropped_box", annotation_id)
        return None
    if box.clipped:
        report.note("clipped_box", annotation_id)
    return row | {"box": box.as_list()}


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
    attributes = {name: lookup(meta, path) for name, path in ATTRIBUTES.items()}
    row = {
        "uid": uid,
        "sha256": image["sha256"],
        "width": image["width"],
        "height": image["height"],
        "group": group,
        "attributes": {name: value for name, value in attributes.items() if isinstance(value, str | int | float)},
        "annotations": [part["annotation"] for part in kept],
    }
    item = {
        "file": {"uid": uid, "object": first["object"], "image": image, "meta": meta, "split": split},
        "annotations": [{**part["annotation"], **part["full"], "data_id": uid} for part in kept],
    }
    return ImageRow(split, row, first["object"], item, tuple(sorted(replaced)))


def version_digest(file_digests: Mapping[str, str], labels: Iterable[str]) -> str:
    """The digest of a dataset version: over the digests of its split files and its label map."""
    return digest({"format": FORMAT, "files": dict(file_digests), "labels": list(labels)})
