"""Average precision against pycocotools, the oracle."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation.average_precision import best_threshold, score

LABELS = ("a", "b", "c", "never")
PLACE = ObjectPlace("bucket", "key", None, None)


def near(rng: np.random.Generator, box: list[float]) -> list[float]:
    return [max(1.0, value + rng.normal(0, 4)) for value in box]


def problem(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Images, truths (some crowds) and detections (scores with many ties), as COCO dicts."""
    rng = np.random.default_rng(seed)
    images = [{"id": i + 1, "width": 200, "height": 160} for i in range(12)]
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            box = [float(v) for v in (*rng.uniform(0, 100, 2), *rng.uniform(5, 90, 2))]
            label = int(rng.integers(1, 4))
            truths.append({"id": len(truths) + 1, "image_id": image["id"], "category_id": label, "bbox": box,
                           "area": box[2] * box[3], "iscrowd": int(rng.random() < 0.15)})  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                guess = label if rng.random() < 0.8 else int(rng.integers(1, 4))
                found.append({"image_id": image["id"], "category_id": guess, "bbox": near(rng, box),
                              "score": float(rng.choice([0.2, 0.5, 0.5, 0.9]))})  # fmt: skip
    return images, truths, found


def pycoco(images: list[dict[str, Any]], truths: list[dict[str, Any]], found: list[dict[str, Any]]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": i + 1, "name": label} for i, label in enumerate(LABELS)]
        coco.dataset = {"images": images, "annotations": truths, "categories": categories}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def to_rows(
    images: list[dict[str, Any]], truths: list[dict[str, Any]], found: list[dict[str, Any]]
) -> tuple[list[Row], list[list[Prediction]]]:
    def share(box: list[float]) -> tuple[float, float, float, float]:
        return box[0] / 200, box[1] / 160, box[2] / 200, box[3] / 160

    rows, predictions = [], []
    for image in images:
        mine = [item for item in truths if item["image_id"] == image["id"]]
        said = [item for item in found if item["image_id"] == image["id"]]
        labelled = tuple(Truth(item["category_id"] - 1, share(item["bbox"])) for item in mine)
        rows.append(Row(str(image["id"]), "", 200, 160, PLACE, labelled))
        predictions.append([Prediction(item["category_id"] - 1, item["score"], share(item["bbox"])) for item in said])
    return rows, predictions


@pytest.mark.parametrize("seed", range(8))
def test_hotcoco_equals_pycocotools_with_crowds_and_ties(seed: int) -> None:
    images, truths, found = problem(seed)
    oracle = pycoco(images, truths, found)
    categories = [{"id": i + 1, "name": label} for i, label in enumerate(LABELS)]
    coco = hotcoco.COCO({"images": images, "annotations": truths, "categories": categories})
    evaluation = hotcoco.COCOeval(coco, coco.load_res(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    np.testing.assert_allclose(evaluation.eval["precision"], oracle.eval["precision"], atol=1e-9)
    np.testing.assert_allclose(evaluation.eval["recall"], oracle.eval["recall"], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_our_scores_are_those_of_pycocotools(seed: int) -> None:
    images, truths, found = problem(seed)
    truths = [{**truth, "iscrowd": 0} for truth in truths]
    precision = pycoco(images, truths, found).eval["precision"][:, :, :, 0, 2]
    known = precision[:, :, :3]
    scores = score(*to_rows(images, truths, found), LABELS, 0.4)
    assert scores.summary["AP"] == pytest.approx(known.mean(), abs=1e-9)
    assert scores.primary == scores.summary["AP50"] == pytest.approx(known[0].mean(), abs=1e-9)
    assert scores.summary["AP75"] == pytest.approx(known[5].mean(), abs=1e-9)
    assert scores.per_class["b"]["AP"] == pytest.approx(known[:, :, 1].mean(), abs=1e-9)
    assert scores.per_class["never"] == {"AP": None, "AP50": None, "recall": None, "support": 0}
    np.testing.assert_allclose(scores.curves["pr"]["a"]["precision"], known[0, :, 0], atol=1e-5)


def test_the_confusion_matrix_counts_every_box_once() -> None:
    images, truths, found = problem(0)
    truths = [{**truth, "iscrowd": 0} for truth in truths]
    confusion = score(*to_rows(images, truths, found), LABELS, 0.4).confusion
    matrix = np.array(confusion["matrix"])
    assert confusion["labels"] == [*LABELS, "background"]
    assert matrix[:-1].sum() == len(truths)
    assert matrix[:, :-1].sum() == sum(detection["score"] >= 0.4 for detection in found)


def test_nothing_found_and_nothing_there_are_null_or_zero_but_never_nan() -> None:
    images, truths, found = problem(1)
    rows, predictions = to_rows(images, truths, found)
    silent = score(rows, [[] for _ in rows], LABELS, 0.4)
    assert silent.primary == 0
    blank = [Row(row.uid, "", 200, 160, PLACE, ()) for row in rows]
    assert score(blank, predictions, LABELS, 0.4).primary is None
    assert score([], [], LABELS, 0.4).primary is None
    for scores in (silent, score([], [], LABELS, 0.4)):
        json.dumps([scores.summary, scores.per_class, scores.curves, scores.confusion], allow_nan=False)


def test_the_threshold_maximises_f1() -> None:
    images, truths, found = problem(3)
    rng = np.random.default_rng(0)
    truths = [{**truth, "iscrowd": 0} for truth in truths]
    found = [{**detection, "score": float(rng.uniform(0.05, 1))} for detection in found]
    rows, predictions = to_rows(images, truths, found)
    chosen = best_threshold(rows, predictions, LABELS)
    assert chosen is not None

    def f1(threshold: float) -> float:
        """Only same-class matches are right, so matrix cells off the diagonal are wrong twice."""
        kept = [[p for p in found_in_row if p.score >= threshold] for found_in_row in predictions]
        status = pycoco(images, truths, [f for f in found if f["score"] >= threshold])
        hits = sum(int((e["dtMatches"][0] > 0).sum()) for e in status.evalImgs if e and e["aRng"][1] > 1e9)
        return 2 * hits / (sum(map(len, kept)) + len(truths))

    assert f1(chosen) == pytest.approx(max(f1(detection["score"]) for detection in found), abs=1e-9)


def test_without_truth_or_detections_there_is_no_best_threshold() -> None:
    images, truths, found = problem(3)
    rows, predictions = to_rows(images, truths, found)
    assert best_threshold(rows, [[] for _ in rows], LABELS) is None
    assert best_threshold([Row("x", "", 9, 9, PLACE, ())], [predictions[0]], LABELS) is None
