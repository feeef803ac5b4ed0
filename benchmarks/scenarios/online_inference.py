"""Asking a model: cold start, time of a warm image, memory, and the size of the layers that the function carries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.lambda_environment import lambda_environment
from benchmarks.measure import ROOT, Spread, program
from benchmarks.scenario import Bench, Budget, Figure, counted

RIVAL = "ONNX Runtime script"
# AWS: Lambda quotas, deployment package, unzipped, with layers.
LAYERS_MB = 250


def run(bench: Bench) -> list[Figure]:
    """Fresh processes in turns; both must say the same."""
    folder = bench.folder / "online-inference"
    folder.mkdir()
    bench.say("exporting a network")
    program("online_inference", "make", folder)
    environment = lambda_environment()
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "rival": []}
    for number in range(bench.rounds(5, 2)):
        for side in sorted(found, reverse=bool(number % 2)):
            output = program(
                "online_inference", side, folder, 20 if bench.quick else 60, environment=environment
            ).output
            found[side].append(json.loads(output))

    def spread(side: str, name: str, scale: float = 1.0) -> Spread:
        return Spread(tuple(result[name] * scale for result in found[side]))

    ours, rival = found["ours"][0]["says"], found["rival"][0]["says"]
    difference = max(abs(ours[label] - rival[label]) for label in ours)
    size = layers_mb(bench)
    return [
        Figure(
            "cold: process start to first answer",
            "ms CPU",
            spread("ours", "cold_s", 1000),
            RIVAL,
            spread("rival", "cold_s", 1000),
        ),
        Figure(
            "warm: an image of 1024 × 1024",
            "ms CPU",
            spread("ours", "warm_ms"),
            RIVAL,
            spread("rival", "warm_ms"),
            Budget(1.3),
        ),
        Figure("peak memory", "MB", spread("ours", "peak_mb"), RIVAL, spread("rival", "peak_mb")),
        Figure("largest difference of a score", "", counted(difference), RIVAL, budget=Budget(1e-5, "ours")),
        *([Figure("layers and code, unpacked", "MB", counted(size), budget=Budget(LAYERS_MB, "ours"))] if size else []),
    ]


def layers_mb(bench: Bench) -> float | None:
    """Megabytes of both third-party layers as `sam build` makes them (pip fetches the wheels for Lambda), and our code."""
    total = sum(_bytes(ROOT / folder) for folder in ("layers/dataloop/python", "functions"))
    for name, target in (("deps", "DepsLayer"), ("inference", "InferenceLayer")):
        folder = bench.folder / name
        command = ["make", "-s", "-C", str(ROOT / "layers" / name), f"build-{target}", f"PYTHON={sys.executable}"]
        done = subprocess.run(
            [*command, f"ARTIFACTS_DIR={folder}"], env=os.environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            bench.note(f"the layers could not be built, so their size is missing: {done.stderr.strip()[-200:]}")
            return None
        total += _bytes(folder)
    return total / 1e6


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
