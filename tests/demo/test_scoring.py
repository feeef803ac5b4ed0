"""Which boxes count as found, missed or wrong on one picture."""

from __future__ import annotations

import pytest

from dataloop_demo.scoring import agreement, overlap


def _box(label: str, box: list[float], score: float | None = None) -> dict[str, object]:
    return {"label": label, "box": box} | ({"score": score} if score is not None else {})


def test_overlap_of_boxes() -> None:
    assert overlap([0, 0, 1, 1], [0, 0, 1, 1]) == 1
    assert overlap([0, 0, 1, 1], [0.5, 0, 1, 1]) == pytest.approx(1 / 3)
    assert overlap([0, 0, 1, 1], [1, 0, 1, 1]) == 0


def test_each_object_is_found_once() -> None:
    truth = [_box("cat", [0, 0, 0.4, 0.4])]
    guesses = [_box("cat", [0, 0, 0.4, 0.4], 0.6), _box("cat", [0.01, 0, 0.4, 0.4], 0.9)]

    found = agreement(truth, guesses)

    assert (found.found, found.missed, found.wrong) == (1, 0, 1)
    assert [box["kind"] for box in found.boxes] == ["right", "wrong", "truth"]


def test_another_label_or_place_is_wrong_and_the_object_missed() -> None:
    truth = [_box("cat", [0, 0, 0.4, 0.4])]

    found = agreement(truth, [_box("dog", [0, 0, 0.4, 0.4], 0.9), _box("cat", [0.5, 0.5, 0.4, 0.4], 0.8)])

    assert (found.found, found.missed, found.wrong) == (0, 1, 2)
    assert found.f1 == 0
    assert found.boxes[-1]["kind"] == "missed"


def test_nothing_said_of_nothing_is_right() -> None:
    assert agreement([], []).f1 == 1
