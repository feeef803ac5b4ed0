"""Multilabel scores against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, multilabel_confusion_matrix, roc_auc_score

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation.multilabel import best_threshold, score

LABELS = ("a", "b", "c", "never")
PLACE = ObjectPlace("bucket", "key", None, None)


def problem(seed: int, count: int = 50, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((count, 4)) < [0.5, 0.3, 0.1, 0.0]
    truth[0, :3], truth[1, :3] = True, False
    scores = np.clip(rng.beta(2, 3, truth.shape) + 0.4 * truth * rng.random(truth.shape), 0, 1)
    return truth, scores.round(1) if ties else scores


def to_rows(truth: np.ndarray, scores: np.ndarray) -> tuple[list[Row], list[list[Prediction]]]:
    rows = [
        Row(str(i), "", 8, 8, PLACE, tuple(Truth(int(k), None) for k in np.flatnonzero(line)))
        for i, line in enumerate(truth)
    ]
    return rows, [[Prediction(int(k), float(line[k])) for k in np.argsort(-line)] for line in scores]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed: int, ties: bool) -> None:
    truth, table = problem(seed, ties=ties)
    scores = score(*to_rows(truth, table), LABELS, 0.5)
    wanted = [average_precision_score(truth[:, k], table[:, k]) for k in range(3)]
    assert [scores.per_class[label]["AP"] for label in LABELS[:3]] == pytest.approx(wanted)
    assert scores.primary == scores.summary["mAP"] == pytest.approx(np.mean(wanted))
    said = table >= 0.5
    assert scores.summary["micro_f1"] == pytest.approx(f1_score(truth, said, average="micro"))
    assert scores.summary["macro_f1"] == pytest.approx(f1_score(truth[:, :3], said[:, :3], average="macro"))
    assert scores.summary["exact_match"] == pytest.approx((truth == said).all(axis=1).mean())
    assert scores.confusion["tables"] == multilabel_confusion_matrix(truth, said).tolist()
    for number, label in enumerate(LABELS[:3]):
        auc = roc_auc_score(truth[:, number], table[:, number])
        assert scores.curves["roc"][label]["auc"] == pytest.approx(auc)


def test_a_label_that_never_occurs_has_no_precision_but_its_false_alarms_count() -> None:
    truth, table = problem(1)
    scores = score(*to_rows(truth, table), LABELS, 0.2)
    assert scores.per_class["never"]["AP"] is None
    assert scores.per_class["never"]["precision"] == 0
    assert "never" not in scores.curves["roc"]


def test_a_label_that_is_not_predicted_has_score_zero() -> None:
    truth, table = problem(2)
    table[:, 1] = 0
    rows, predictions = to_rows(truth, table)
    fewer = [[one for one in found if one.label != 1] for found in predictions]
    assert score(rows, fewer, LABELS, 0.5).per_class == score(rows, predictions, LABELS, 0.5).per_class


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_maximises_f1_over_all_labels(seed: int) -> None:
    truth, table = problem(seed)
    chosen = best_threshold(*to_rows(truth, table), LABELS)
    assert chosen is not None

    def f1(threshold: float) -> float:
        return float(f1_score(truth, table >= threshold, average="micro", zero_division=0))

    assert f1(chosen) == pytest.approx(max(f1(value) for value in np.unique(table)))


def test_degenerate_sets_are_null_but_never_nan() -> None:
    truth, table = problem(3)
    rows, predictions = to_rows(np.zeros_like(truth), table)
    assert best_threshold(rows, predictions, LABELS) is None
    assert best_threshold([], [], LABELS) is None
    for scores in (
        score([], [], LABELS, 0.5),
        score(rows, predictions, LABELS, 0.5),
        score(rows, [[]] * 50, ("a",), 0.5),
    ):
        assert scores.primary is None
        values = [
            scores.summary,
            scores.per_class,
            scores.curves,
            scores.confusion,
            scores.thresholds,
            scores.calibration,
        ]
        json.dumps(values, allow_nan=False)
