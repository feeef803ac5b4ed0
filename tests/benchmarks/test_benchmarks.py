"""The benchmarks are sound: the registry is complete, figures judge rightly, and a cheap scenario runs and prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.measure import ROOT, ChildFailed, Spread, in_turns, python
from benchmarks.registry import SCENARIOS
from benchmarks.scenario import Bench, Budget, Figure, Scenario, counted
from benchmarks.scenarios import handler_init
from benchmarks.training.registry import SCENARIOS as TRAINING
from dataloop_demo import prices


@pytest.mark.parametrize(
    ("folder", "scenarios"), [("scenarios", SCENARIOS), ("training/scenarios", TRAINING)], ids=["bench", "bench-train"]
)
def test_every_scenario_file_is_registered_and_described(folder: str, scenarios: Mapping[str, Scenario]) -> None:
    files = {path.stem for path in (ROOT / "benchmarks" / folder).glob("*.py")} - {"__init__"}
    assert set(scenarios) == files
    page = (ROOT / "docs/benchmarks.md").read_text()
    for name, scenario in scenarios.items():
        assert scenario.name == name
        assert scenario.measures and scenario.budget and scenario.rival and scenario.source
        assert f"`{name}`" in page


def test_every_function_has_a_main_path() -> None:
    assert set(handler_init.functions()) == set(handler_init.MAIN_PATHS)


def test_a_ratio_is_that_of_the_rounds_and_not_of_the_medians() -> None:
    figure = Figure("x", "s", Spread((1.0, 10.0, 1.0)), "rival", Spread((2.0, 20.0, 4.0)), Budget(0.5))
    assert figure.ratio is not None
    assert figure.ratio.samples == (0.5, 0.5, 0.25)
    assert figure.met


@pytest.mark.parametrize(
    ("ours", "rival", "budget", "speedup", "met"),
    [
        (3.0, 2.0, Budget(1.3), False, False),
        (2.0, 2.0, Budget(1.3), False, True),
        (1.0, 50.0, Budget(40, at_least=True), True, True),
        (1.0, 30.0, Budget(40, at_least=True), True, False),
        (9.0, 1.0, Budget(10, "ours"), False, True),
        (11.0, 1.0, Budget(10, "ours"), False, False),
        (1.0, 0.0, Budget(1.3), False, False),
        (1.0, 1.0, None, False, None),
    ],
)
def test_verdicts(ours: float, rival: float, budget: Budget | None, speedup: bool, met: bool | None) -> None:
    assert Figure("x", "s", counted(ours), "rival", counted(rival), budget, speedup).met is met


def test_turns_alternate_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = in_turns({"a": lambda: side("a"), "b": lambda: side("b")}, 2)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found["a"].samples == (4.0, 5.0)


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(ChildFailed, match="ZeroDivisionError"):
        python("1 / 0")


def test_a_cheap_scenario_prints_a_ratio(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sdk_import", "--quick", "--json", str(tmp_path / "figures.json")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"sdk_import +CPU .*import boto3: .*\d\.\d\d×", printed)
    document = json.loads((tmp_path / "figures.json").read_text())
    cpu, modules = document["scenarios"]["sdk_import"]
    assert cpu["ratio"]["median"] < 1
    assert modules["ours"]["median"] == 0
    assert document["notes"]


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "there is no scenario speed" in capsys.readouterr().err


def test_a_broken_scenario_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(bench: Bench) -> list[Figure]:
        raise RuntimeError("out of luck")

    scenario = SCENARIOS["registration"]
    changed = type(scenario)(scenario.name, scenario.measures, scenario.budget, scenario.rival, broken)
    monkeypatch.setattr(
        "benchmarks.__main__.SCENARIOS", {"registration": changed, "sdk_import": SCENARIOS["sdk_import"]}
    )
    assert main(["--quick"]) == 1
    printed = capsys.readouterr().out
    assert "out of luck" in printed
    assert "sdk_import" in printed


def test_registration_is_one_call_of_two_write_units() -> None:
    with Bench(quick=True) as bench:
        found = {figure.name: figure for figure in SCENARIOS["registration"].run(bench)}
    assert found["calls"].ours.median == 1
    assert found["write units"].ours.median == 2
    rival = found["calls"].rival
    assert rival is not None and rival.median == 3


def test_both_evaluators_say_the_same() -> None:
    with Bench(quick=True) as bench:
        figures = SCENARIOS["coco_evaluation"].run(bench)
    assert len(figures) == 4  # boxes and masks
    for speed, difference in (figures[:2], figures[2:]):
        assert difference.met
        assert speed.ratio is not None and speed.ratio.median > 1


def test_the_table_has_a_line_per_figure() -> None:
    figures = [Figure("one", "s", counted(1)), Figure("two", "s", counted(2), "rival", counted(4), Budget(1))]
    lines = report.table({"x": figures}).splitlines()
    assert len(lines) == 4
    assert "0.50×" in lines[3] and lines[3].endswith("yes")


def test_prices_name_their_source() -> None:
    assert prices.S3_WRITES.of(1e6) == pytest.approx(5.0)
    assert prices.S3_WRITES.source and prices.S3_WRITES.as_of
