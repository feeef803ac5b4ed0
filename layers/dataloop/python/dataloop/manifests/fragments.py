"""What travels between join and reduce: one line an image and annotation; and one image merged from its lines.

A fragment's JSON is written once, at the join, in the form the manifest's files have it. From then on its bytes are
only moved: sorted, merged and put together. Fields are separated by tabs, which canonical JSON never holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dataloop.domain.annotations import Annotation
from dataloop.domain.json_lines import canonical, canonical_sorted, exact, parse
from dataloop.domain.manifest import JoinReport, Needs, image_row, label_rows, object_row
from dataloop.domain.raw_data import RawData
from dataloop.domain.residency import EVERYTHING, Clearance


def fragment_lines(
    annotation: Annotation,
    raws: Mapping[str, RawData],
    report: JoinReport,
    *,
    needs: Needs = "nothing",
    clearance: Clearance = EVERYTHING,
) -> Iterator[bytes]:
    """One line per image that the annotation speaks of, without the line's end; sorted lines are sorted by image.

    Fields: uid, annotation id, the id it supersedes or nothing, {label: how many}, the annotation as a row has it, the
    annotation as dataset.json has it, then of the file: facts of the content, metadata, where it lies, perceptual hash
    or nothing. Notes in the report what `label_rows` does, and erased (deleted for good), missing_object (no sound
    object yet), outside_residency (not within the clearance), not_an_image.
    """
    said: dict[str, Any] | None = None
    for uid in annotation.data_ids:
        raw = raws.get(uid)
        if raw is not None and raw.is_erased:
            report.note("erased", annotation.id)
            continue
        location = None if raw is None else raw.location
        if raw is None or location is None or raw.facts is None or raw.facts.rejected:
            report.note("missing_object", annotation.id)
            continue
        if clearance.is_limited and clearance.problem(raw.meta or {}):
            report.note("outside_residency", uid)
            continue
        width, height = raw.facts.width, raw.facts.height
        if raw.facts.type != "image" or not width or not height:
            report.note("not_an_image", annotation.id)
            continue
        if said is None:
            said = _said(annotation)
        rows = label_rows(annotation.id, annotation.labels, (width, height), report, needs)
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["label"]] = counts.get(row["label"], 0) + 1
        yield b"\t".join(
            (
                uid.encode(),
                annotation.id.encode(),
                (annotation.supersedes or "").encode(),
                exact(counts),
                b'{"id":"%b","labels":[%b],"method":%b}'
                % (annotation.id.encode(), canonical_sorted(rows), exact(annotation.method)),
                canonical(said | {"data_id": uid}),
                exact(image_row(raw)),
                canonical(raw.described),
                exact(object_row(uid, location)),
                (raw.facts.phash or "").encode(),
            )
        )


def _said(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "method": annotation.method,
        "type": annotation.type,
        "labels": annotation.labels,
        "scope": annotation.scope,
        "model_name": annotation.model_name,
        "model_version": annotation.model_version,
        "bg": annotation.bg,
        "owner": annotation.owner,
    }


class MergedImage(NamedTuple):
    """One image of a version, merged from its fragments; everything as bytes, as it will be written.

    superseded: how many annotations dropped out. ids: the annotations' ids, joined by commas. labels: {label: how many}.
    annotations and items: the annotations as a row and as dataset.json have them, each a list without its brackets.
    facts, meta, place: objects. phash: may be empty.
    """

    uid: bytes
    superseded: bytes
    ids: bytes
    labels: bytes
    annotations: bytes
    items: bytes
    facts: bytes
    meta: bytes
    place: bytes
    phash: bytes


def merge_fragments(lines: Iterable[bytes]) -> MergedImage:
    """Merge all fragments of one image. Superseded annotations drop out; order and repeats do not matter."""
    by_id = {fields[1]: fields for fields in (line.split(b"\t") for line in lines)}
    replaced = {fields[2] for fields in by_id.values() if fields[2] in by_id}
    if replaced >= by_id.keys():
        replaced = set()  # they replace each other in a circle: nobody has the last word, so all of them stay
    kept = [by_id[id] for id in sorted(by_id) if id not in replaced]
    uid, _, _, labels, _, _, facts, meta, place, phash = kept[0]
    return MergedImage(
        uid,
        b"%d" % len(replaced),
        b",".join([fields[1] for fields in kept]),
        labels if len(kept) == 1 else _sum([fields[3] for fields in kept]),
        b",".join([fields[4] for fields in kept]),
        b",".join([fields[5] for fields in kept]),
        facts,
        meta,
        place,
        phash,
    )


def _sum(counts: Iterable[bytes]) -> bytes:
    total: dict[str, int] = {}
    for text in counts:
        for label, count in parse(text).items():
            total[label] = total.get(label, 0) + count
    return exact(total)
