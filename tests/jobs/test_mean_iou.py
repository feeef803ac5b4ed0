"""Semantic segmentation scores against a count of every pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from dataloop_inference.masks import encode
from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation.mean_iou import score

LABELS = ("road", "tree", "sky")
PLACE = ObjectPlace("bucket", "key", None, None)
BACKGROUND = len(LABELS)
HEIGHT, WIDTH = 20, 30


def maps(seed: int, count: int = 6) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Label of each pixel, true and predicted; the prediction is the truth with noise."""
    rng = np.random.default_rng(seed)
    truth = [np.kron(rng.integers(0, 4, (4, 6)), np.ones((5, 5), dtype=int)) for _ in range(count)]
    said = [np.where(rng.random(t.shape) < 0.7, t, rng.integers(0, 4, t.shape)) for t in truth]
    return truth, said


def to_rows(truth: list[np.ndarray], said: list[np.ndarray]) -> tuple[list[Row], list[list[Prediction]]]:
    def row(number: int, labels: np.ndarray) -> Row:
        found = (k for k in range(BACKGROUND) if (labels == k).any())
        return Row(
            str(number), "", WIDTH, HEIGHT, PLACE, tuple(Truth(k, None, mask=encode(labels == k)) for k in found)
        )

    rows = [row(number, labels) for number, labels in enumerate(truth)]
    predictions = [
        [Prediction(k, 0.9, None, encode(labels == k)) for k in range(BACKGROUND) if (labels == k).any()]
        for labels in said
    ]
    return rows, predictions


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn_over_all_pixels(seed: int) -> None:
    truth, said = maps(seed)
    scores = score(*to_rows(truth, said), LABELS)
    all_truth, all_said = np.concatenate(truth).ravel(), np.concatenate(said).ravel()
    wanted = jaccard_score(all_truth, all_said, labels=[0, 1, 2, 3], average=None)
    assert [scores.per_class[label]["iou"] for label in (*LABELS, "background")] == pytest.approx(wanted.tolist())
    assert scores.primary == scores.summary["mIoU"] == pytest.approx(wanted[:3].mean())
    assert scores.summary["pixel_accuracy"] == pytest.approx((all_truth == all_said).mean())
    assert scores.confusion["matrix"] == confusion_matrix(all_truth, all_said, labels=[0, 1, 2, 3]).tolist()
    assert scores.confusion["labels"] == [*LABELS, "background"]
    assert scores.per_class["road"]["support"] == int((all_truth == 0).sum())


def test_a_pixel_of_several_labels_belongs_to_the_smallest() -> None:
    whole, part = np.ones((HEIGHT, WIDTH), dtype=bool), np.zeros((HEIGHT, WIDTH), dtype=bool)
    part[:5, :5] = True
    row = Row("u", "", WIDTH, HEIGHT, PLACE, (Truth(1, None, mask=encode(part)), Truth(0, None, mask=encode(whole))))
    said = [Prediction(1, 0.9, None, encode(part)), Prediction(0, 0.9, None, encode(~part))]
    assert score([row], [said], LABELS).primary == 1.0


def test_an_unlabelled_pixel_is_background_and_saying_something_there_is_wrong() -> None:
    left = np.zeros((HEIGHT, WIDTH), dtype=bool)
    left[:, : WIDTH // 2] = True
    row = Row("u", "", WIDTH, HEIGHT, PLACE, (Truth(0, None, mask=encode(left)),))
    everywhere = [Prediction(0, 0.9, None, encode(np.ones_like(left)))]
    scores = score([row], [everywhere], LABELS)
    assert scores.primary == pytest.approx(0.5)
    assert scores.summary["background_iou"] == 0
    nothing = score([row], [[]], LABELS)
    assert nothing.primary == 0 and nothing.summary["background_iou"] == pytest.approx(0.5)


def test_a_label_that_does_not_occur_is_left_out_of_the_mean() -> None:
    truth, said = maps(1)
    truth = [np.where(labels == 2, BACKGROUND, labels) for labels in truth]
    scores = score(*to_rows(truth, said), LABELS)
    assert scores.per_class["sky"]["iou"] is None
    known = [scores.per_class[label]["iou"] for label in ("road", "tree")]
    assert scores.primary == pytest.approx(sum(value or 0 for value in known) / 2)


def test_what_cannot_be_computed_is_null() -> None:
    blank = Row("u", "", WIDTH, HEIGHT, PLACE, ())
    for scores in (score([], [], LABELS), score([blank], [[]], LABELS), score([blank], [[]], ("background",))):
        assert scores.primary is None
        json.dumps([scores.summary, scores.per_class, scores.curves, scores.confusion], allow_nan=False)


def test_faults_say_what_happened_to_each_label() -> None:
    bands = np.zeros((4, HEIGHT, WIDTH), dtype=bool)
    for number in range(4):
        bands[number, number * 5 : number * 5 + 5] = True
    labels = ("cut", "swapped", "missed", "invented")
    row = Row("u", "", WIDTH, HEIGHT, PLACE, tuple(Truth(k, None, mask=encode(bands[k])) for k in range(3)))
    part = bands[0].copy()
    part[2:] = False
    said = [Prediction(0, 0.9, None, encode(part)), Prediction(3, 0.9, None, encode(bands[1]))]
    evidence = score([row], [said], labels).evidence
    assert evidence is not None
    (finding,) = evidence.findings(0.0)
    assert [(fault.kind, fault.label, fault.said) for fault in finding.faults] == [
        ("low_iou", 0, None),
        ("confused", 1, 3),
        ("missed", 2, None),
        ("false", None, 3),
    ]
    assert finding.loss == pytest.approx(1 - 0.4 / 4)
