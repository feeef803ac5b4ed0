"""python -m benchmarks [scenario …] [--json FILE] [--quick] [--strict]"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.registry import SCENARIOS
from benchmarks.scenario import Bench, Figure, Scenario


def main(
    arguments: list[str] | None = None,
    scenarios: Mapping[str, Scenario] | None = None,
    program: str = "python -m benchmarks",
) -> int:
    """Exit code 1 when a scenario broke, or with --strict when a budget was missed.

    scenarios: those of `make bench` by default.
    """
    scenarios = SCENARIOS if scenarios is None else scenarios
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"out of: {', '.join(scenarios)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures, with every sample, as JSON")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: at most two minutes")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a budget is missed")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.scenario if name not in scenarios]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(scenarios)}")
    result: dict[str, list[Figure]] = {}
    seconds: dict[str, float] = {}
    broken: list[str] = []
    machine = report.machine()
    with Bench(quick=given.quick) as bench:
        for name in given.scenario or scenarios:
            bench.say(name)
            begun = time.perf_counter()
            try:
                result[name] = scenarios[name].run(bench)
            except Exception:
                broken.append(name)
                bench.note(f"{name} broke:\n{traceback.format_exc()}")
            seconds[name] = time.perf_counter() - begun
        notes = bench.notes
    print(f"{machine}{', quick' if given.quick else ''}; at the end: {report.machine()}\n\n{report.table(result)}")
    for note in notes:
        print(f"\n* {note}")
    if given.json:
        given.json.write_text(json.dumps(report.document(result, seconds, notes, quick=given.quick), indent=1) + "\n")
    missed = [figure for figures in result.values() for figure in figures if figure.met is False]
    return 1 if broken or (given.strict and missed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
