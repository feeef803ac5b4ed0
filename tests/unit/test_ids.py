"""Ids: content decides, shapes are checked, order and repeats do not matter."""

from __future__ import annotations

import uuid

import pytest

from dataloop.domain import ids
from dataloop.domain.errors import InvalidInput

SHA = "ab" * 32
UID = "ab" * 16


def said(**changes: object) -> str:
    statement: dict[str, object] = {
        "data_ids": [UID, "cd" * 16],
        "type": "object",
        "labels": [{"label": "poop", "bbox_xyxy": [1, 2, 3, 4]}],
        "model": "m",
        "version": "1",
        "method": "auto",
    }
    return ids.annotation_id(**(statement | changes))  # type: ignore[arg-type]


def test_the_uid_is_the_first_half_of_the_digest() -> None:
    assert ids.uid_of(SHA) == UID


@pytest.mark.parametrize("value", ["", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "xy" * 32])
def test_only_a_lower_case_digest_makes_a_uid(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ids.uid_of(value)
    assert refused.value.field == "sha256"


@pytest.mark.parametrize("value", [None, 7, "", "AB" * 16, "ab" * 15, UID + "\n", [UID]])
def test_a_uid_of_another_shape_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        ids.check_uid(value, "dataId")
    assert refused.value.field == "dataId"


def test_the_same_statement_has_one_id_whatever_the_order_of_files() -> None:
    assert said() == said(data_ids=["cd" * 16, UID, UID])


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "detection"},
        {"labels": []},
        {"model": "n"},
        {"version": "2"},
        {"method": "manual"},
        {"data_ids": [UID]},
        {"supersedes": "0" * 24},
    ],
)
def test_every_part_of_a_statement_counts(changes: dict[str, object]) -> None:
    assert said() != said(**changes)


def test_correcting_back_is_a_statement_of_its_own() -> None:
    # given A, and B that corrects it
    first = said()
    second = said(labels=[], supersedes=first)
    # when somebody corrects B back to what A said
    third = said(supersedes=second)
    # then it is not taken for A itself
    assert len({first, second, third}) == 3


def test_a_segment_is_its_set_of_ids() -> None:
    assert ids.segment_id(["b", "a", "b"]) == ids.segment_id(["a", "b"]) != ids.segment_id(["a", "c"])


def test_time_ordered_ids_are_valid_and_sort_by_time() -> None:
    early, late = ids.uuid7(1_000, b"\xff" * 10), ids.uuid7(1_001, b"\x00" * 10)
    assert early < late
    assert uuid.UUID(early).version == 7
    assert uuid.UUID(early).variant == uuid.RFC_4122


def test_deciding_the_same_thing_twice_gives_one_id() -> None:
    assert ids.derived_uuid(5, "run", 1) == ids.derived_uuid(5, "run", 1) != ids.derived_uuid(5, "run", 2)


def test_a_storage_id_has_the_shape_of_the_seed() -> None:
    found = ids.storage_id("bucket", "a/b c+ü.jpg")
    assert len(found) == 13
    assert found.isalnum() and found == found.lower()
    assert found != ids.storage_id("bucketa", "/b c+ü.jpg")
