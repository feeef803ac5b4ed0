"""Building a version from what a COCO file says, against datumaro reading and writing the same file.

Counted of ours: everything between the stored annotations and the written files of the version (plan, all joins, reduce,
imports of Python's modules). Not counted: the stand-in for DynamoDB and boto3's reading of its answers, which is measured
inside the run and said below the table; the network.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.building.corpus import write_coco
from benchmarks.measure import ChildFailed, Spread, in_turns, program, run
from benchmarks.peers import datumaro_python
from benchmarks.scenario import Bench, Budget, Figure, counted

# (ids of a part, order of the joins)
SHARDINGS = ((250, 1), (1000, 2), (5000, 3))
# What datumaro reads and writes the file as: the format of its documentation, and the narrower one that costs it least.
FORMATS = ("coco", "coco_instances")
RATIO, PEAK = Budget(0.25), Budget(150, "ours")


def boxes_100k(bench: Bench) -> list[Figure]:
    """About seven boxes an image."""
    return _compare(bench, 10_000 if bench.quick else 100_000, polygons=False, rounds=bench.rounds(3, 1))


def boxes_1m(bench: Bench) -> list[Figure]:
    """The same, ten times as many: memory must not grow."""
    return _compare(bench, 30_000 if bench.quick else 1_000_000, polygons=False, rounds=1)


def polygons_100k(bench: Bench) -> list[Figure]:
    """Outlines of 25 points."""
    return _compare(bench, 5_000 if bench.quick else 100_000, polygons=True, rounds=bench.rounds(2, 1))


def one_box_each(bench: Bench) -> list[Figure]:
    """The worst shape: as many annotations of ours as boxes, each a record of its own. No budget."""
    count = 10_000 if bench.quick else 100_000
    with _corpus(bench, count, polygons=False, shape="box") as corpus:
        sides = _turns(corpus, 1)
    name = f"{count:,} boxes, each an annotation of its own: CPU"
    return [Figure(name, "s", sides["ours"], f"datumaro {format}", sides[format]) for format in FORMATS]


def _compare(bench: Bench, count: int, *, polygons: bool, rounds: int) -> list[Figure]:
    what = f"{count:,} {'polygons' if polygons else 'boxes'}"
    with _corpus(bench, count, polygons=polygons, shape="image") as corpus:
        sides = _turns(corpus, rounds)
        found = [corpus.build(part_ids, seed) for part_ids, seed in SHARDINGS]
        found.append(corpus.build_after_crashes())
        last = found[1]
        stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in last.stages.items())
        bench.note(
            f"{what} of {corpus.images:,} images: {stages}, of which {last.stand_in_s:.2f} s are the stand-in's. Reading the "
            f"file with our reader, checking and recording it: {corpus.store_s:.2f} s. datumaro's peak memory: "
            f"{corpus.datumaro_peak_mb:.0f} MB."
        )
    whole = Spread(tuple(seconds + corpus.store_s for seconds in sides["ours"].samples))
    return [
        *(
            Figure(f"{what}: CPU of the build", "s", sides["ours"], f"datumaro {format}", sides[format], RATIO)
            for format in FORMATS
        ),
        Figure(f"{what}: CPU from the COCO file on", "s", whole, f"datumaro {FORMATS[0]}", sides[FORMATS[0]]),
        Figure(f"{what}: peak memory, three shardings", "MB", Spread(tuple(run.peak_mb for run in found)), budget=PEAK),
        Figure(
            f"{what}: different files over three shardings and two crashes",
            "",
            counted(len({json.dumps(run.files, sort_keys=True) for run in found}) - 1),
            budget=Budget(0, "ours"),
        ),
    ]


def _turns(corpus: _Corpus, rounds: int) -> dict[str, Spread]:
    rivals = {format: partial(corpus.datumaro, format) for format in FORMATS}
    return in_turns({"ours": lambda: corpus.build().cpu_s, **rivals}, rounds, warm=0)


@dataclass
class _Run:
    cpu_s: float
    stand_in_s: float
    peak_mb: float
    stages: dict[str, float]
    files: dict[str, str]


@dataclass
class _Corpus:
    """One COCO file, and what was recorded of it."""

    folder: Path
    images: int
    annotations: int
    store_s: float
    datumaro_peak_mb: float = 0.0

    def build(self, part_ids: int = 1000, seed: int = 0, work: Path | None = None) -> _Run:
        target = work or self.folder / "work"
        target.mkdir(exist_ok=True)
        used = program("build_stored", "build", self.folder / "stored", target, part_ids, seed)
        found = json.loads(used.output)
        files = json.loads(program("build_stored", "digest", target).output)
        shutil.rmtree(target)
        stand_in = found["stand_in_s"]
        return _Run(used.cpu_s - stand_in, stand_in, found["peak_mb"], found["stages"], files)

    def build_after_crashes(self) -> _Run:
        """Killed twice in the middle of a join, and gone on with in the same folder."""
        target = self.folder / "crashed"
        target.mkdir()
        parts = -(-self.annotations // 1000)
        for joins in (parts // 3, parts // 3):
            try:
                program("build_stored", "build", self.folder / "stored", target, 1000, 2, joins)
            except ChildFailed:
                continue
            raise SystemExit("the build was to be killed, and was not")
        return self.build(1000, 2, target)

    def datumaro(self, format: str) -> float:
        target = self.folder / "converted"
        script = Path(__file__).parent.parent / "programs" / "datumaro_convert.py"
        used = run([str(datumaro_python()), str(script), str(self.folder / "coco"), str(target), format])
        found = json.loads(used.output.splitlines()[-1])
        if found["images"] != self.images:
            raise SystemExit(f"datumaro found {found['images']} images of {self.images}")
        self.datumaro_peak_mb = found["peak_mb"]
        shutil.rmtree(target)
        return used.cpu_s


@contextmanager
def _corpus(bench: Bench, count: int, *, polygons: bool, shape: str) -> Iterator[_Corpus]:
    folder = bench.folder / "corpus"
    annotations = folder / "coco" / "annotations"
    try:
        annotations.mkdir(parents=True)
        (folder / "coco" / "images" / "train").mkdir(parents=True)  # datumaro looks for it
        (folder / "stored").mkdir()
        images = write_coco(annotations / "instances_train.json", count, polygons=polygons)
        stored: dict[str, Any] = json.loads(
            program("build_stored", "store", annotations / "instances_train.json", folder / "stored", shape).output
        )
        yield _Corpus(folder, images, stored["annotations"], stored["cpu_s"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
