"""CPU and peak memory of a diff of two versions, and whether memory grows with them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread, program
from benchmarks.scenario import Bench, Budget, Figure


def run(bench: Bench) -> list[Figure]:
    """The larger size is ten times the smaller one: memory that is flat is the same for both."""
    sizes = (2_000, 20_000) if bench.quick else (20_000, 200_000)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for images in sizes:
            target = Path(folder, str(images))
            program("diff_versions", "make", target, images)
            found: dict[str, dict[str, Any]] = {
                side: json.loads(program("diff_versions", side, target).output) for side in ("ours", "rival")
            }
            assert found["ours"]["changed"] == found["rival"]["changed"], found
            for what, unit, budget in (("cpu_s", "s CPU", Budget(1.0)), ("peak_mb", "MB peak", Budget(150, "ours"))):
                ours, rival = (Spread((found[side][what],)) for side in ("ours", "rival"))
                name = "both versions in dictionaries"
                figures.append(Figure(f"diff of two versions of {images:,} images", unit, ours, name, rival, budget))
    return figures
