"""What a frozen workspace costs to write, to keep and to page through, and whether a page grows with it."""

from __future__ import annotations

import json

from benchmarks.measure import program
from benchmarks.scenario import Bench, Budget, Figure, counted

# Where things are, a page of terms for each of five tags, the rows. Images of a rare tag lie in as many blocks as there are
# images: those take more.
DENSE_GETS, SPARSE_GETS = 7, 32


def run(bench: Bench) -> list[Figure]:
    """Counts of GETs are exact; times are those of this machine, with a folder in place of S3."""
    figures = []
    for images in (10_000, 100_000) if bench.quick else (100_000, 1_000_000):
        found = json.loads(program("freeze_workspace", images).output)
        name = f"{images:,} images"
        figures += [
            Figure(f"{name}: a part of 2,048", "s CPU", counted(found["part_s"])),
            Figure(f"{name}: uniting the parts", "s CPU", counted(found["finish_s"])),
            Figure(f"{name}: peak memory", "MB", counted(found["peak_mb"]), budget=Budget(256, "ours")),
            Figure(f"{name}: stored", "MB", counted(found["mb"])),
        ]
        for question, pages in found["pages"].items():
            budget = Budget(SPARSE_GETS if question == "a tag of 0.1 %" else DENSE_GETS, "ours")
            figures.append(
                Figure(f"{name}: {question}, first page", "GETs", counted(pages["first"]["gets"]), budget=budget)
            )
            figures.append(Figure(f"{name}: {question}, next page", "GETs", counted(pages["next"]["gets"])))
            figures.append(Figure(f"{name}: {question}, next page", "ms", counted(pages["next"]["ms"])))
    return figures
