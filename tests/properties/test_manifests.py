"""The same membership gives the same bytes: whatever the order, the repeats, the number of parts and of retries."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop.domain.annotations import Annotation, make_annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.geometry import extent_of
from dataloop.domain.json_lines import canonical, parse
from dataloop.domain.manifest import JoinReport, label_rows, version_digest_1
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.splits import SPLITS, SplitPolicy
from dataloop.manifests.fragments import fragment_lines, merge_fragments
from dataloop.manifests.reducing import ReduceInput, ReduceSpec, part_name, reduce_parts
from dataloop.manifests.verifying import verify
from dataloop.repositories.codec import decode, encode

AT = "2026-11-22T12:00:00.000Z"
PLACE = Location("raw", "k", "v1", "0", 10)
POLICY = SplitPolicy(salt="name")
NAMES = {"name": "name", "version": "1", "dataset_id": "v", "info": {}}

boxes = st.tuples(st.integers(-20, 90), st.integers(-20, 90), st.integers(1, 60), st.integers(1, 60)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
# The table knows no number between 0 and 1e-130.
scores = st.floats(0, 1).filter(lambda score: score == 0 or score > 1e-100)
polygons = st.tuples(st.integers(-20, 90), st.floats(-20, 90), st.integers(1, 60)).map(
    lambda p: [[p[0], p[1], p[0] + p[2], p[1], p[0], p[1] + p[2]]]
)
# Of the images below, and of another size.
rles = st.tuples(st.sampled_from([60, 61]), st.integers(0, 4000), st.integers(1, 700)).map(
    lambda r: {"size": [r[0], 80], "counts": [r[1], r[2], 80 * r[0] - r[1] - r[2]]}
)
labels = st.lists(
    st.fixed_dictionaries(
        {"label": st.sampled_from(["cat", "dog", "ü"])},
        optional={"bbox_xyxy": boxes, "score": scores, "segmentation": polygons | rles},
    ),
    max_size=4,
)
uids = st.integers(0, 7).map(lambda number: f"{number * 37 % 256:02x}" * 16)


@st.composite
def members(draw: st.DrawFn) -> tuple[dict[str, Annotation], dict[str, RawData]]:
    """Annotations, some of which supersede others, and the raw data of most of their images."""
    found: dict[str, Annotation] = {}
    for _ in range(draw(st.integers(1, 12))):
        replaced = draw(st.sampled_from([None, *found])) if found else None
        data_ids = draw(st.lists(uids, min_size=1, max_size=3))
        made = make_annotation(
            "default", AT, data_ids=data_ids, type="object", labels=draw(labels), supersedes=replaced
        )
        found[made.id] = made
    raws = {}
    for uid in draw(st.sets(uids)):
        facts = ObjectFacts(uid * 2, 10, "image/jpeg", 80, 60, draw(st.sampled_from([None, None, None, "cut short"])))
        meta = {
            "region": draw(st.sampled_from(["CN", "US"])),
            "extra": {"group": draw(st.sampled_from(["", "a", "b"]))},
        }
        raws[uid] = RawData("default", uid, facts, (Location("raw", f"{uid}.jpg", "v1", "0", 10),), meta)
    return found, raws


def reduce_into(folder: Path, parts: Sequence[Sequence[Annotation]], raws: Mapping[str, RawData]) -> dict[str, Any]:
    """What dataset_build does: join each part, merge the shards by image, write the files into folder/manifest."""
    for area in ("shards", "reports", "scratch"):
        (folder / area).mkdir()
    for number, part in enumerate(parts):
        report = JoinReport()
        rows = sorted(line for entry in part for line in fragment_lines(entry, raws, report))
        (folder / "shards" / part_name(number)).write_bytes(b"".join(row + b"\n" for row in rows))
        (folder / "reports" / part_name(number)).write_bytes(canonical_json(report.to_json()))
    given = ReduceInput(folder / "shards", folder / "reports")
    return reduce_parts(ReduceSpec(NAMES, POLICY, len(parts)), given, folder / "scratch", folder / "manifest")


def build(parts: Sequence[Sequence[Annotation]], raws: Mapping[str, RawData]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        reduce_into(Path(name), parts, raws)
        return {path.name: path.read_bytes() for path in Path(name, "manifest").iterdir()}


def test_rows_without_masks_have_the_bytes_they_always_had() -> None:
    # digests of versions that were built before labels could have masks
    annotations, raws = [], {}
    for number in range(12):
        uid = f"{number * 37 % 256:02x}" * 16
        facts = ObjectFacts(uid * 2, 10, "image/jpeg", 80, 60)
        raws[uid] = RawData("default", uid, facts, (Location("raw", f"{uid}.jpg", "v1", "0", 10),), {"region": "CN"})
        said = [
            {"label": "cat", "bbox_xyxy": [number - 3, 1.5, number + 20.25, 70]},
            {"label": "ü", "score": 1},
        ]
        annotations.append(make_annotation("default", AT, data_ids=uid, type="object", labels=said))
    written = build([annotations], raws)
    index = json.loads(written["index.json"])
    files = {split: index["files"][f"{split}.jsonl"] for split in SPLITS}
    former = "1e3360a264d0faec09dfebaf4b286ef109fa43d840f87dc5f45950ce8be00c04"
    assert version_digest_1(files, index["labels"]) == former
    # dataset.json differs in nothing but the digest
    download = written["dataset.json"].replace(index["digest"].encode(), former.encode())
    assert sha256(download).hexdigest() == "157f6c9c5250ee64ff6280f1285dffb2935b22cef94a3791954f4cf4c0fb0955"
    # format 2: by hand
    rows = {split: [sha256(line).digest() for line in written[f"{split}.jsonl"].splitlines()] for split in SPLITS}
    content = {"format": 2, "rows": {split: sha256(b"".join(rows[split])).hexdigest() for split in SPLITS}}
    assert index["digest"] == sha256(canonical_json(content | {"labels": ["cat", "ü"]})).hexdigest()
    assert index["digest"] == "491f38155c8c02dfca465836a178080fe526545410a60caa54e92705e0d49c7e"
    assert annotations[0].id == "7f7e8b6cbfb76a663f5f8d22"


def as_stored(value: Any) -> Any:
    """What comes back from DynamoDB: our own form, and 1.0 spelt as 1."""
    value = decode(encode(value))
    if isinstance(value, list):
        return [as_stored(entry) for entry in value]
    if isinstance(value, dict):
        return {name: as_stored(entry) for name, entry in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@settings(max_examples=100, deadline=None)
@given(labels, st.sampled_from(["nothing", "box", "mask"]))
def test_a_row_has_what_its_type_needs_and_masks_lie_in_their_boxes(said: list[dict[str, Any]], needs: Any) -> None:
    uid = "0" * 32
    raws = {uid: RawData("default", uid, ObjectFacts("0" * 64, 10, "image/jpeg", 80, 60), (PLACE,))}
    made = make_annotation("default", AT, data_ids=uid, type="object", labels=said)
    report, again = JoinReport(), JoinReport()
    (line,) = fragment_lines(made, raws, report, needs=needs)
    # the same once more, as the table gives it back
    stored = make_annotation("default", AT, data_ids=uid, type="object", labels=as_stored(list(made.labels)))
    (repeated,) = fragment_lines(stored, raws, again, needs=needs)
    written, stated = (text.split(b"\t")[4].partition(b'"labels":')[2] for text in (line, repeated))
    assert stated == written
    for before, after in zip(made.labels, stored.labels, strict=True):
        assert canonical_json(after.get("segmentation")) == canonical_json(before.get("segmentation"))
    assert again.counts == report.counts
    rows = json.loads(line.split(b"\t")[4])["labels"]
    assert canonical_json(rows) == canonical_json(
        sorted(label_rows(made.id, made.labels, (80, 60), JoinReport(), needs), key=canonical_json)
    )
    assert len(rows) <= len(said)
    for row in rows:
        assert set(row) in (
            {"label", "box", "score"},
            {"label", "box", "score", "polygons"},
            {"label", "box", "score", "mask"},
        )
        assert needs == "nothing" or row["box"] is not None
        assert needs != "mask" or len(row) == 4
        assert len(row) == 3 or row["box"] is not None
    if not any("bbox_xyxy" in label for label in said):
        for row in rows:
            if "polygons" in row:
                left, top, right, bottom = extent_of(row["polygons"])
                assert row["box"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(members(), st.data())
def test_order_sharding_and_repeats_change_no_byte(
    given_members: tuple[dict[str, Annotation], dict[str, RawData]], data: st.DataObject
) -> None:
    # given one membership, joined in one sorted part
    annotations, raws = given_members
    expected = build([[annotations[id] for id in sorted(annotations)]], raws)
    # when the same membership comes shuffled, in other parts, one of them twice
    shuffled = data.draw(st.permutations(list(annotations.values())))
    size = data.draw(st.integers(1, len(shuffled)))
    parts = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    again = build([*parts, parts[0]], raws)
    # then every file but the report of the repeated part is the same
    for name in expected.keys() - {"index.json"}:
        assert again[name] == expected[name], name
    ours, theirs = json.loads(again["index.json"]), json.loads(expected["index.json"])
    assert {k: v for k, v in ours.items() if k != "report"} == {k: v for k, v in theirs.items() if k != "report"}
    # and without the repeat the report is, too
    plain = build(parts, raws)
    assert json.loads(plain["index.json"])["report"]["counts"] == theirs["report"]["counts"]


@settings(max_examples=60, deadline=None)
@given(members())
def test_no_image_is_lost_or_doubled_and_the_numbers_add_up(
    given_members: tuple[dict[str, Annotation], dict[str, RawData]],
) -> None:
    annotations, raws = given_members
    files = build([list(annotations.values())], raws)
    index = json.loads(files["index.json"])
    rows = [json.loads(line) for name in ("train", "val", "test") for line in files[f"{name}.jsonl"].splitlines()]
    usable = {uid for entry in annotations.values() for uid in entry.data_ids if uid in raws and raws[uid].is_usable}
    assert sorted(row["uid"] for row in rows) == sorted(usable)
    assert sum(index["counts"].values()) == len(usable)
    assert [json.loads(line)["uid"] for line in files["objects.jsonl"].splitlines()] == sorted(usable)
    assert len(json.loads(files["dataset.json"])["items"]) == len(usable)
    assert len(json.loads(files["images.manifest"])) == (len(usable) + 1 if usable else 0)
    assert sum(sum(split.values()) for split in index["statistics"].values()) == sum(
        len(annotation["labels"]) for row in rows for annotation in row["annotations"]
    )
    assert len(files["uids.idx"]) == 1024 + 16 * len(usable)


@settings(max_examples=60, deadline=None)
@given(members())
def test_a_superseded_annotation_drops_out_where_its_successor_speaks(
    given_members: tuple[dict[str, Annotation], dict[str, RawData]],
) -> None:
    annotations, raws = given_members
    report = JoinReport()
    by_uid: dict[str, list[bytes]] = {}
    for entry in annotations.values():
        for line in fragment_lines(entry, raws, report):
            by_uid.setdefault(line[:32].decode(), []).append(line)
    for uid, lines in by_uid.items():
        merged = merge_fragments(lines)
        here = {entry.id for entry in annotations.values() if uid in entry.data_ids}
        gone = {annotations[id].supersedes for id in here} & here
        assert set(merged.ids.decode().split(",")) == here - gone


def test_annotations_that_replace_each_other_in_a_circle_all_stay() -> None:
    facts = ObjectFacts("0" * 64, 10, "image/jpeg", 80, 60)
    raw = RawData("default", "0" * 32, facts, (Location("raw", "k", "v1", "0", 10),))
    one = make_annotation("default", AT, data_ids=raw.uid, type="object", labels=[])
    (line,) = fragment_lines(one, {raw.uid: raw}, JoinReport())
    fields = line.split(b"\t")
    fields[2] = one.id.encode()
    assert merge_fragments([b"\t".join(fields)]).ids == one.id.encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e-5, 9.99e-5, 1e-4, 1e15, 1e16, 1e17, 2**63, -(2**64), 5e-324, -0.0])
    | st.text()
    | st.sampled_from(["1e-05", ":0.00001", "[1e+16", "a,1e-9", "\x7f", "\u2028", "\x00\t\n"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(json_values)
def test_the_fast_json_has_the_bytes_of_the_canonical_one(value: Any) -> None:
    text = canonical(value)
    assert text == canonical_json(value)
    if not re.search(rb"[0-9]{19}", text):  # beyond 64 bits `parse` promises nothing
        assert parse(text) == json.loads(text)
    assert b"\t" not in text and b"\n" not in text


@settings(max_examples=40, deadline=None)
@given(members())
def test_a_row_is_canonical_json_and_the_files_verify(
    given_members: tuple[dict[str, Annotation], dict[str, RawData]],
) -> None:
    annotations, raws = given_members
    with tempfile.TemporaryDirectory() as name:
        index = reduce_into(Path(name), [list(annotations.values())], raws)
        folder = Path(name, "manifest")
        for file in ("train.jsonl", "val.jsonl", "test.jsonl", "objects.jsonl"):
            for line in (folder / file).read_bytes().splitlines():
                assert canonical_json(json.loads(line)) == line
        for file in ("index.json", "label_map.json"):
            text = (folder / file).read_bytes()
            assert canonical_json(json.loads(text)) == text
        download = (folder / "dataset.json").read_bytes()
        content = json.loads(download)
        assert b'"items":[%b],' % b",".join(map(canonical_json, content["items"])) in download
        verdict = verify(folder)
        assert (verdict.problems, verdict.digest, verdict.counts) == ([], index["digest"], index["counts"])
