"""The same membership gives the same bytes: whatever the order, the repeats, the number of parts and of retries."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop.domain.annotations import Annotation, make_annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.manifest import JoinReport, fragments, merge_fragments
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.splits import SplitPolicy
from dataloop.services.manifests import ManifestWriter
from dataloop.services.merging import merged_lines

AT = "2026-11-22T12:00:00.000Z"
VERSION = DatasetVersion("default", "v", "d", "name", "1", "BUILDING", AT, SplitPolicy(salt="name"))

boxes = st.tuples(st.integers(-20, 90), st.integers(-20, 90), st.integers(1, 60), st.integers(1, 60)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
labels = st.lists(
    st.fixed_dictionaries(
        {"label": st.sampled_from(["cat", "dog", "ü"])}, optional={"bbox_xyxy": boxes, "score": st.floats(0, 1)}
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


def build(parts: Sequence[Sequence[Annotation]], raws: Mapping[str, RawData]) -> dict[str, bytes]:
    """What dataset_build does: join each part, merge the shards by image, write the files."""
    report = JoinReport()
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name), []
        for index, part in enumerate(parts):
            rows = [
                f"{fragment['uid']}\t{entry.id}\t".encode() + canonical_json(fragment)
                for entry in part
                for fragment in fragments(entry, raws, report)
            ]
            paths.append(folder / f"shard-{index}")
            paths[-1].write_bytes(b"".join(row + b"\n" for row in sorted(rows)))
        writer = ManifestWriter(folder / "manifest", VERSION, report)
        for _, lines in itertools.groupby(merged_lines(paths, folder), key=lambda line: line[:32]):
            writer.add([json.loads(line.split(b"\t", 2)[2]) for line in lines])
        writer.close()
        return {path.name: path.read_bytes() for path in (folder / "manifest").iterdir()}


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
    by_uid: dict[str, list[Any]] = {}
    for entry in annotations.values():
        for fragment in fragments(entry, raws, report):
            by_uid.setdefault(fragment["uid"], []).append(fragment)
    for uid, parts in by_uid.items():
        kept = {entry["id"] for entry in merge_fragments(parts, VERSION.split).row["annotations"]}
        here = {entry.id for entry in annotations.values() if uid in entry.data_ids}
        gone = {annotations[id].supersedes for id in here} & here
        assert kept == here - gone


def test_annotations_that_replace_each_other_in_a_circle_all_stay() -> None:
    facts = ObjectFacts("0" * 64, 10, "image/jpeg", 80, 60)
    raw = RawData("default", "0" * 32, facts, (Location("raw", "k", "v1", "0", 10),))
    one = make_annotation("default", AT, data_ids=raw.uid, type="object", labels=[])
    (fragment,) = fragments(one, {raw.uid: raw}, JoinReport())
    merged = merge_fragments([fragment | {"supersedes": one.id}], VERSION.split)
    assert [entry["id"] for entry in merged.row["annotations"]] == [one.id]
