"""May this model be released? Pure rules over metrics; every answer has its reasons in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataloop.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Gate:
    """margin: how much better than the champion; max_class_drop: how much any class may lose (design §6.4: 2 points);
    min_primary: the least primary metric; all as fractions (0.02 = 2 points)."""

    margin: float = 0.0
    max_class_drop: float = 0.02
    min_primary: float = 0.0
    # A class seen fewer times than this in the test set says too little to veto a release.
    min_class_support: int = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and the sentences that justify it."""

    promote: bool
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"promote": self.promote, "reasons": list(self.reasons)}


def make_gate(value: object) -> Gate:
    """Read a client's gate object. Raises InvalidInput("gate…")."""
    if value is None:
        return Gate()
    if not isinstance(value, Mapping):
        raise InvalidInput("gate", "must be an object", value)
    known = {"margin": 1.0, "max_class_drop": 1.0, "min_primary": 1.0, "min_class_support": 1e9}
    for name, number in value.items():
        if name not in known:
            raise InvalidInput("gate", f"has no field {name!r}; it has {sorted(known)}")
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= known[name]:
            raise InvalidInput(f"gate.{name}", f"must be a number from 0 to {known[name]:g}", number)
    return Gate(**{name: type(getattr(Gate(), name))(number) for name, number in value.items()})


def primary(metrics: Mapping[str, Any]) -> float | None:
    """The primary metric, or None when the test set gave none."""
    value = (metrics.get("primary") or {}).get("value")
    return float(value) if value is not None else None


def _class_score(entry: Mapping[str, Any]) -> float | None:
    for name in ("AP50", "f1"):
        if entry.get(name) is not None:
            return float(entry[name])
    return None


def decide(gate: Gate, challenger: Mapping[str, Any], champion: Mapping[str, Any] | None) -> Verdict:
    """Compare a challenger with the champion (None: there is none yet) on the same frozen test set."""
    ours = primary(challenger)
    name = (challenger.get("primary") or {}).get("name", "metric")
    if ours is None:
        return Verdict(False, (f"the test set gave no {name}: it may be empty",))
    refusals: list[str] = []
    if ours < gate.min_primary:
        refusals.append(f"{name} {ours:.4f} is below the least allowed {gate.min_primary:.4f}")
    if champion is None:
        return Verdict(not refusals, tuple(refusals) or (f"first release: {name} {ours:.4f}",))
    theirs = primary(champion)
    if theirs is None:
        return Verdict(not refusals, tuple(refusals) or (f"{name} {ours:.4f}; the champion has none",))
    if ours < theirs + gate.margin:
        refusals.append(f"{name} {ours:.4f} does not reach the champion's {theirs:.4f} + margin {gate.margin:.4f}")
    mine, other = challenger.get("per_class") or {}, champion.get("per_class") or {}
    for label in sorted(other):
        old, new = _class_score(other[label]), _class_score(mine.get(label) or {})
        support = int(other[label].get("support") or 0)
        if old is None or support < gate.min_class_support:
            continue
        if new is None or old - new > gate.max_class_drop:
            now = "nothing" if new is None else f"{new:.4f}"
            refusals.append(f"class {label!r} fell from {old:.4f} to {now}, more than {gate.max_class_drop:.4f}")
    if refusals:
        return Verdict(False, tuple(refusals))
    return Verdict(True, (f"{name} {ours:.4f} against the champion's {theirs:.4f} on the same test set",))
