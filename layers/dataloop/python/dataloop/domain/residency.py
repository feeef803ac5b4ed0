"""Residency: which regions' data, and up to which security level, may be where (issue: the data engine, 8).

A restriction stands on the deployment, on a key, on a dataset version or on a release; what several say holds together.
What a file does not state cannot be shown to be allowed: under a restriction it counts as outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataloop.domain.errors import InvalidInput, ResidencyViolation

# Ours: names of regions in one restriction.
MAX_REGIONS = 100
FIELDS = ("regions", "max_security_level")


@dataclass(frozen=True, slots=True)
class Clearance:
    """What may pass: the regions, and the security levels (already all words up to the highest). None: everything."""

    regions: frozenset[str] | None = None
    levels: frozenset[str] | None = None

    @property
    def is_limited(self) -> bool:
        return self.regions is not None or self.levels is not None

    def within(self, other: Clearance) -> Clearance:
        """What both let pass."""
        return Clearance(_both(self.regions, other.regions), _both(self.levels, other.levels))

    def to_json(self) -> dict[str, list[str]]:
        return {name: sorted(names) for name in ("regions", "levels") if (names := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Clearance:
        found = {name: frozenset(value[name]) for name in ("regions", "levels") if name in value}
        return cls(**found)

    def problem(self, meta: Mapping[str, Any]) -> str | None:
        """Why a file with this metadata may not pass; None when it may."""
        region, level = meta.get("region"), meta.get("securityLevel")
        if self.regions is not None and region not in self.regions:
            return f"region {region or 'not stated'}"
        if self.levels is not None and level not in self.levels:
            return f"securityLevel {level or 'not stated'}"
        return None

    def require(self, meta: Mapping[str, Any], what: str) -> None:
        """Raises ResidencyViolation(what)."""
        problem = self.problem(meta)
        if problem is not None:
            raise ResidencyViolation(what, problem)

    def problems_of(self, holdings: Mapping[str, Any]) -> list[str]:
        """What of a version's or model's holdings (`Holdings.to_json`) may not pass."""
        found = []
        for name, allowed in (("regions", self.regions), ("security_levels", self.levels)):
            counts = holdings.get(name) or {}
            if allowed is not None:
                found += [
                    f"{count} images of {name[:-1].replace('_', ' ')} {value or 'not stated'}"
                    for value, count in sorted(counts.items())
                    if value not in allowed
                ]
        return found

    def require_holdings(self, holdings: Mapping[str, Any], what: str) -> None:
        """Raises ResidencyViolation(what)."""
        problems = self.problems_of(holdings)
        if problems:
            raise ResidencyViolation(what, "; ".join(problems[:5]))


EVERYTHING = Clearance()


@dataclass(slots=True)
class Holdings:
    """How many images a version holds of each region and security level; "" is not stated."""

    regions: dict[str, int]
    security_levels: dict[str, int]

    @classmethod
    def none(cls) -> Holdings:
        return cls({}, {})

    def count(self, attributes: Mapping[str, Any]) -> None:
        """Add one row's image, by the attributes of the row (domain/manifest.py)."""
        for counts, name in ((self.regions, "region"), (self.security_levels, "security_level")):
            value = str(attributes.get(name) or "")
            counts[value] = counts.get(value, 0) + 1

    def to_json(self) -> dict[str, dict[str, int]]:
        return {
            "regions": dict(sorted(self.regions.items())),
            "security_levels": dict(sorted(self.security_levels.items())),
        }


def united(holdings: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Everything that a model saw: the larger count of each, for its versions overlap."""
    total: dict[str, dict[str, int]] = {"regions": {}, "security_levels": {}}
    for entry in holdings:
        for name, counts in total.items():
            for value, count in (entry.get(name) or {}).items():
                counts[value] = max(counts.get(value, 0), int(count))
    return {name: dict(sorted(counts.items())) for name, counts in total.items()}


def check_restriction(value: object, field: str, order: Sequence[str]) -> dict[str, Any]:
    """A client's {"regions": […], "max_security_level": …} as it is kept; {} restricts nothing. Raises InvalidInput."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(field, "must be an object", value)
    unknown = set(value) - set(FIELDS)
    if unknown:
        raise InvalidInput(field, f"has unknown fields {sorted(map(str, unknown))}; known are {', '.join(FIELDS)}")
    checked: dict[str, Any] = {}
    regions, level = value.get("regions"), value.get("max_security_level")
    if regions is not None:
        is_list = isinstance(regions, Sequence) and not isinstance(regions, str) and len(regions) <= MAX_REGIONS
        if not is_list or not regions or not all(isinstance(name, str) and name for name in regions):
            raise InvalidInput(f"{field}.regions", f"must be a list of 1 to {MAX_REGIONS} names", regions)
        checked["regions"] = sorted(set(regions))
    if level is not None:
        if level not in order:
            raise InvalidInput(f"{field}.max_security_level", f"must be one of {', '.join(order)}", level)
        checked["max_security_level"] = level
    return checked


def clearance_of(restriction: Mapping[str, Any], order: Sequence[str]) -> Clearance:
    """The clearance that a kept restriction means; a level that is not in the order any more lets nothing pass."""
    regions, level = restriction.get("regions"), restriction.get("max_security_level")
    levels = None
    if level is not None:
        levels = frozenset(order[: order.index(level) + 1] if level in order else ())
    return Clearance(frozenset(regions) if regions is not None else None, levels)


class Residency:
    """The deployment's own restriction and its order of security levels: what turns kept restrictions into clearances."""

    def __init__(self, restriction: Mapping[str, Any], order: Sequence[str]) -> None:
        self._order = tuple(order)
        self.deployment = clearance_of(restriction, self._order)

    def check(self, value: object, field: str) -> dict[str, Any]:
        """A client's restriction as it is kept. Raises InvalidInput."""
        return check_restriction(value, field, self._order)

    def clearance(self, restriction: Mapping[str, Any]) -> Clearance:
        """A kept restriction within the deployment's."""
        return self.deployment.within(clearance_of(restriction, self._order))


def _both(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
