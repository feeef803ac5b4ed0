"""Our JSON lines: what clients send, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.formats.jsonl import JsonlReader
from dataloop.formats.surface import Findings, FormatError, Picture
from tests.formats.in_memory import Files, read_all

UID = "0" * 32
LINE = {"dataId": [UID], "annotationType": "detection", "labelInfo": [{"label": "cat", "bbox_xyxy": [1, 2, 3, 4]}]}


def read(*lines: Any, policy: str = "skip") -> tuple[list[Picture], Findings]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return read_all(JsonlReader(), Files({"a.jsonl": b"\n".join(texts)}), policy)


def test_a_line_as_clients_send_it() -> None:
    more = {"labelMethod": "manual", "modelName": "m", "owner": "me", "split": "val", "width": 9, "height": 8}
    (found,), _ = read(LINE | more, b"", policy="stop")
    assert (found.uid, found.file_name, found.kind, found.split) == (UID, "", "detection", "val")
    assert (found.width, found.height, found.labels[0].box) == (9, 8, (1, 2, 3, 4))
    assert found.attributes == {"labelMethod": "manual", "modelName": "m", "owner": "me"}


def test_a_line_may_speak_of_several_files_or_name_one() -> None:
    pictures, _ = read(
        LINE | {"dataId": ["1" * 32, "2" * 32]}, LINE | {"dataId": None, "fileName": "a.jpg"}, policy="stop"
    )
    assert [(picture.uid, picture.file_name) for picture in pictures] == [
        ("1" * 32, ""),
        ("2" * 32, ""),
        (None, "a.jpg"),
    ]


def test_what_a_label_has_of_its_own_is_an_attribute() -> None:
    (found,), _ = read(LINE | {"labelInfo": [{"label": "cat", "worn": True, "attributes": {"age": 3}}]}, policy="stop")
    assert found.labels[0].attributes == {"worn": True, "age": 3}


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1]",
        b"[" * 100_000,
        b"\xff\xfe",
        {"dataId": "x"},
        LINE | {"dataId": []},
        LINE | {"dataId": [7]},
        LINE | {"dataId": [UID] * 101},
        LINE | {"dataId": None, "fileName": "../a.jpg"},
        LINE | {"annotationType": 7},
        LINE | {"labelInfo": {"label": "cat"}},
        LINE | {"labelInfo": ["cat"]},
        LINE | {"labelInfo": [{"label": 5}]},
        LINE | {"labelInfo": [{"label": "cat"}] * 10_001},
        LINE | {"labelInfo": [{"label": "cat", "bbox_xyxy": [1, 2, float("nan"), 4]}]},
        LINE | {"labelInfo": [{"label": "cat", "bbox_xyxy": [1, 2, 10**400, 4]}]},
        LINE | {"labelInfo": [{"label": "cat", "score": 2}]},
        LINE | {"labelInfo": [{"label": "cat", "segmentation": [[1, 2, 3]]}]},
    ],
)
def test_a_wrong_line_is_named_and_the_others_are_read(line: Any) -> None:
    pictures, findings = read(LINE, line, LINE)
    assert len(pictures) == 2
    assert [problem["item"] for problem in findings.problems] == ["line 2"]
    with pytest.raises(FormatError, match="line 2"):
        read(LINE, line, policy="stop")


def test_a_source_without_lines_is_refused() -> None:
    with pytest.raises(FormatError, match="jsonl"):
        read_all(JsonlReader(), Files({"a.json": "{}"}))
