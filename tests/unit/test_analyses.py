"""Queries for images, and what becomes of a prediction: pure rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.analyses import ImageQuery, from_json, label_state, make_image_query, suggested_labels
from dataloop.domain.annotations import Annotation, make_annotation

UID = "0" * 32
shares = st.floats(-2, 2)
sizes = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))


def said(method: str, kind: str = "detection") -> Annotation:
    return make_annotation("t", "2026-11-22T12:00:00.000Z", data_ids=[UID], type=kind, labels=[], method=method)


def test_a_query_walks_over_the_ends_of_months_and_years() -> None:
    query = make_image_query({"from": "2026-12-30", "to": "2027-01-02"}, "2027-01-02")
    assert list(query.days()) == ["20261230", "20261231", "20270101", "20270102"]
    assert list(make_image_query({}, "2028-02-29").days()) == ["20280229"]


def test_a_query_is_kept_as_json_and_read_again() -> None:
    query = ImageQuery("20261101", "20261122", ("trigger",), ("DE", "CN"), "none", 7)
    assert from_json(query.to_json()) == query


@pytest.mark.parametrize(
    ("methods", "state"),
    [([], "none"), (["auto"], "suggested"), (["auto", "auto"], "suggested"), (["auto", "manual"], "labelled")]
    + [([method], "labelled") for method in ("manual", "import", "")],
)
def test_whoever_is_no_model_is_people(methods: list[str], state: str) -> None:
    assert label_state([said(method) for method in methods]) == state


def test_only_annotations_of_the_same_type_say_something() -> None:
    found = [said("manual", "classification"), said("auto", "detection")]
    assert label_state(found, lambda kind: kind == "detection") == "suggested"
    assert label_state(found, lambda kind: kind == "pose") == "none"


@given(box=st.tuples(shares, shares, shares, shares), size=sizes)
def test_a_suggested_box_is_always_one_that_a_person_could_send(box: tuple[float, ...], size: tuple[int, int]) -> None:
    prediction: dict[str, Any] = {"label": "cat", "score": 0.5, "box": box}
    for label in suggested_labels([prediction], size, 0.5):
        x1, y1, x2, y2 = label["bbox_xyxy"]
        assert 0 <= x1 < x2 <= size[0]
        assert 0 <= y1 < y2 <= size[1]
        make_annotation("t", "now", data_ids=[UID], type="detection", labels=[label], method="auto")


def test_a_box_is_cut_at_the_edge_of_the_image() -> None:
    (label,) = suggested_labels([{"label": "cat", "score": 1, "box": [-0.1, 0.5, 0.2, 1.0]}], (200, 100), 0.0)
    assert label == {"label": "cat", "score": 1.0, "bbox_xyxy": [0.0, 50.0, 20.0, 100.0]}


def test_a_label_of_the_whole_image_has_no_box() -> None:
    (label,) = suggested_labels([{"label": "clean", "score": 0.75, "box": None}], (200, 100), 0.75)
    assert label == {"label": "clean", "score": 0.75}
