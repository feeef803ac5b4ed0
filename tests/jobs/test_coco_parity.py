"""hotcoco against pycocotools, the oracle: equal to 1e-9 on boxes and masks, in every cell of both result arrays."""

from __future__ import annotations

from typing import Any

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference_mask

from dataloop_inference.predictions import Prediction, Rle
from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.evaluation import average_precision, mask_precision
from dataloop_jobs.evaluation.coco import MATCH_OVERLAP, SIZES, box_problem, mask_problem
from tests.jobs.coco_problems import HEIGHT, LABELS, WIDTH, CocoProblem, generate, pycocotools_evaluation

TOLERANCE = 1e-9
PLACE = ObjectPlace("bucket", "key", None, None)
kinds = pytest.mark.parametrize("kind", ["bbox", "segm"])


def to_rows(problem: CocoProblem) -> tuple[list[Row], list[list[Prediction]]]:
    """The problem as our own rows and predictions."""

    def box(item: dict[str, Any]) -> tuple[float, float, float, float]:
        left, top, width, height = item.get("bbox") or reference_mask.toBbox(item["segmentation"]).tolist()
        return left / WIDTH, top / HEIGHT, width / WIDTH, height / HEIGHT

    def mask(item: dict[str, Any]) -> Rle | None:
        found = item.get("segmentation")
        return Rle(found["size"][0], found["size"][1], found["counts"]) if found else None

    rows, predictions = [], []
    for image in problem.images:
        mine = [item for item in problem.truths if item["image_id"] == image["id"]]
        said = [item for item in problem.found if item["image_id"] == image["id"]]
        truths = tuple(
            Truth(item["category_id"] - 1, box(item), mask=mask(item), is_crowd=bool(item["iscrowd"])) for item in mine
        )
        rows.append(Row(f"uid-{image['id']:03}", "", WIDTH, HEIGHT, PLACE, truths))
        predictions.append([Prediction(i["category_id"] - 1, i["score"], box(i), mask(i)) for i in said])
    return rows, predictions


@kinds
@given(seed=st.integers(0, 2**31), crowded=st.booleans(), crowds=st.booleans(), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_hotcoco_equals_pycocotools(kind: str, seed: int, crowded: bool, crowds: bool, ties: bool) -> None:
    problem = generate(kind, seed, crowds=crowds, ties=ties, crowded=crowded)
    oracle = pycocotools_evaluation(problem)
    coco = hotcoco.COCO(problem.dataset)
    evaluation = hotcoco.COCOeval(coco, coco.load_res(problem.found), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    for name in ("precision", "recall", "scores"):
        np.testing.assert_allclose(evaluation.eval[name], oracle.eval[name], rtol=0, atol=TOLERANCE)


def test_the_generator_makes_what_it_promises() -> None:
    problems = [generate("segm", seed, crowded=True) for seed in range(5)]
    assert any(problem.found for problem in problems)
    assert any(truth["iscrowd"] for problem in problems for truth in problem.truths)
    for problem in filter(lambda problem: problem.found, problems):
        scores = [item["score"] for item in problem.found]
        assert len(set(scores)) < len(scores)
        assert max(sum(f["image_id"] == i["id"] for f in problem.found) for i in problem.images) > 100


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.lists(st.tuples(st.floats(-0.1, 1.1), st.floats(-0.1, 1.1)), min_size=3, max_size=9),
)
@settings(max_examples=100, deadline=None)
def test_polygons_are_filled_as_by_pycocotools(height: int, width: int, points: list[tuple[float, float]]) -> None:
    flat = [float(value) for x, y in points for value in (x * width, y * height)]
    wanted = reference_mask.merge(reference_mask.frPyObjects([flat], height, width))
    assert hotcoco.mask.merge(hotcoco.mask.frPyObjects([flat], height, width))["counts"] == wanted["counts"]


@kinds
@pytest.mark.parametrize("seed", range(6))
def test_our_scores_are_those_of_pycocotools(kind: str, seed: int) -> None:
    problem = generate(kind, seed, crowded=seed % 2 == 1)
    rows, predictions = to_rows(problem)
    precision = pycocotools_evaluation(problem).eval["precision"][:, :, :, :, 2]
    module, prefix = (average_precision, "") if kind == "bbox" else (mask_precision, "mask_")
    scores = module.score(rows, predictions, LABELS, 0.4)

    def mean(values: np.ndarray) -> float | None:
        known = values[values > -1]
        return float(known.mean()) if known.size else None

    assert scores.primary == pytest.approx(mean(precision[0, :, :, 0]), abs=TOLERANCE)
    assert scores.summary[f"{prefix}AP"] == pytest.approx(mean(precision[:, :, :, 0]), abs=TOLERANCE)
    assert scores.summary[f"{prefix}AP75"] == pytest.approx(mean(precision[5, :, :, 0]), abs=TOLERANCE)
    for number, name in enumerate(SIZES, start=1):
        assert scores.summary[f"{prefix}AP_{name}"] == pytest.approx(mean(precision[:, :, :, number]), abs=TOLERANCE)
    for number, label in enumerate(LABELS):
        known = mean(precision[:, :, number, 0])
        assert scores.per_class[label][f"{prefix}AP"] == pytest.approx(known, abs=TOLERANCE)


@kinds
@pytest.mark.parametrize("seed", range(8))
def test_the_stored_matches_give_the_same_numbers_without_matching_again(kind: str, seed: int) -> None:
    """AP50 of all objects and of each size, for every class."""
    problem = generate(kind, seed, crowded=seed % 2 == 1)
    oracle = pycocotools_evaluation(problem).eval["precision"][0, :, :, :, 2]
    ours = (box_problem if kind == "bbox" else mask_problem)(*to_rows(problem), LABELS)
    everyone = np.ones((1, len(problem.images)))
    for position, name in enumerate(("all", *SIZES)):
        wanted = oracle[:, :, position].mean(axis=0)
        found = ours.match()[name].average_precision(everyone)[0]
        np.testing.assert_allclose(np.where(np.isnan(found), -1, found), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(6))
def test_the_precision_at_a_threshold_is_that_of_pycocotools_at_that_threshold(seed: int) -> None:
    problem = generate("bbox", seed, ties=False)
    countable = [truth for truth in problem.truths if not truth["iscrowd"]]
    rows, predictions = to_rows(problem)
    for entry in average_precision.score(rows, predictions, LABELS, 0.4).thresholds:
        kept = [item for item in problem.found if item["score"] >= entry["threshold"]]
        status = pycocotools_evaluation(CocoProblem("bbox", problem.images, problem.truths, kept))
        cells = [cell for cell in status.evalImgs if cell and cell["aRng"] == [0, 1e10]]
        ignored = sum(int(cell["dtIgnore"][0].sum()) for cell in cells)
        hits = sum(int(((cell["dtMatches"][0] > 0) & ~cell["dtIgnore"][0].astype(bool)).sum()) for cell in cells)
        judged = len(kept) - ignored
        assert entry["precision"] == (pytest.approx(hits / judged) if judged else None)
        assert entry["recall"] == (pytest.approx(hits / len(countable)) if countable else None)
    assert MATCH_OVERLAP == 0.5
