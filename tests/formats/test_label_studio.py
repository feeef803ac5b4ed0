"""Label Studio's JSON: an export whose brushes its own converter has encoded, and tasks that are wrong."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.errors import InvalidInput
from dataloop.formats.brush import read_brush
from dataloop.formats.label_studio import LabelStudioReader
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import Findings, FormatError, Picture
from tests.formats.in_memory import SAMPLES, Files, decoded, read_all

# What the export's two brushes cover (label-studio-converter 0.0.59 encoded them, mask2rle): 12 × 9 pixels.
STROKES = ["............", "..#####.....", "..#####.....", "..#####.....", "............"] + ["......######"] * 3
STROKES += ["#..........."]
NOISE = [
    ".#.####...##",
    "...#..#.##.#",
    "#.###......#",
    "#.#...#..#.#",
    ".#..##...###",
    "##..#.###.#.",
    "..#........#",
    "##.#####.#..",
    "##.#..#.####",
]


def drawn(rle: Any) -> list[str]:
    return ["".join(".#"[pixel] for pixel in row) for row in decoded(rle).tolist()]


def task(*results: dict[str, Any], image: str = "a.jpg", **fields: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}]} | fields


def region(kind: str, label: str = "cup", **value: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {"id": "r1", "type": kind, "value": {kind: [label]} | value} | size


def rectangle(**value: Any) -> dict[str, Any]:
    return region("rectanglelabels", **{"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0} | value)


def read(*tasks: Any, policy: str = "skip") -> tuple[list[Picture], Findings]:
    return read_all(LabelStudioReader(), Files({"a.json": json.dumps(tasks)}), policy)


def test_an_export_as_label_studio_writes_it() -> None:
    source = FolderSource(SAMPLES / "label_studio")
    findings = Findings("stop")
    assert LabelStudioReader().recognises(source)
    table, clean = LabelStudioReader().read(source, findings)
    cup, turned, plate, strokes, noise = table.labels
    assert (table.file_name, table.attributes["other_names"]) == ("3fa85f64-table.jpg", ["table.jpg"])
    assert (table.width, table.height, table.kind) == (12, 9, "detection")
    assert (cup.label, cup.box) == ("cup", (3, 3, 9, 6))
    # Turned by 90° around its corner 6, 0: it lies to the left of it.
    assert turned.segmentation == [[6, 0, 6, 3, 3, 3, 3, 0]]
    assert plate.segmentation == [[3, 0, 9, 0, 9, 6]]
    assert drawn(strokes.segmentation) == STROKES
    assert drawn(noise.segmentation) == NOISE
    assert (clean.file_name, clean.kind, clean.labels[0].label) == ("photos/2025/a b.png", "classification", "clean")
    assert clean.attributes == {"source": "s3://kitchen/photos/2025/a b.png"}
    assert findings.losses == {
        "prediction": 1,
        "answer of another annotator": 1,
        "result keypointlabels": 1,
        "task without an answer": 1,
    }


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/3/0a1b2c3d-x.jpg", "0a1b2c3d-x.jpg"),
        ("/data/local-files/?d=photos%5C2025%2Fx.jpg", "photos/2025/x.jpg"),
        ("https://example.com/a/b%20c.jpg?X-Amz-Date=1", "a/b c.jpg"),
        ("s3://bucket/a/b?c#d.jpg", "a/b?c#d.jpg"),
        ("gs/x.jpg", "gs/x.jpg"),
    ],
)
def test_the_picture_is_named_by_its_address(address: str, name: str) -> None:
    (picture,), _ = read(task(rectangle(), image=address), policy="stop")
    assert picture.file_name == name


def test_ground_truth_counts_before_the_last_answer_and_cancelled_ones_never() -> None:
    def answer(label: str, at: str, **fields: Any) -> dict[str, Any]:
        return {"id": 1, "updated_at": at, "result": [region("choices", label)]} | fields

    first, second = answer("first", "2025-01-01"), answer("second", "2025-01-02")
    cancelled = answer("cancelled", "2025-01-03", was_cancelled=True)
    marked = answer("marked", "2024-01-01", ground_truth=True)
    (picture,), _ = read(task(annotations=[second, cancelled, first]))
    assert picture.labels[0].label == "second"
    (picture,), findings = read(task(annotations=[second, marked, first]))
    assert picture.labels[0].label == "marked"
    assert findings.losses == {"answer of another annotator": 2}


def test_an_answer_without_results_says_that_nothing_is_there() -> None:
    (picture,), findings = read(task(), policy="stop")
    assert (picture.labels, picture.kind) == ((), "detection")
    assert not findings.losses


def test_predictions_are_nobodys_word() -> None:
    pictures, findings = read(task(annotations=[], predictions=[{"result": [rectangle()]}]))
    assert pictures == []
    assert findings.losses == {"prediction": 1, "task without an answer": 1}


def test_completions_of_old_versions_are_answers() -> None:
    old = {"id": 1, "data": {"image": "a.jpg"}, "completions": [{"id": 1, "result": [rectangle()]}]}
    (picture,), _ = read(old, policy="stop")
    assert picture.labels[0].box == (20, 20, 80, 60)


def test_choices_of_one_region_are_a_loss_and_those_of_the_picture_an_attribute() -> None:
    of_region = {"id": "r1", "type": "choices", "value": {"choices": ["broken"]}}
    of_picture = {"id": "r2", "type": "choices", "value": {"choices": ["dark"]}}
    (picture,), findings = read(task(rectangle(), of_region, of_picture))
    assert [label.label for label in picture.labels] == ["cup"]
    assert picture.attributes["tags"] == "dark"
    assert findings.losses == {"result choices": 1, "label of the whole picture beside objects": 1}


def test_several_choices_are_several_labels_of_the_picture() -> None:
    choices = {"id": "r2", "type": "choices", "value": {"choices": ["dark", "wide"]}}
    (picture,), _ = read(task(choices), policy="stop")
    assert (picture.kind, [label.label for label in picture.labels]) == ("multilabel_classification", ["dark", "wide"])


BRUSH = [0, 0, 1, 176, 57, 27, 254, 55, 0]
WRONG: dict[str, tuple[Any, str]] = {
    "NaN": (rectangle(x=float("nan")), "finite"),
    "no width": (rectangle(width=0), "x2 > x1"),
    "a text for a number": (rectangle(x="left"), "number"),
    "no size": (rectangle() | {"original_width": None}, "original_width"),
    "another size": (rectangle() | {"original_width": 300}, "differ"),
    "a turned picture": (rectangle() | {"image_rotation": 90}, "image_rotation"),
    "points that are none": (region("polygonlabels", points=[1, 2, 3]), "pair"),
    "a label that is no text": ({**rectangle(), "value": {"rectanglelabels": [7]}}, "rectanglelabels"),
    "no value": ({**rectangle(), "value": None}, "value"),
    "no type": ({"id": "x"}, "type"),
    "a brush without bytes": (region("brushlabels", rle=[]), "list of bytes"),
    "a brush of texts": (region("brushlabels", rle=["a"]), "0 to 255"),
    "a brush of large numbers": (region("brushlabels", rle=[256]), "0 to 255"),
    "a brush of another picture": (region("brushlabels", rle=BRUSH), "says 432 bytes"),
    "a brush of four gigabytes": (region("brushlabels", rle=[255] * 40), "says 4294967295 bytes"),
    "a brush that ends too soon": (region("brushlabels", rle=[0, 1, 56, 128, 57, 27]), "ends in the middle"),
}


@pytest.mark.parametrize(("result", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_named_and_the_others_are_read(result: Any, reason: str) -> None:
    (picture,), findings = read(task(rectangle(), result))
    assert [label.box for label in picture.labels] == [(20, 20, 80, 60)]
    assert [problem["item"] for problem in findings.problems] == ["a.json: task 1: result 1"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match="task 1: result 1"):
        read(task(rectangle(), result), policy="stop")


WRONG_TASKS: dict[str, tuple[Any, str]] = {
    "no data": ({"id": 2, "annotations": []}, "data"),
    "no picture": (task(rectangle(), data={"text": "hello"}), "one picture"),
    "two pictures": (task(rectangle(), data={"left": "a.jpg", "right": "b.jpg"}), "one picture"),
    "a picture outside": (task(rectangle(), image="../../etc/x.jpg"), "stay inside"),
    "no result": (task(annotations=[{"id": 1, "result": None}]), "result"),
    "too many results": (task(*[{}] * 10_001), "at most 10000"),
    "a number": (7, "data"),
}


@pytest.mark.parametrize(("bad", "reason"), WRONG_TASKS.values(), ids=WRONG_TASKS)
def test_a_wrong_task_is_named_and_the_others_are_read(bad: Any, reason: str) -> None:
    pictures, findings = read(task(rectangle(), image="good.jpg"), bad)
    assert [picture.file_name for picture in pictures] == ["good.jpg"]
    assert findings.failed == 1
    assert reason in findings.problems[0]["reason"]


@pytest.mark.parametrize("end", ["", "]garbage", ", {"])
def test_a_file_that_is_broken_anywhere_is_refused(end: str) -> None:
    text = json.dumps([task(rectangle())])[:-1] + end
    with pytest.raises(FormatError, match="is not JSON"):
        read_all(LabelStudioReader(), Files({"a.json": text}))


def packed(words: list[int], sizes: tuple[int, int, int, int], draw: random.Random) -> list[int]:
    """An encoder of the packing that chooses at random between runs and single words, and among the counts' sizes."""
    bits = [f"{len(words):032b}", "00111", *(f"{size - 1:04b}" for size in sizes)]
    at = 0
    while at < len(words):
        which = draw.randrange(4)
        longest = min(len(words) - at, 1 << sizes[which])
        same = 1
        while same < longest and words[at + same] == words[at]:
            same += 1
        count = draw.randint(1, same)
        is_repeated = draw.random() < 0.6
        if not is_repeated:
            count = draw.randint(1, longest)
        bits.append(f"{int(is_repeated)}{which:02b}{count - 1:0{sizes[which]}b}")
        bits += [f"{word:08b}" for word in ([words[at]] if is_repeated else words[at : at + count])]
        at += count
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]


@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.tuples(*[st.integers(1, 16)] * 4),
    st.randoms(use_true_random=False),
)
def test_any_packing_of_a_brush_is_read(pixels: list[bool], sizes: Any, draw: random.Random) -> None:
    """Only alpha counts, whatever the colours are."""
    words = [byte for pixel in pixels for byte in (draw.randrange(256), 7, 0, 255 if pixel else 0)]
    found = [False] * len(pixels)
    last = -1
    for start, end in read_brush(packed(words, sizes, draw), len(pixels)):
        assert last < start < end
        found[start:end] = [True] * (end - start)
        last = end
    assert found == pixels


@given(st.lists(st.integers(0, 255), max_size=80), st.integers(1, 500))
def test_no_bytes_of_a_brush_break_the_reader(data: list[int], pixels: int) -> None:
    try:
        runs = list(read_brush([*(pixels * 4).to_bytes(4, "big"), *data], pixels))
    except InvalidInput:
        return
    assert all(0 <= start < end <= pixels for start, end in runs)
