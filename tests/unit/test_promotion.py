"""The gate: who may be released, and the sentences that say why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput
from dataloop.domain.promotion import Gate, decide, make_gate


def metrics(value: float | None, **classes: tuple[float | None, int]) -> dict[str, Any]:
    per_class = {name: {"AP50": score, "support": support} for name, (score, support) in classes.items()}
    return {"primary": {"name": "AP50", "value": value}, "per_class": per_class}


def test_the_first_release_needs_only_the_least_value() -> None:
    assert decide(Gate(min_primary=0.5), metrics(0.5), None).promote
    refused = decide(Gate(min_primary=0.5), metrics(0.4999), None)
    assert not refused.promote
    assert "0.4999" in refused.reasons[0] and "0.5" in refused.reasons[0]


def test_no_number_is_no_release() -> None:
    for given in (metrics(None), {}):
        verdict = decide(Gate(), given, None)
        assert not verdict.promote
        assert verdict.reasons


def test_the_margin_decides_against_the_champion() -> None:
    gate = Gate(margin=0.1)
    assert decide(gate, metrics(0.8), metrics(0.7)).promote
    assert not decide(gate, metrics(0.79), metrics(0.7)).promote
    assert decide(Gate(), metrics(0.7), metrics(0.7)).promote


def test_a_class_that_falls_vetoes_with_its_name() -> None:
    verdict = decide(Gate(), metrics(0.9, cat=(0.6, 50)), metrics(0.7, cat=(0.7, 50)))
    assert not verdict.promote
    assert "'cat'" in verdict.reasons[0]


def test_a_class_that_vanished_vetoes() -> None:
    assert not decide(Gate(), metrics(0.9), metrics(0.7, cat=(0.7, 50))).promote


@pytest.mark.parametrize("old", [(0.7, 19), (None, 50)])
def test_a_class_without_evidence_has_no_veto(old: tuple[float | None, int]) -> None:
    assert decide(Gate(), metrics(0.9, cat=(0.1, 50)), metrics(0.7, cat=old)).promote


def test_a_new_class_is_welcome() -> None:
    assert decide(Gate(), metrics(0.9, cat=(0.1, 50)), metrics(0.7)).promote


@pytest.mark.parametrize(
    "value",
    [
        1,
        [],
        {"margin": -0.1},
        {"margin": 1.1},
        {"margin": "0.1"},
        {"margin": True},
        {"margn": 0.1},
        {"confidence": 1},
        {"slices": "region"},
        {"slices": [""]},
        {"slices": [1]},
        {"slices": ["x" * 101]},
        {"slices": [str(number) for number in range(21)]},
        {"min_slice_images": float("nan")},
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_gate(value)
    assert refused.value.field.startswith("gate")


def test_a_gate_keeps_what_it_was_given() -> None:
    assert make_gate({"margin": 0.1, "min_class_support": 5}) == Gate(margin=0.1, min_class_support=5)
    assert make_gate(None) == Gate()
    assert make_gate({"slices": ["region", "region"]}).slices == ("region",)
    assert make_gate({"slices": "*"}).slices == ("*",)
    # as it comes back from the table
    assert Gate(**asdict(Gate(slices=("a",))) | {"slices": ["a"]}) == Gate(slices=("a",))


@pytest.mark.parametrize("field", ["mask_AP50", "AP50", "AP", "iou", "f1"])
def test_every_task_type_has_a_class_veto(field: str) -> None:
    old, new = ({**metrics(0.9), "per_class": {"cat": {field: score, "support": 30}}} for score in (0.7, 0.6))
    assert "'cat'" in decide(Gate(), new, old).reasons[0]


def sliced(
    value: float, slices: dict[str, tuple[float | None, int]], attribute: str = "region", **more: Any
) -> dict[str, Any]:
    entries = {name: {"primary": score, "images": images} for name, (score, images) in slices.items()}
    return {**metrics(value), "slices": {attribute: entries}, **more}


WATCHED = Gate(slices=("region",), max_slice_drop=0.1)


def test_a_listed_slice_that_falls_vetoes_with_its_name_and_numbers() -> None:
    verdict = decide(WATCHED, sliced(0.9, {"north": (0.5, 25)}), sliced(0.8, {"north": (0.7, 25)}))
    assert not verdict.promote
    for part in ("region='north'", "25 images", "0.7000", "0.5000", "0.1000"):
        assert part in verdict.reasons[0]


def test_slices_nobody_listed_or_with_few_images_have_no_veto() -> None:
    old, new = sliced(0.8, {"north": (0.7, 25)}), sliced(0.9, {"north": (0.5, 25)})
    assert decide(Gate(), new, old).promote
    assert decide(Gate(slices=("region",), min_slice_images=26), new, old).promote
    assert decide(Gate(slices=("region",), max_slice_drop=0.3), new, old).promote


def test_a_star_looks_at_all_slices() -> None:
    old, new = sliced(0.8, {"1": (0.7, 25)}, "device"), sliced(0.9, {"1": (0.5, 25)}, "device")
    assert not decide(Gate(slices=("*",)), new, old).promote


def test_a_slice_that_vanished_or_was_never_measured_vetoes() -> None:
    old = sliced(0.8, {"north": (0.7, 25)})
    assert "nothing" in decide(WATCHED, sliced(0.9, {"north": (None, 25)}), old).reasons[0]
    assert "nothing" in decide(WATCHED, sliced(0.9, {"south": (0.9, 25)}), old).reasons[0]
    many = decide(WATCHED, metrics(0.9) | {"slices_left_out": {"region": "73 values; at most 50"}}, old)
    assert "73 values" in many.reasons[0]
    assert "no image" in decide(WATCHED, metrics(0.9), None).reasons[0]
    assert "champion was not measured" in decide(WATCHED, sliced(0.9, {"north": (0.9, 25)}), metrics(0.8)).reasons[0]


def test_a_slice_has_a_least_value_from_the_first_release_on() -> None:
    gate = Gate(slices=("region",), min_slice_primary=0.6)
    assert not decide(gate, sliced(0.9, {"north": (0.5, 25)}), None).promote
    assert decide(gate, sliced(0.9, {"north": (0.6, 25)}), None).promote


def certain(value: float, half: float) -> dict[str, Any]:
    return metrics(value) | {"confidence": {"level": 0.95, "primary": [value - half, value + half]}}


def test_confidence_asks_for_a_gain_beyond_chance() -> None:
    gate = Gate(confidence=0.9)
    assert decide(gate, certain(0.8, 0.02), certain(0.7, 0.02)).promote
    doubtful = decide(gate, certain(0.71, 0.05), certain(0.70, 0.05))
    # standard error 0.0361 = hypot(0.05, 0.05) / 1.96; 0.01 / 0.0361 = 0.277 of it: probability 0.609
    assert not doubtful.promote
    assert "0.609" in doubtful.reasons[0] and "0.0361" in doubtful.reasons[0]
    assert decide(Gate(), certain(0.71, 0.05), certain(0.70, 0.05)).promote
    assert "the champion has no interval" in decide(gate, certain(0.8, 0.02), metrics(0.7)).reasons[0]
    assert decide(gate, certain(0.8, 0.0), certain(0.7, 0.0)).promote


def test_a_compressed_model_must_have_kept_its_accuracy() -> None:
    facts = {
        "kind": "quantization",
        "parent_primary": 0.8,
        "primary": 0.75,
        "drop": 0.0625,
        "allowed": 0.02,
        "kept": False,
    }
    verdict = decide(Gate(), metrics(0.75), None, facts)
    assert not verdict.promote
    for part in ("quantization", "0.8000", "0.7500", "6.2%", "2.0%"):
        assert part in verdict.reasons[0]
    assert decide(Gate(), metrics(0.79), None, facts | {"primary": 0.79, "kept": True}).promote
    assert "not measured" in decide(Gate(), metrics(0.79), None, {"kind": "pruning", "kept": False}).reasons[0]
