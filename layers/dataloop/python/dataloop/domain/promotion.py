"""May this model be released? Pure rules over metrics; every answer has its reasons in words and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.domain.metrics import class_score, primary

# As a list of slices: every attribute that either model was measured by.
ALL_SLICES = "*"
MAX_SLICES = 20
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Gate:
    """What a model must reach. Metrics and their differences are fractions (0.02 = 2 points).

    margin: how much better than the champion. max_class_drop: how much any class may lose (design §6.4: 2 points).
    min_primary: the least primary metric. confidence: with which probability the margin must really be there, beyond
    the luck of which images are in the test set; 0 does not ask.
    slices: attributes of the raw data (and "object_size") of which each value is judged by itself, or ("*",) for all:
    its primary metric must reach min_slice_primary and may not lose more than max_slice_drop against the champion. An
    attribute that is named must have been measured for both; with "*", one that only the challenger has needs only
    min_slice_primary.
    """

    margin: float = 0.0
    max_class_drop: float = 0.02
    min_primary: float = 0.0
    # A class seen fewer times than this in the test set says too little to veto a release.
    min_class_support: int = 20
    confidence: float = 0.0
    slices: tuple[str, ...] = ()
    min_slice_primary: float = 0.0
    # A slice is a part of the test set, so its metric moves more by chance than the whole's.
    max_slice_drop: float = 0.05
    # A slice of fewer images than this says too little to veto a release.
    min_slice_images: int = 20

    def __post_init__(self) -> None:
        # A stored gate comes back with a list.
        object.__setattr__(self, "slices", tuple(self.slices))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and the sentences that justify it."""

    promote: bool
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"promote": self.promote, "reasons": list(self.reasons)}


# Largest value of each number of a gate.
_LARGEST = {
    "margin": 1.0,
    "max_class_drop": 1.0,
    "min_primary": 1.0,
    "min_class_support": 1e9,
    # Certainty cannot be had from a sample.
    "confidence": 0.999,
    "min_slice_primary": 1.0,
    "max_slice_drop": 1.0,
    "min_slice_images": 1e9,
}


def make_gate(value: object) -> Gate:
    """Read a client's gate object. Raises InvalidInput("gate…")."""
    if value is None:
        return Gate()
    if not isinstance(value, Mapping):
        raise InvalidInput("gate", "must be an object", value)
    given: dict[str, Any] = {}
    for name, wished in value.items():
        if name == "slices":
            given[name] = _slice_names(wished)
        elif name not in _LARGEST:
            names = sorted(field.name for field in fields(Gate))
            raise InvalidInput("gate", f"has no field {name!r}; it has {names}")
        elif isinstance(wished, bool) or not isinstance(wished, int | float) or not 0 <= wished <= _LARGEST[name]:
            raise InvalidInput(f"gate.{name}", f"must be a number from 0 to {_LARGEST[name]:g}", wished)
        else:
            given[name] = type(getattr(Gate(), name))(wished)
    return Gate(**given)


def _slice_names(value: object) -> tuple[str, ...]:
    if value == ALL_SLICES:
        return (ALL_SLICES,)
    sound = (
        isinstance(value, list | tuple)
        and len(value) <= MAX_SLICES
        and all(isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME for name in value)
    )
    if not sound:
        problem = f'must be "*" or a list of at most {MAX_SLICES} names of 1 to {_LONGEST_NAME} characters'
        raise InvalidInput("gate.slices", problem, value)
    assert isinstance(value, list | tuple)  # sound says so
    return tuple(dict.fromkeys(value))


def decide(
    gate: Gate,
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    compression: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a challenger with the champion (None: there is none yet) on the same frozen test set.

    compression: what a pruned or quantised model lost against the model it was made from; None for any other model.
    """
    ours = primary(challenger)
    name = (challenger.get("primary") or {}).get("name", "metric")
    if ours is None:
        return Verdict(False, (f"the test set gave no {name}: it may be empty",))
    refusals = [*_compression_refusals(name, compression), *_slice_refusals(gate, name, challenger, champion)]
    if ours < gate.min_primary:
        refusals.append(f"{name} {ours:.4f} is below the least allowed {gate.min_primary:.4f}")
    if champion is None:
        return Verdict(not refusals, tuple(refusals) or (f"first release: {name} {ours:.4f}",))
    theirs = primary(champion)
    if theirs is None:
        return Verdict(not refusals, tuple(refusals) or (f"{name} {ours:.4f}; the champion has none",))
    if ours < theirs + gate.margin:
        refusals.append(f"{name} {ours:.4f} does not reach the champion's {theirs:.4f} + margin {gate.margin:.4f}")
    refusals += _confidence_refusals(gate, name, challenger, champion)
    refusals += _class_refusals(gate, challenger, champion)
    if refusals:
        return Verdict(False, tuple(refusals))
    return Verdict(True, (f"{name} {ours:.4f} against the champion's {theirs:.4f} on the same test set",))


def _class_refusals(gate: Gate, challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> Iterator[str]:
    mine, other = challenger.get("per_class") or {}, champion.get("per_class") or {}
    for label in sorted(other):
        old, new = class_score(other[label]), class_score(mine.get(label) or {})
        support = int(other[label].get("support") or 0)
        if old is None or support < gate.min_class_support:
            continue
        if new is None or old - new > gate.max_class_drop:
            now = "nothing" if new is None else f"{new:.4f}"
            yield f"class {label!r} fell from {old:.4f} to {now}, more than {gate.max_class_drop:.4f}"


def _slice_refusals(
    gate: Gate, name: str, challenger: Mapping[str, Any], champion: Mapping[str, Any] | None
) -> Iterator[str]:
    mine, other = challenger.get("slices") or {}, (champion or {}).get("slices") or {}
    listed = sorted({*mine, *other}) if ALL_SLICES in gate.slices else gate.slices
    for attribute in listed:
        measured, before = mine.get(attribute) or {}, other.get(attribute) or {}
        if not measured:
            yield f"slice {attribute!r} was not measured: {_why_not_measured(challenger, attribute)}"
        elif champion is not None and not before and attribute in gate.slices:
            yield f"slice {attribute!r} of the champion was not measured: evaluate it again on this test set"
        for value in sorted({*measured, *before} if measured else ()):
            now, then = measured.get(value) or {}, before.get(value) or {}
            images = int(now.get("images") or then.get("images") or 0)
            if images < gate.min_slice_images:
                continue
            new, old = now.get("primary"), then.get("primary")
            what = f"slice {attribute}={value!r} ({images} images): {name}"
            if new is None and old is None:
                continue  # none of its images has anything to find
            if new is None:
                yield f"{what} fell from {old:.4f} to nothing"
            elif new < gate.min_slice_primary:
                yield f"{what} {new:.4f} is below the least allowed {gate.min_slice_primary:.4f}"
            elif old is not None and old - new > gate.max_slice_drop:
                yield f"{what} fell from {old:.4f} to {new:.4f}, more than {gate.max_slice_drop:.4f}"


def _why_not_measured(metrics: Mapping[str, Any], attribute: str) -> str:
    left_out = metrics.get("slices_left_out") or {}
    return str(left_out.get(attribute) or "no image of the test set has this attribute")


def _confidence_refusals(
    gate: Gate, name: str, challenger: Mapping[str, Any], champion: Mapping[str, Any]
) -> Iterator[str]:
    """Is the gain larger than chance? Both intervals are of the same images, which this does not use: it errs towards
    refusing.
    """
    if not gate.confidence:
        return
    errors = [_standard_error(metrics) for metrics in (challenger, champion)]
    if errors[0] is None or errors[1] is None:
        who = "the challenger" if errors[0] is None else "the champion"
        yield (
            f"confidence {gate.confidence:g} is asked, but the evaluation of {who} has no interval: "
            "evaluate it again on this test set, or set confidence to 0"
        )
        return
    ours, theirs = primary(challenger), primary(champion)
    assert ours is not None and theirs is not None  # decide has looked
    error = (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    gain = ours - theirs - gate.margin
    probability = NormalDist(0, error).cdf(gain) if error else float(gain >= 0)
    if probability < gate.confidence:
        yield (
            f"{name} {ours:.4f} is better than the champion's {theirs:.4f} by the margin {gate.margin:.4f} only with "
            f"probability {probability:.3f} (standard error of the difference {error:.4f}); {gate.confidence:g} is asked"
        )


def _standard_error(metrics: Mapping[str, Any]) -> float | None:
    """From the interval: a normal distribution has its middle `level` within this many standard errors."""
    confidence = metrics.get("confidence") or {}
    ends, level = confidence.get("primary"), confidence.get("level")
    if not ends or not level:
        return None
    return (float(ends[1]) - float(ends[0])) / (2 * NormalDist().inv_cdf((1 + float(level)) / 2))


def _compression_refusals(name: str, compression: Mapping[str, Any] | None) -> Iterator[str]:
    if not compression or compression.get("kept"):
        return
    kind = compression.get("kind", "compression")
    before, now, drop, allowed = (compression.get(field) for field in ("parent_primary", "primary", "drop", "allowed"))
    if before is None or now is None or drop is None or allowed is None:
        yield f"{kind}: what was lost against the parent model was not measured"
        return
    yield (
        f"{kind}: {name} fell from the parent's {float(before):.4f} to {float(now):.4f}, by {float(drop):.1%} of it; "
        f"at most {float(allowed):.1%} is allowed"
    )
