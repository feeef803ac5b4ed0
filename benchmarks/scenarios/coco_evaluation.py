"""CPU of COCO box evaluation (hotcoco, as the jobs use it) against pycocotools, and whether both say the same."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.measure import Spread, program
from benchmarks.scenario import Bench, Budget, Figure, counted


def run(bench: Bench) -> list[Figure]:
    """The largest difference is over all twelve numbers of COCO's summary."""
    images = 300 if bench.quick else 2000
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "rival": []}
    for _ in range(1 if bench.quick else 2):
        for side, results in found.items():
            results.append(json.loads(program("evaluate_boxes", side, images).output))
    cpu = {side: Spread(tuple(result["cpu_s"] for result in results)) for side, results in found.items()}
    pairs = zip(found["ours"][0]["stats"], found["rival"][0]["stats"], strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    title = f"{images} images, {images * 40:,} boxes found"
    return [
        Figure(
            f"{title}: times faster",
            "s CPU",
            cpu["ours"],
            "pycocotools",
            cpu["rival"],
            Budget(40, at_least=True),
            speedup=True,
        ),
        Figure("largest difference", "", counted(difference), "pycocotools", budget=Budget(1e-9, "ours")),
    ]
