"""CPU and peak memory of a dataset build at moderate sizes, with recorded annotations and a folder in place of AWS.

The floor is what parsing and writing the rows as JSON costs. Two sizes show whether memory grows with the dataset. The
comparison with datumaro, at up to a million boxes, is `make bench-build`.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from benchmarks.building.corpus import write_coco
from benchmarks.measure import Spread, program
from benchmarks.scenario import Bench, Budget, Figure


def run(bench: Bench) -> list[Figure]:
    """The larger size twice, the smaller one once, for its memory."""
    small, large = (5_000, 20_000) if bench.quick else (20_000, 100_000)
    few, _ = _build(bench, small)
    runs = [_build(bench, large) for _ in range(1 if bench.quick else 2)]
    ours = Spread(tuple(found["cpu_s"] for found, _ in runs))
    floor = Spread(tuple(found["cpu_s"] for _, found in runs))
    peak = Spread(tuple(found["peak_mb"] for found, _ in runs))
    limit = Budget(150, "ours")
    return [
        Figure(f"{large:,} boxes: CPU", "s", ours, "json parse + write", floor),
        Figure(f"{small:,} boxes: peak memory", "MB", Spread((few["peak_mb"],)), budget=limit),
        Figure(f"{large:,} boxes: peak memory", "MB", peak, budget=limit),
    ]


def _build(bench: Bench, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = bench.folder / "build"
    coco, stored, work = folder / "coco" / "instances.json", folder / "stored", folder / "work"
    for made in (coco.parent, stored, work):
        made.mkdir(parents=True)
    try:
        write_coco(coco, count, polygons=False)
        program("build_stored", "store", coco, stored, "image")
        ours = json.loads(program("build_stored", "build", stored, work, 1000, 1).output)
        floor = json.loads(program("build_stored", "floor", work).output)
    finally:
        shutil.rmtree(folder)
    return ours, floor
