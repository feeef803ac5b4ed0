"""Classification scores against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
    top_k_accuracy_score,
)

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation.accuracy import score

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
    assert scores.summary["balanced_accuracy"] == pytest.approx(
        recall_score(truth, chosen, labels=[0, 1, 2], average="macro")
    )
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


@pytest.mark.parametrize("decimals", [12, 1])
def test_roc_is_that_of_scikit_learn_with_ties_too(decimals: int) -> None:
    truth, table = problem(6)
    table = table.round(decimals)
    scores = score(*to_rows(truth, table), LABELS)
    for number, label in enumerate(LABELS[:3]):
        curve = scores.curves["roc"][label]
        assert curve["auc"] == pytest.approx(roc_auc_score(truth == number, table[:, number]))
        fpr, tpr, _ = roc_curve(truth == number, table[:, number], drop_intermediate=False)
        wanted = [max(float(np.interp(at, fpr, tpr)), float(tpr[fpr <= at + 1e-12].max())) for at in curve["fpr"]]
        np.testing.assert_allclose(curve["tpr"], wanted, atol=1e-5)
    assert "never" not in scores.curves["roc"]


def test_top_5_is_given_from_six_labels_on() -> None:
    rng = np.random.default_rng(0)
    truth, table = rng.integers(0, 8, 40), rng.dirichlet(np.ones(8), 40)
    many = score(*to_rows(truth, table), [str(number) for number in range(8)])
    assert many.summary["top5_accuracy"] == pytest.approx(top_k_accuracy_score(truth, table, k=5, labels=range(8)))
    assert "top5_accuracy" not in score(*to_rows(*problem(0)), LABELS).summary


def test_calibration_compares_score_and_share_that_is_right_in_ten_bins() -> None:
    truth, table = problem(7, count=200)
    found = score(*to_rows(truth, table), LABELS).calibration
    assert found is not None
    best, right = table.max(axis=1), table.argmax(axis=1) == truth
    error = 0.0
    for number, entry in enumerate(found["bins"]):
        inside = (best > number / 10) & (best <= (number + 1) / 10)
        assert entry["count"] == inside.sum()
        if inside.any():
            assert entry["accuracy"] == pytest.approx(right[inside].mean())
            error += abs(best[inside].mean() - right[inside].mean()) * inside.mean()
    assert found["ece"] == pytest.approx(error)
    assert found["ece"] <= 1


def test_an_image_without_an_answer_is_wrong() -> None:
    truth, table = problem(8)
    rows, predictions = to_rows(truth, table)
    predictions[0] = []
    scores = score(rows, predictions, LABELS)
    assert scores.primary == pytest.approx((table.argmax(axis=1) == truth)[1:].sum() / len(truth))
    assert np.array(scores.confusion["matrix"]).sum() == len(truth) - 1
    assert scores.per_class[LABELS[truth[0]]]["support"] == (truth == truth[0]).sum()


def test_what_cannot_be_computed_is_null() -> None:
    truth, table = problem(5)
    table[:, 3] = 0
    scores = score(*to_rows(truth, table / table.sum(axis=1, keepdims=True)), LABELS)
    assert scores.per_class["never"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    nothing = score([], [], LABELS)
    assert nothing.primary is None
    everything = [nothing.summary, nothing.per_class, nothing.curves, nothing.confusion, nothing.thresholds]
    json.dumps([*everything, nothing.calibration], allow_nan=False)
