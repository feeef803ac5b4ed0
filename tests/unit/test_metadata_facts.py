"""Keys, tenants and the status of raw data that follows from its halves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataloop.domain.raw_data import Location, ObjectFacts, RawData, is_key, key_of, padded_sequencer, split_key

HERE = Location("bucket", "a.jpg", "v1", padded_sequencer("1"), 10)
FACTS = ObjectFacts("0" * 64, 10, "image/jpeg", 4, 4)
EMPTY = RawData("default", "0" * 32)


@pytest.mark.parametrize("tenant", ["default", "acme"])
@pytest.mark.parametrize("name", ["a.jpg", "2026-11-22/ü +%.jpg", "annotations/x.json"])
def test_a_key_knows_its_tenant_and_name(tenant: str, name: str) -> None:
    assert split_key(key_of(tenant, name)) == (tenant, name)


@pytest.mark.parametrize("key", ["tenants/", "tenants/acme", "tenants//a.jpg", "tenants/acme/"])
def test_what_names_no_tenant_belongs_to_the_default(key: str) -> None:
    assert split_key(key) == ("default", key)


def test_sequencers_of_unequal_length_sort_as_numbers() -> None:
    assert padded_sequencer("FF") < padded_sequencer("100") < padded_sequencer("0055AED6DCD90281E5")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (EMPTY, "AWAITING_OBJECT"),
        (replace(EMPTY, meta={}), "AWAITING_OBJECT"),
        (replace(EMPTY, meta={}, orphaned_at="2026"), "ORPHANED"),
        (replace(EMPTY, facts=FACTS, locations=(HERE,)), "AWAITING_METADATA"),
        (replace(EMPTY, facts=FACTS, locations=(HERE,), meta={}), "REGISTERED"),
        (replace(EMPTY, facts=FACTS, locations=(replace(HERE, from_bucket=True),)), "REGISTERED"),
        (replace(EMPTY, facts=replace(FACTS, rejected="cut"), locations=(HERE,), meta={}), "REJECTED"),
        (replace(EMPTY, facts=FACTS, locations=(replace(HERE, is_removed=True),), meta={}), "DELETED"),
        (replace(EMPTY, facts=FACTS, locations=(HERE,), meta={}, orphaned_at="2026"), "REGISTERED"),
    ],
)
def test_the_status_follows_from_the_halves(raw: RawData, status: str) -> None:
    assert raw.status == status


def test_only_a_sound_object_that_is_there_is_usable() -> None:
    assert replace(EMPTY, facts=FACTS, locations=(HERE,)).is_usable
    assert not replace(EMPTY, facts=FACTS, locations=(replace(HERE, is_removed=True),)).is_usable
    assert not replace(EMPTY, facts=replace(FACTS, rejected="cut"), locations=(HERE,)).is_usable
    assert not EMPTY.is_usable


def test_everyone_reads_from_the_same_place() -> None:
    there = replace(HERE, key="b.jpg")
    assert replace(EMPTY, locations=(there, HERE)).location == HERE


def test_a_key_that_cannot_be_is_known() -> None:
    assert is_key("ü" * 512) and not is_key("ü" * 513) and not is_key("") and not is_key("a\ud800")
