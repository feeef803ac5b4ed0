"""A gate's promises over all metrics."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.promotion import Gate, decide

score = st.none() | st.floats(0, 1)
entry = st.fixed_dictionaries({"primary": score, "images": st.integers(0, 60)})
slices = st.dictionaries(
    st.sampled_from(["region", "device", "object_size"]), st.dictionaries(st.text(max_size=2), entry)
)
per_class = st.dictionaries(
    st.sampled_from(["cat", "dog"]), st.fixed_dictionaries({"AP50": score, "support": st.integers(0, 60)})
)
metrics = st.fixed_dictionaries(
    {
        "primary": st.fixed_dictionaries({"name": st.just("AP50"), "value": score}),
        "per_class": per_class,
        "slices": slices,
    }
)
gates = st.builds(
    Gate,
    margin=st.floats(0, 0.2),
    min_primary=st.floats(0, 0.5),
    slices=st.sampled_from([(), ("*",), ("region",), ("device", "object_size")]),
    min_slice_primary=st.floats(0, 0.5),
    max_slice_drop=st.floats(0, 1),
    min_slice_images=st.integers(0, 60),
)


def watched(gate: Gate, challenger: dict[str, Any], champion: dict[str, Any]) -> list[tuple[Any, Any, int]]:
    """(new, old, images) of each slice value that the gate must look at, read without the gate's own code."""
    names = set(challenger["slices"]) | set(champion["slices"]) if "*" in gate.slices else set(gate.slices)
    pairs = []
    for name in names:
        mine, other = challenger["slices"].get(name, {}), champion["slices"].get(name, {})
        for value in set(mine) | set(other):
            now, then = mine.get(value, {}), other.get(value, {})
            pairs.append((now.get("primary"), then.get("primary"), now.get("images") or then.get("images") or 0))
    return pairs


@given(gates, metrics, metrics)
def test_no_model_is_promoted_whose_listed_slice_fell_by_more_than_allowed(
    gate: Gate, challenger: dict[str, Any], champion: dict[str, Any]
) -> None:
    verdict = decide(gate, challenger, champion)
    assert verdict.reasons
    if not verdict.promote or champion["primary"]["value"] is None:
        return
    for new, old, images in watched(gate, challenger, champion):
        if images >= gate.min_slice_images and old is not None:
            assert new is not None
            assert old - new <= gate.max_slice_drop
        if images >= gate.min_slice_images and new is not None:
            assert new >= gate.min_slice_primary


@given(gates, metrics)
def test_a_model_is_never_worse_than_itself(gate: Gate, same: dict[str, Any]) -> None:
    """Only the least values, the margin and missing slices can refuse it."""
    free = Gate(slices=("*",), max_slice_drop=0.0, max_class_drop=0.0, min_slice_images=gate.min_slice_images)
    verdict = decide(free, same, same)
    measured = all(values for values in same["slices"].values())
    if same["primary"]["value"] is not None and measured:
        assert verdict.promote, verdict.reasons


@given(gates, metrics, metrics, st.floats(0, 1), st.floats(0, 1))
def test_a_compressed_model_that_was_not_kept_is_never_promoted(
    gate: Gate, challenger: dict[str, Any], champion: dict[str, Any], before: float, now: float
) -> None:
    facts = {"kind": "pruning", "parent_primary": before, "primary": now, "drop": 0.1, "allowed": 0.02, "kept": False}
    assert not decide(gate, challenger, champion, facts).promote
    assert not decide(gate, challenger, None, facts).promote
