"""CPU of COCO evaluation of boxes and masks (hotcoco, as the jobs use it) against pycocotools, and whether both say the
same.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.measure import Spread, program
from benchmarks.scenario import Bench, Budget, Figure, counted


def run(bench: Bench) -> list[Figure]:
    """The largest difference is over all twelve numbers of COCO's summary."""
    images, rounds = (300, 1) if bench.quick else (2000, 2)
    boxes = _figures("boxes", "evaluate_boxes", images, rounds, Budget(40, at_least=True))
    # Of a mask most of the time goes into overlaps, which pycocotools computes in C: no factor is promised.
    return boxes + _figures("masks", "evaluate_masks", images, rounds, None)


def _figures(what: str, name: str, images: int, rounds: int, budget: Budget | None) -> list[Figure]:
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "rival": []}
    for _ in range(rounds):
        for side, results in found.items():
            results.append(json.loads(program(name, side, images).output))
    cpu = {side: Spread(tuple(result["cpu_s"] for result in results)) for side, results in found.items()}
    pairs = zip(found["ours"][0]["stats"], found["rival"][0]["stats"], strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    title = f"{images} images, {images * 40:,} {what} found"
    return [
        Figure(f"{title}: times faster", "s CPU", cpu["ours"], "pycocotools", cpu["rival"], budget, speedup=True),
        Figure(f"{what}: largest difference", "", counted(difference), "pycocotools", budget=Budget(1e-9, "ours")),
    ]
