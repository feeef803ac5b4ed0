"""What a search matches: by the record, and by what is said of a file now."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.annotations import Annotation, make_annotation
from dataloop.domain.errors import InvalidInput
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.search import Where, current_of, make_where

UID = "a" * 32


def raw(places: int = 1, phash: str | None = "00000000000000ff", **meta: Any) -> RawData:
    facts = ObjectFacts(sha256="a" * 64, size_bytes=1, media_type="image/jpeg", width=10, height=10, phash=phash)
    return RawData(
        tenant="default",
        uid=UID,
        facts=facts,
        locations=tuple(Location("b", f"k{number}", "v", "1", 1) for number in range(places)),
        meta=meta,
        first_seen="2026-11-01T00:00:00.000Z",
        last_seen="2026-11-20T10:00:00.000Z",
    )


def said(*labels: str, score: float | None = None, method: str = "manual", **more: Any) -> Annotation:
    entries = [{"label": label} | ({} if score is None else {"score": score}) for label in labels]
    return make_annotation(
        "default",
        "2026-11-20",
        data_ids=[UID],
        type=more.pop("type", "detection"),
        labels=entries,
        method=method,
        **more,
    )


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({}, True),
        ({"first_day": "2026-11-20", "last_day": "2026-11-20"}, True),
        ({"first_day": "2026-11-21"}, False),
        ({"last_day": "2026-11-19"}, False),
        ({"regions": ["EU", "CN"]}, True),
        ({"regions": ["EU"]}, False),
        ({"sources": ["trigger"], "devices": ["robot-7"]}, True),
        ({"types": ["video"]}, False),
        ({"dedupe": "unique"}, True),
        ({"dedupe": "copies"}, False),
        ({"meta": [{"path": "extra.lux", "op": "lt", "value": 10}]}, True),
        ({"meta": [{"path": "extra.lux", "op": "lt", "value": "10"}]}, False),
        ({"meta": [{"path": "extra.lux", "op": "in", "value": [3, 4]}]}, True),
        ({"meta": [{"path": "extra.name", "op": "prefix", "value": "kit"}]}, True),
        ({"meta": [{"path": "extra.none", "op": "exists", "value": False}]}, True),
        ({"meta": [{"path": "extra.none", "op": "ne", "value": 1}]}, True),
        (
            {"meta": [{"path": "extra.lux", "op": "ge", "value": 3}, {"path": "region", "op": "eq", "value": "EU"}]},
            False,
        ),
    ],
)
def test_a_file_matches_by_its_record(where: dict[str, Any], matches: bool) -> None:
    extra = {"device": "robot-7", "lux": 3, "name": "kitchen"}
    record = raw(region="CN", sourceInfo={"type": "trigger"}, extra=extra)
    assert make_where(where).matches_file(record) is matches


def test_a_file_without_its_bytes_never_matches() -> None:
    assert not Where().matches_file(raw(places=0))
    assert make_where({"dedupe": "copies"}).matches_file(raw(places=2))


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({"any_label": ["cat", "cow"]}, True),
        ({"any_label": ["cow"]}, False),
        ({"all_labels": ["cat", "dog"]}, True),
        ({"all_labels": ["cat", "cow"]}, False),
        ({"no_label": ["cow"]}, True),
        ({"no_label": ["dog"]}, False),
        ({"any_label": ["dog"], "methods": ["manual"]}, False),
        ({"annotation_types": ["classification"]}, False),
        ({"methods": ["auto"]}, True),
        ({"max_score": 0.5}, True),
        ({"min_score": 0.5}, False),
        ({"any_label": ["cat"], "max_score": 0.5}, False),
        ({"any_label": ["dog"], "min_score": 0.2, "max_score": 0.5}, True),
        ({"state": "labelled"}, True),
        ({"state": "suggested"}, False),
        ({"state": "none"}, False),
    ],
)
def test_a_file_matches_by_what_is_said_of_it(where: dict[str, Any], matches: bool) -> None:
    found = [said("cat"), said("dog", score=0.3, method="auto", model_name="teacher")]
    assert (make_where(where).matching(found) is not None) is matches


def test_a_corrected_label_is_not_found_any_more() -> None:
    first = said("cat")
    second = said("dog", supersedes=first.id)
    assert make_where({"any_label": ["cat"]}).matching([first, second]) is None
    assert make_where({"any_label": ["dog"]}).matching([second, first]) == [second]


def test_annotations_that_replace_each_other_all_stay() -> None:
    first = said("cat", supersedes="b" * 24)
    assert current_of([first]) == [first]
    one, other = said("cat"), said("dog")
    one = Annotation(**{name: getattr(one, name) for name in one.__slots__} | {"supersedes": other.id})
    other = Annotation(**{name: getattr(other, name) for name in other.__slots__} | {"supersedes": one.id})
    assert current_of([one, other]) == [one, other]


def test_pictures_are_near_within_the_distance_alone() -> None:
    where = make_where({"near": UID, "distance": 3})
    assert where.is_near(raw(phash="00000000000000f8"), "00000000000000ff")
    assert not where.is_near(raw(phash="00000000000000f0"), "00000000000000ff")
    assert not where.is_near(raw(phash=None), "00000000000000ff")


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("cat", "where"),
        ({"label": ["cat"]}, "where"),
        ({"any_label": "cat"}, "where.any_label"),
        ({"any_label": [1]}, "where.any_label"),
        ({"any_label": ["x"] * 101}, "where.any_label"),
        ({"any_label": ["x" * 257]}, "where.any_label"),
        ({"first_day": "yesterday"}, "where.first_day"),
        ({"first_day": "2026-11-02", "last_day": "2026-11-01"}, "where.first_day"),
        ({"min_score": 2}, "where.min_score"),
        ({"min_score": True}, "where.min_score"),
        ({"min_score": 0.9, "max_score": 0.1}, "where.min_score"),
        ({"state": "done"}, "where.state"),
        ({"types": ["picture"]}, "where.types"),
        ({"near": "x"}, "where.near"),
        ({"distance": 13}, "where.distance"),
        ({"meta": {"a": 1}}, "where.meta"),
        ({"meta": [{"path": "a", "op": "eq"}]}, "where.meta[0]"),
        ({"meta": [{"path": "a..b", "op": "eq", "value": 1}]}, "where.meta[0].path"),
        ({"meta": [{"path": "a", "op": "like", "value": 1}]}, "where.meta[0].op"),
        ({"meta": [{"path": "a", "op": "in", "value": 1}]}, "where.meta[0].value"),
        ({"meta": [{"path": "a", "op": "eq", "value": {}}]}, "where.meta[0].value"),
        ({"meta": [{"path": "a", "op": "exists", "value": 1}]}, "where.meta[0].value"),
    ],
)
def test_a_search_that_cannot_be_read_names_its_field(where: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_where(where)
    assert caught.value.field == field


def test_a_search_survives_being_saved() -> None:
    where = {
        "first_day": "20261101",
        "regions": ["CN"],
        "any_label": ["cat"],
        "max_score": 0.5,
        "meta": [{"path": "extra.lux", "op": "lt", "value": 3}],
        "distance": 4,
    }
    kept = make_where(where).to_json()
    assert kept == where
    assert make_where(kept) == make_where(where)
    assert make_where({}).to_json() == {}
