"""Registration is two commutative, idempotent upserts: every order of events and calls ends in one state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataloop.domain.canonical import canonical_json
from dataloop.domain.ids import location_hash
from dataloop.domain.raw_data import Location, ObjectFacts, padded_sequencer
from dataloop.repositories import keys
from tests.core import Core

UID = "ab" * 16
AT = "2026-11-22T12:00:00.000Z"
FACTS = ObjectFacts("ab" * 32, 10, "image/jpeg", 4, 3)
HERE = Location("raw", "a.jpg", "v1", padded_sequencer("10"), 10)
LATER = replace(HERE, version_id="v2", sequencer=padded_sequencer("20"))
GONE = replace(LATER, sequencer=padded_sequencer("30"), is_removed=True)
META = {"region": "CN"}


def steps(core: Core) -> dict[str, Callable[[], Any]]:
    raw = core.stores.raw_data
    return {
        "first": lambda: raw.put_object_half("default", UID, FACTS, HERE, AT),
        "second": lambda: raw.put_object_half("default", UID, FACTS, LATER, AT),
        "meta": lambda: raw.put_metadata_half("default", UID, META, AT),
        "gone": lambda: raw.put_object_half("default", UID, FACTS, GONE, AT),
    }


def test_all_orders_of_two_uploads_a_removal_and_metadata_end_in_one_state(fast_core: Core) -> None:
    # given the first upload's event twice, the second of the same key once, metadata twice, and the removal
    core, multiset = fast_core, ["first", "first", "second", "meta", "meta", "gone"]
    table = core.stores.table
    states = {}
    # when they arrive in every distinct order
    orders = sorted(set(itertools.permutations(multiset)))
    for order in orders:
        for name in order:
            steps(core)[name]()
        # compared is the whole item with all attributes and index keys
        states[canonical_json(table.get(keys.raw("default", UID)))] = order
        table.delete(keys.raw("default", UID))
    # then there were 180 of them, and one state
    assert len(orders) == 180
    assert len(states) == 1, "\n".join(f"{order}: {state!r}" for state, order in states.items())


def test_without_a_removal_the_newest_version_stands(core: Core) -> None:
    for order in sorted(set(itertools.permutations(["first", "first", "second", "meta"]))):
        for name in order:
            steps(core)[name]()
        found = core.stores.raw_data.get("default", UID)
        assert [at.version_id for at in found.locations] == ["v2"]
        assert found.status == "REGISTERED"
        core.stores.table.delete(keys.raw("default", UID))


def test_one_content_at_two_keys_is_one_record_with_two_places(core: Core) -> None:
    raw = core.stores.raw_data
    raw.put_object_half("default", UID, FACTS, HERE, AT)
    raw.put_object_half("default", UID, FACTS, replace(HERE, key="b.jpg"), AT)
    # when one of them is removed
    raw.put_object_half("default", UID, FACTS, GONE, AT)
    # then it can still be read from the other
    found = raw.get("default", UID)
    assert found.location.key == "b.jpg"
    assert found.is_usable
    assert len(core.entity("RAW")) == 1


def test_an_upload_after_a_removal_brings_it_back(core: Core) -> None:
    raw = core.stores.raw_data
    raw.put_object_half("default", UID, FACTS, GONE, AT)
    raw.put_object_half("default", UID, FACTS, replace(HERE, sequencer=padded_sequencer("40")), AT)
    assert raw.get("default", UID).is_usable


def test_registering_costs_one_call_each_and_a_duplicate_changes_nothing(core: Core) -> None:
    # The first file of a process and a day also notes the day.
    core.stores.raw_data.put_object_half("default", "b" * 32, FACTS, replace(HERE, key="b.jpg"), AT)
    named = steps(core)
    for name in ("first", "meta", "second", "gone"):
        core.clients.calls.clear()
        named[name]()
        assert core.clients.calls == ["dynamodb.UpdateItem"], name
    assert named["first"]() is False
    assert named["gone"]() is False


def test_the_day_it_was_first_seen_stays_while_the_list_follows_the_newest_event(core: Core) -> None:
    raw = core.stores.raw_data
    raw.put_object_half("default", UID, FACTS, HERE, AT)
    raw.put_object_half("default", UID, FACTS, LATER, "2026-11-24T12:00:00.000Z")
    assert raw.get("default", UID).first_seen == AT
    assert [found.uid for found in raw.of_day("default", "20261124", limit=10, cursor=None)[0]] == [UID]


def test_a_waiting_half_is_listed_until_its_object_comes(core: Core) -> None:
    raw = core.stores.raw_data
    raw.put_metadata_half("default", UID, META, AT)
    assert [found.uid for found in raw.waiting("default", "20261122")] == [UID]
    raw.mark_orphaned("default", UID, AT)
    assert raw.get("default", UID).status == "ORPHANED"
    raw.put_object_half("default", UID, FACTS, HERE, AT)
    assert list(raw.waiting("default", "20261122")) == []
    assert raw.get("default", UID).status == "REGISTERED"
    # and an object that is there is never called an orphan
    raw.mark_orphaned("default", UID, AT)
    assert raw.get("default", UID).status == "REGISTERED"


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_days_list_is_paged_without_loss_or_repeat(core: Core, limit: int) -> None:
    # given images in several shards of one day
    wanted = sorted(f"{number:x}".rjust(2, "0") * 16 for number in range(0, 256, 12))
    for uid in wanted:
        core.stores.raw_data.put_object_half("default", uid, replace(FACTS, sha256=uid * 2), HERE, AT)
    # when they are read page by page
    found, cursor = [], None
    for _ in range(200):
        page, cursor = core.stores.raw_data.of_day("default", "20261122", limit=limit, cursor=cursor)
        assert len(page) <= limit
        found += [raw.uid for raw in page]
        if cursor is None:
            break
    # then each is there once
    assert sorted(found) == wanted


def test_places_are_kept_by_bucket_and_key(core: Core) -> None:
    core.stores.raw_data.put_object_half("default", UID, FACTS, HERE, AT)
    (item,) = core.entity("RAW")
    assert f"loc_{location_hash('raw', 'a.jpg')}" in item
