"""CPU and peak memory of a dataset build at moderate sizes, with generated records and a folder in place of AWS.

The budget against datumaro and at a million annotations belongs to a later issue; the floor here is what parsing and
writing the same rows as JSON costs. Two sizes show whether memory grows with the dataset.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from benchmarks.measure import Spread, program
from benchmarks.scenario import Bench, Budget, Figure


def run(bench: Bench) -> list[Figure]:
    """The larger size twice, the smaller one once, for its memory."""
    small, large = (2_000, 10_000) if bench.quick else (20_000, 60_000)
    few, _ = _build(bench, small)
    runs = [_build(bench, large) for _ in range(1 if bench.quick else 2)]
    ours = Spread(tuple(found["cpu_s"] for found, _ in runs))
    floor = Spread(tuple(found["cpu_s"] for _, found in runs))
    peak = Spread(tuple(found["peak_mb"] for found, _ in runs))
    limit = Budget(150, "ours")
    return [
        Figure(f"{large:,} annotations: CPU", "s", ours, "json parse + write", floor),
        Figure(f"{small:,} annotations: peak memory", "MB", Spread((few["peak_mb"],)), budget=limit),
        Figure(f"{large:,} annotations: peak memory", "MB", peak, budget=limit),
    ]


def _build(bench: Bench, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = bench.folder / "build"
    folder.mkdir()
    try:
        ours = json.loads(program("build_dataset", "build", count, folder).output)
        floor = json.loads(program("build_dataset", "floor", count, folder).output)
    finally:
        shutil.rmtree(folder)
    return ours, floor
