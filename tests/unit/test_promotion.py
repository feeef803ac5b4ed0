"""The gate: who may be released, and the sentences that say why."""

from __future__ import annotations

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
    "value", [1, [], {"margin": -0.1}, {"margin": 1.1}, {"margin": "0.1"}, {"margin": True}, {"margn": 0.1}]
)
def test_a_gate_that_cannot_be_meant_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_gate(value)
    assert refused.value.field.startswith("gate")


def test_a_gate_keeps_what_it_was_given() -> None:
    assert make_gate({"margin": 0.1, "min_class_support": 5}) == Gate(margin=0.1, min_class_support=5)
    assert make_gate(None) == Gate()
