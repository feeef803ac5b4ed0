"""A diff applied to the first version gives the second; of a version with itself it is empty; both ways it is one diff."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.canonical import canonical_json
from dataloop.domain.splits import SPLITS
from dataloop.manifests.comparing import compare_labels
from dataloop.manifests.diff_report import Summary
from dataloop.manifests.diffing import differences, entries

Json = dict[str, Any]
# uid -> (split, row), or (split, None) for an image that was erased.
Version = dict[str, tuple[str, Json | None]]

UIDS = [f"{number:02x}" * 16 for number in (0, 1, 16, 127, 128, 255)]
# Few places and sizes, so that boxes are equal, close, overlapping and far apart.
sides = st.sampled_from([0.1, 0.101, 0.2, 0.3])
boxes = st.tuples(sides, sides, sides, sides).map(list)
labels = st.lists(
    st.fixed_dictionaries(
        {
            "label": st.sampled_from(["cat", "dog", '"uid":"', "ü<b>"]),
            "box": st.none() | boxes,
            "score": st.none() | st.sampled_from([0.25, 1.0]),
        },
        optional={"crowd": st.just(True), "polygons": st.just([[0.1, 0.1, 0.2, 0.1, 0.1, 0.2]])},
    ),
    max_size=4,
)
annotations = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["a" * 24, "b" * 24]), "method": st.sampled_from(["manual", "auto"]), "labels": labels}
    ),
    max_size=2,
)
rows = st.fixed_dictionaries(
    {
        "annotations": annotations,
        "attributes": st.dictionaries(st.sampled_from(["region", "source"]), st.sampled_from(["CN", "US"])),
        "group": st.sampled_from(["g1", "g2"]),
        "height": st.just(480),
        "sha256": st.just("0" * 64),
    },
    optional={"phash": st.just("00ff00ff00ff00ff")},
)
images = st.tuples(st.sampled_from(SPLITS), st.none() | rows)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    found = draw(st.dictionaries(st.sampled_from(UIDS), images))
    return {
        uid: (split, None if row is None else row | {"uid": uid, "width": 640}) for uid, (split, row) in found.items()
    }


def written(version: Version, folder: Path) -> Path:
    """The files of a version, as a build and deletions leave them."""
    folder.mkdir()
    for split in SPLITS:
        lines = [canonical_json(row) for uid, (at, row) in sorted(version.items()) if at == split and row is not None]
        (folder / f"{split}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    gone = [
        {"uid": uid, "split": at, "row_sha256": "0" * 64} for uid, (at, row) in sorted(version.items()) if row is None
    ]
    if gone:
        (folder / "tombstones.jsonl").write_bytes(b"".join(canonical_json(stone) + b"\n" for stone in gone))
    return folder


def diff(before: Version, after: Version) -> list[Json | None]:
    with tempfile.TemporaryDirectory() as folder:
        first, second = written(before, Path(folder, "1")), written(after, Path(folder, "2"))
        return list(differences(entries(first), entries(second)))


def held(version: Version) -> Version:
    return {uid: entry for uid, entry in version.items() if entry[1] is not None}


def applied(version: Version, changes: list[Json | None]) -> Version:
    found = held(version)
    for change in changes:
        if change is not None:
            found.pop(change["uid"], None)
            if change["after"] is not None:
                found[change["uid"]] = (change["after"]["split"], change["after"]["row"])
    return found


def swapped(change: Json | None) -> Json | None:
    """The change the other way round."""
    if change is None:
        return None
    names = {"added": "removed", "removed": "added", "before": "after", "after": "before"}

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(name, name): turned(each) for name, each in value.items()}
        return [turned(each) for each in value] if isinstance(value, list) else value

    found = {name: change[name] for name in ("uid",)} | {"before": change["after"], "after": change["before"]}
    if "labels" in change:
        found["labels"] = turned(change["labels"])
    if "attributes" in change:
        found["attributes"] = turned(change["attributes"])
    gone = {"before": "after", "after": "before"}.get(change.get("erased", ""))
    if gone:
        found["erased"] = gone
    if change["before"] is None or change["after"] is None:
        found["change"] = ["erased" if gone == "after" else "removed" if change["before"] is None else "added"]
    else:
        found["change"] = change["change"]
    return found


def same(changes: list[Json | None]) -> list[str]:
    return [json.dumps(change, sort_keys=True) for change in changes]


@given(versions(), versions())
def test_a_diff_applied_to_the_first_version_gives_the_second(before: Version, after: Version) -> None:
    assert applied(before, diff(before, after)) == held(after)


@given(versions())
def test_a_version_does_not_differ_from_itself(version: Version) -> None:
    found = diff(version, version)
    assert found == [None] * len(held(version))


@given(versions(), versions())
def test_a_diff_the_other_way_round_is_the_same_diff_swapped(before: Version, after: Version) -> None:
    assert same([swapped(change) for change in diff(before, after)]) == same(diff(after, before))


@given(versions(), versions())
def test_every_image_is_counted_once(before: Version, after: Version) -> None:
    # given the summary of a diff
    summary = Summary()
    for change in diff(before, after):
        summary.add(change)
    images = summary.to_json()["images"]
    # then it adds up to what the versions hold
    assert images["unchanged"] + images["changed"] + images["added"] == len(held(after))
    assert images["unchanged"] + images["changed"] + images["removed"] + images["erased"] == len(held(before))
    assert images["moved"] <= images["changed"]
    moved = [uid for uid in held(before).keys() & held(after).keys() if before[uid][0] != after[uid][0]]
    assert sum(move["images"] for move in summary.to_json()["moves"]) == len(moved) == images["moved"]


@given(labels, labels)
def test_every_label_is_accounted_for(before: list[Json], after: list[Json]) -> None:
    # given the comparison of two lists of labels
    found = compare_labels(before, after)
    pairs = [*found["renamed"], *found["changed"]]
    # then each label is on its side once, unless its equal is on the other side
    gone, new = list(before), list(after)
    for label in list(before):
        if label in new:
            gone.remove(label)
            new.remove(label)

    def in_order(entries: list[Json]) -> list[bytes]:
        return sorted(canonical_json(label) for label in entries)

    assert in_order(found["removed"] + [pair["before"] for pair in pairs]) == in_order(gone)
    assert in_order(found["added"] + [pair["after"] for pair in pairs]) == in_order(new)
    # and what was paired says what differs
    assert all(pair["what"] for pair in found["changed"])
    assert all(pair["before"]["label"] != pair["after"]["label"] for pair in found["renamed"])
