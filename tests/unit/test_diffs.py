"""Diffs by example: what counts as moved, renamed, drawn anew; the page; and finding a line in a sorted file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dataloop.domain.canonical import canonical_json
from dataloop.manifests import comparing, lookup
from dataloop.manifests.comparing import compare_labels, overlap
from dataloop.manifests.diff_report import FILES, write_diff

Json = dict[str, Any]
TRIANGLE = [[0.1, 0.1, 0.3, 0.1, 0.1, 0.3]]


def label(name: str = "cat", box: list[float] | None = None, **more: Any) -> Json:
    return {"label": name, "box": [0.1, 0.1, 0.4, 0.4] if box is None else box, "score": None} | more


def whole(name: str, score: float | None = None) -> Json:
    return {"label": name, "box": None, "score": score}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (label(), label(box=[0.1, 0.1, 0.4, 0.401]), ["nudge"]),
        (label(), label(box=[0.15, 0.1, 0.4, 0.4]), ["box"]),
        (label(), label(polygons=TRIANGLE), ["mask"]),
        (label(polygons=TRIANGLE), label(mask={"size": [4, 4], "counts": "x"}), ["mask"]),
        (label(), label(score=0.5), ["score"]),
        (label(polygons=TRIANGLE), label(polygons=TRIANGLE, crowd=True), ["crowd"]),
        (label(), label(box=[0.15, 0.1, 0.4, 0.4], score=0.5), ["box", "score"]),
        (whole("cat"), whole("cat", 0.5), ["score"]),
    ],
)
def test_one_object_that_changed_says_what(before: Json, after: Json, what: list[str]) -> None:
    found = compare_labels([before], [after])
    assert [pair["what"] for pair in found["changed"]] == [what]
    assert not found["added"]
    assert not found["removed"]


@pytest.mark.parametrize(
    ("before", "after"),
    [(label("cat"), label("dog")), (label("cat"), label("dog", [0.12, 0.1, 0.4, 0.4])), (whole("cat"), whole("dog"))],
)
def test_one_object_of_another_name_was_renamed(before: Json, after: Json) -> None:
    found = compare_labels([before], [after])
    assert [(pair["before"], pair["after"]) for pair in found["renamed"]] == [(before, after)]
    assert not found["changed"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([label(box=[0.1, 0.1, 0.1, 0.1])], [label(box=[0.5, 0.5, 0.1, 0.1])]),  # far apart
        ([label(box=[0.1, 0.1, 0.4, 0.4])], [label(box=[0.1, 0.1, 0.1, 0.1])]),  # overlap below a half
        ([whole("cat")], [label("cat")]),
        ([whole("a"), whole("b")], [whole("c")]),  # nobody can say which of the two was renamed
    ],
)
def test_what_is_no_one_object_is_gone_and_new(before: list[Json], after: list[Json]) -> None:
    found = compare_labels(before, after)
    assert (len(found["removed"]), len(found["added"])) == (len(before), len(after))


def test_the_best_overlap_is_matched_first_and_repeats_are_counted() -> None:
    # given two boxes that could both be the old one, and a label that is there twice
    near, far = label(box=[0.11, 0.1, 0.4, 0.4]), label(box=[0.2, 0.1, 0.4, 0.4])
    found = compare_labels([label(), whole("x"), whole("x")], [far, near, whole("x")])
    assert [pair["after"] for pair in found["changed"]] == [near]
    assert found["added"] == [far]
    assert found["removed"] == [whole("x")]


def test_a_crowd_of_differing_labels_is_not_matched_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MAX_PAIRS", 3)
    old, new = ([label(f"{side}{n}", [n / 10, 0.1, 0.1, 0.1]) for n in range(2)] for side in "ab")
    found = compare_labels(old, new)
    assert (found["removed"], found["added"], found["renamed"]) == (old, new, [])


def test_overlap_of_boxes() -> None:
    box = [0.1, 0.1, 0.2, 0.2]
    assert overlap(box, box) == pytest.approx(1.0)
    assert overlap(box, [0.2, 0.1, 0.2, 0.2]) == pytest.approx(1 / 3)
    assert overlap(box, [0.31, 0.1, 0.2, 0.2]) == 0.0
    assert overlap([0, 0, 0, 0], [0, 0, 0, 0]) == 0.0


def version(folder: Path, images: dict[str, Json], digest: str, stones: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    rows = []
    statistics: dict[str, dict[str, int]] = {}
    for uid, found in sorted(images.items()):
        rows.append({"uid": uid, "sha256": uid * 2, "width": 64, "height": 48, "group": uid, "attributes": {}} | found)
        for each in rows[-1]["annotations"]:
            for one in each["labels"]:
                statistics.setdefault(one["label"], {"train": 0})["train"] += 1
    (folder / "train.jsonl").write_bytes(b"".join(canonical_json(row) + b"\n" for row in rows))
    for split in ("val", "test"):
        (folder / f"{split}.jsonl").write_bytes(b"")
    if stones:
        lines = (canonical_json({"uid": uid, "split": "train", "row_sha256": "0" * 64}) for uid in stones)
        (folder / "tombstones.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    index = {"digest": digest, "counts": {"train": len(rows)}, "statistics": statistics}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def said(*labels: Json) -> Json:
    return {"annotations": [{"id": "a" * 24, "method": "manual", "labels": list(labels)}]}


def test_the_files_of_a_diff(tmp_path: Path) -> None:
    # given two versions: an image is labelled anew with a hostile name, one was deleted for good
    bad = '<script>alert("x")</script>'
    before = version(tmp_path / "1", {"0" * 32: said(label()), "1" * 32: said(label())}, "d1")
    after = version(tmp_path / "2", {"0" * 32: said(label(bad))}, "d2", stones=("1" * 32,))
    names = {"before": {"name": "animals & co", "version": "1"}, "after": {"name": "animals & co", "version": "2"}}
    # when they are compared
    found = write_diff(before, after, tmp_path / "diff", names)
    # then all files are there and say the same
    assert sorted(path.name for path in (tmp_path / "diff").iterdir()) == sorted(FILES)
    assert json.loads((tmp_path / "diff/summary.json").read_bytes()) == found
    assert (found["images"]["relabelled"], found["images"]["erased"], found["images"]["removed"]) == (1, 1, 0)
    lines = [json.loads(line) for line in (tmp_path / "diff/diff.jsonl").read_bytes().splitlines()]
    assert [(line["change"], line.get("erased")) for line in lines] == [(["relabelled"], None), (["erased"], "after")]
    assert list(found["statistics"]) == ["cat", bad]
    # and the page shows names as they are, and runs nothing
    page = (tmp_path / "diff/diff.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "animals &amp; co 1 → animals &amp; co 2" in page


def test_equal_digests_are_said_to_be_the_same(tmp_path: Path) -> None:
    sides = [version(tmp_path / name, {"0" * 32: said(label())}, "d") for name in "12"]
    found = write_diff(*sides, tmp_path / "diff", {"before": {}, "after": {}})
    assert (found["is_same"], found["images"]["unchanged"], found["statistics"]) == (True, 1, {})
    assert "hold the same" in (tmp_path / "diff/diff.html").read_text()


@pytest.mark.parametrize("window", [20, 64, 300, 100_000])
@pytest.mark.parametrize("guess", [0.0, 0.5, 1.0])
def test_a_line_is_found_whatever_the_guess_and_the_window(
    monkeypatch: pytest.MonkeyPatch, window: int, guess: float
) -> None:
    # given lines of very different lengths
    monkeypatch.setattr(lookup, "READ_BYTES", window)
    uids = [f"{number * 3:032x}" for number in range(60)]
    body = b"".join(canonical_json({"uid": uid, "pad": "x" * (int(uid, 16) * 7 % 90)}) + b"\n" for uid in uids)

    def read(start: int, length: int) -> bytes:
        return body[start : start + length]

    # then each is found, and what lies between them is not
    for uid in uids:
        found = lookup.find_line(read, len(body), uid, guess)
        assert found is not None
        assert found["uid"] == uid
        assert lookup.find_line(read, len(body), f"{int(uid, 16) + 1:032x}", guess) is None
    assert lookup.find_line(lambda *_: b"", 0, uids[0], guess) is None
