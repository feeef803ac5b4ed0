"""Restrictions of region and security level: what passes, what adds up, what a version holds."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput, ResidencyViolation
from dataloop.domain.residency import (
    EVERYTHING,
    Clearance,
    Holdings,
    Residency,
    check_restriction,
    clearance_of,
    united,
)

ORDER = ("public", "low", "medium", "high")


@pytest.mark.parametrize(
    ("restriction", "meta", "passes"),
    [
        ({}, {}, True),
        ({}, {"region": "CN", "securityLevel": "high"}, True),
        ({"regions": ["EU"]}, {"region": "EU"}, True),
        ({"regions": ["EU"]}, {"region": "CN"}, False),
        ({"regions": ["EU"]}, {}, False),
        ({"regions": ["EU"]}, {"region": ""}, False),
        ({"max_security_level": "low"}, {"securityLevel": "public"}, True),
        ({"max_security_level": "low"}, {"securityLevel": "low"}, True),
        ({"max_security_level": "low"}, {"securityLevel": "medium"}, False),
        ({"max_security_level": "low"}, {"securityLevel": "our own word"}, False),
        ({"max_security_level": "high"}, {}, False),
        ({"regions": ["EU"], "max_security_level": "low"}, {"region": "EU", "securityLevel": "high"}, False),
    ],
)
def test_what_a_restriction_lets_pass(restriction: dict[str, Any], meta: dict[str, Any], passes: bool) -> None:
    clearance = clearance_of(restriction, ORDER)
    assert (clearance.problem(meta) is None) is passes
    if not passes:
        with pytest.raises(ResidencyViolation, match="file x"):
            clearance.require(meta, "file x")


def test_restrictions_add_up() -> None:
    deployment = Residency({"regions": ["EU", "CN"]}, ORDER)
    both = deployment.clearance({"regions": ["EU", "US"], "max_security_level": "public"})
    assert both.problem({"region": "EU", "securityLevel": "public"}) is None
    for region in ("CN", "US"):
        assert both.problem({"region": region, "securityLevel": "public"})
    assert deployment.clearance({}) == deployment.deployment
    assert EVERYTHING.within(both) == both == both.within(EVERYTHING)


def test_a_level_that_is_no_word_any_more_lets_nothing_pass() -> None:
    clearance = clearance_of({"max_security_level": "medium"}, ("green", "red"))
    assert clearance.problem({"securityLevel": "medium"})
    assert clearance.problem({"securityLevel": "green"})


def test_a_clearance_survives_being_a_task_s_parameter() -> None:
    for clearance in (EVERYTHING, Clearance(frozenset({"EU"})), Clearance(None, frozenset({"low", "public"}))):
        assert Clearance.from_json(clearance.to_json()) == clearance


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("EU", "residency"),
        ({"region": ["EU"]}, "residency"),
        ({"regions": []}, "residency.regions"),
        ({"regions": "EU"}, "residency.regions"),
        ({"regions": [1]}, "residency.regions"),
        ({"regions": ["x"] * 101}, "residency.regions"),
        ({"max_security_level": "secret"}, "residency.max_security_level"),
        ({"max_security_level": ["low"]}, "residency.max_security_level"),
    ],
)
def test_a_restriction_that_cannot_be_kept_names_its_field(value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_restriction(value, "residency", ORDER)
    assert caught.value.field == field


def test_what_a_version_holds_is_compared_by_image() -> None:
    holdings = Holdings.none()
    for attributes in ({"region": "EU", "security_level": "low"}, {"region": "CN"}, {"region": "EU"}):
        holdings.count(attributes)
    found = holdings.to_json()
    assert found == {"regions": {"CN": 1, "EU": 2}, "security_levels": {"": 2, "low": 1}}
    problems = clearance_of({"regions": ["EU"], "max_security_level": "low"}, ORDER).problems_of(found)
    assert problems == ["1 images of region CN", "2 images of security level not stated"]
    assert EVERYTHING.problems_of(found) == []


def test_a_model_holds_what_its_versions_and_parents_held() -> None:
    first = {"regions": {"EU": 5}, "security_levels": {"low": 5}}
    second = {"regions": {"EU": 3, "CN": 1}, "security_levels": {"": 4}}
    assert united([first, second, {}]) == {"regions": {"CN": 1, "EU": 5}, "security_levels": {"": 4, "low": 5}}
