"""Classification scores against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_curve, precision_score, recall_score

from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation.accuracy import score
from dataloop_jobs.predictions import Prediction

LABELS = ("a", "b", "c", "never")
PLACE = ObjectPlace("bucket", "key", None, None)


def problem(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """True classes (of the first three) and scores over all four."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    scores = rng.dirichlet(np.ones(4), count)
    scores[np.arange(count), truth] += rng.uniform(0, 1, count)
    return truth, scores / scores.sum(axis=1, keepdims=True)


def to_rows(truth: np.ndarray, scores: np.ndarray) -> tuple[list[Row], list[list[Prediction]]]:
    rows = [Row(str(i), "", 8, 8, PLACE, (Truth(int(label), None),)) for i, label in enumerate(truth)]
    ranked = [[Prediction(int(k), float(row[k]), None) for k in np.argsort(-row)] for row in scores]
    return rows, ranked


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, table = problem(seed)
    scores = score(*to_rows(truth, table), LABELS)
    chosen = table.argmax(axis=1)
    assert scores.primary == scores.summary["accuracy"] == pytest.approx(accuracy_score(truth, chosen))
    wanted = f1_score(truth, chosen, labels=[0, 1, 2], average="macro")
    assert scores.summary["macro_f1"] == pytest.approx(wanted)
    for number, label in enumerate(LABELS[:3]):
        mine = scores.per_class[label]
        assert mine["precision"] == pytest.approx(precision_score(truth == number, chosen == number))
        assert mine["recall"] == pytest.approx(recall_score(truth == number, chosen == number))
        assert mine["support"] == int((truth == number).sum())


def test_curves_are_the_best_precision_at_each_recall() -> None:
    truth, table = problem(4)
    curve = score(*to_rows(truth, table), LABELS).curves["pr"]["b"]
    precision, recall, _ = precision_recall_curve(truth == 1, table[:, 1])
    wanted = [precision[recall >= at - 1e-12].max() for at in curve["recall"]]
    np.testing.assert_allclose(curve["precision"], wanted, atol=1e-5)


def test_what_cannot_be_computed_is_null() -> None:
    truth, table = problem(5)
    table[:, 3] = 0
    scores = score(*to_rows(truth, table / table.sum(axis=1, keepdims=True)), LABELS)
    assert scores.per_class["never"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    nothing = score([], [], LABELS)
    assert nothing.primary is None
    json.dumps([nothing.summary, nothing.per_class, nothing.curves, nothing.confusion], allow_nan=False)
