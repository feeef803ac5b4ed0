"""Rows and predictions of every task type, with known quality, for the tests of evaluation."""

from __future__ import annotations

import numpy as np

from dataloop_inference.masks import encode
from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.task_types.surface import TaskType

LABELS = ("car", "dog", "tree")
PLACE = ObjectPlace("bucket", "key", None, None)
Box = tuple[float, float, float, float]
Answers = list[list[Prediction]]


def task(name: str) -> TaskType:
    found: TaskType = TASK_TYPES[name].load().IMPLEMENTATION
    return found


def evaluated(name: str, count: int, quality: float, seed: int = 0) -> tuple[list[Row], Answers]:
    """The same seed gives the same rows whatever the quality (0 = guesses, 1 = nearly all right)."""
    rows_rng, answer_rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, int(quality * 1000)])
    rows, answers = [], []
    for number in range(count):
        width, height = int(rows_rng.integers(60, 200)), int(rows_rng.integers(60, 200))
        truths, said = _image(name, width, height, quality, rows_rng, answer_rng)
        attributes = {"region": ("north", "south")[number % 2], "device": f"cam{number % 3}"}
        rows.append(Row(f"uid-{number:04}", "", width, height, PLACE, truths, attributes))
        answers.append(sorted(said, key=lambda one: -one.score))
    return rows, answers


def _image(
    name: str, width: int, height: int, quality: float, rows: np.random.Generator, answers: np.random.Generator
) -> tuple[tuple[Truth, ...], list[Prediction]]:
    count = len(LABELS)
    if name == "classification":
        label = int(rows.integers(count))
        scores = answers.dirichlet(np.ones(count))
        scores[label] += quality * answers.random() * 2
        scores /= scores.sum()
        return (Truth(label, None),), [Prediction(k, float(scores[k])) for k in range(count)]
    if name == "multilabel_classification":
        there = rows.random(count) < 0.4
        scores = np.clip(answers.beta(2, 4, count) + quality * there * answers.random(count), 0, 1)
        truths = tuple(Truth(int(k), None) for k in np.flatnonzero(there))
        return truths, [Prediction(k, float(scores[k])) for k in range(count)]
    return _objects(name, width, height, quality, rows, answers)


def _objects(
    name: str, width: int, height: int, quality: float, rows: np.random.Generator, answers: np.random.Generator
) -> tuple[tuple[Truth, ...], list[Prediction]]:
    masked = name != "detection"

    def mask(box: Box) -> np.ndarray:
        ys, xs = np.mgrid[:height, :width]
        left, top, wide, high = box
        return ((xs / width - left) / wide - 0.5) ** 2 + ((ys / height - top) / high - 0.5) ** 2 < 0.25

    truths, said = [], []
    for _ in range(rows.integers(0, 4)):
        wide, high = (float(value) for value in rows.uniform(0.15, 0.6, 2))
        box = (float(rows.uniform(0, 1 - wide)), float(rows.uniform(0, 1 - high)), wide, high)
        label = int(rows.integers(len(LABELS)))
        truths.append(Truth(label, box, mask=encode(mask(box)) if masked else None))
        if answers.random() < 0.3 + 0.7 * quality:
            moved = [float(np.clip(value + answers.normal(0, 0.06 * (1.1 - quality)), 0, 0.8)) for value in box[:2]]
            near = (moved[0], moved[1], wide, high)
            guess = label if answers.random() < 0.6 + 0.4 * quality else int(answers.integers(len(LABELS)))
            said.append(Prediction(guess, float(answers.uniform(0.3, 1)), near, encode(mask(near)) if masked else None))
    if answers.random() < 0.5 * (1 - quality):
        box = (0.1, 0.1, 0.3, 0.3)
        said.append(Prediction(0, float(answers.uniform(0.1, 0.6)), box, encode(mask(box)) if masked else None))
    if name == "semantic_segmentation":
        said = [Prediction(one.label, one.score, None, one.mask) for one in {one.label: one for one in said}.values()]
    return tuple(truths), said
