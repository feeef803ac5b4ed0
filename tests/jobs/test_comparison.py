"""Two models on the same images."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row, Truth
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.evaluation.comparison import MOST_BYTES, Contender, compare
from dataloop_jobs.faults import BadModel
from tests.jobs.evaluated import LABELS, PLACE, evaluated, task

every_task = pytest.mark.parametrize("name", TASK_TYPES)


def contender(
    name: str, answers: Any, labels: tuple[str, ...] = LABELS, threshold: float = 0.4, id: str = "new"
) -> Contender:
    return Contender(id, task(name), labels, answers, threshold)


@every_task
def test_the_better_model_is_found_to_be_better(name: str) -> None:
    rows, good = evaluated(name, 60, 0.9)
    _, bad = evaluated(name, 60, 0.1)
    result = compare(contender(name, good), contender(name, bad, id="old"), rows, LABELS)
    alone = task(name).score(rows, good, LABELS, 0.4)
    assert result["primary"]["model"] == pytest.approx(alone.primary, abs=1e-6)
    assert result["primary"]["difference"] == pytest.approx(
        result["primary"]["model"] - result["primary"]["baseline"], abs=2e-6
    )
    assert result["primary"]["confidence"][0] > 0
    assert result["primary"]["probability_better"] > 0.99
    assert result["changed"]["fixed"] > result["changed"]["broken"]
    assert set(result["slices"]["region"]) == {"north", "south"}
    assert ("object_size" in result["slices"]) == (name in ("detection", "instance_segmentation"))
    assert (result["metric"], result["model_id"], result["baseline_model_id"]) == (
        task(name).primary_name,
        "new",
        "old",
    )
    json.dumps(result, allow_nan=False)


@every_task
def test_the_same_answers_differ_by_nothing(name: str) -> None:
    rows, answers = evaluated(name, 20, 0.5)
    result = compare(contender(name, answers), contender(name, answers), rows, LABELS)
    assert result["primary"]["difference"] == 0
    assert result["primary"]["confidence"] == [0, 0]
    assert result["primary"]["probability_better"] == 0.5
    assert (result["changed"]["fixed"], result["changed"]["broken"]) == (0, 0)
    assert (result["changed"]["better"], result["changed"]["worse"]) == (0, 0)


def test_the_paired_interval_is_that_of_scoring_both_from_the_beginning() -> None:
    rows, good = evaluated("detection", 10, 0.8)
    _, bad = evaluated("detection", 10, 0.5)
    result = compare(contender("detection", good), contender("detection", bad), rows, LABELS, seed=5)
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(result["resamples"]):
        drawn = rng.integers(0, 10, 10)
        scored = [
            task("detection").score([rows[i] for i in sorted(drawn)], [answers[i] for i in sorted(drawn)], LABELS, 0.4)
            for answers in (good, bad)
        ]
        if scored[0].primary is not None and scored[1].primary is not None:
            differences.append(scored[0].primary - scored[1].primary)
    assert result["primary"]["confidence"] == pytest.approx(np.quantile(differences, [0.025, 0.975]).tolist(), abs=1e-6)


def test_a_pair_on_the_same_images_is_surer_than_two_intervals() -> None:
    """Both models find the same images hard: paired, what is common to both falls away."""
    rows, answers = evaluated("classification", 200, 0.4)
    better = [list(found) for found in answers]
    wrong = [i for i, found in enumerate(answers) if found[0].label != rows[i].truths[0].label][:8]
    for index in wrong:
        better[index] = [Prediction(rows[index].truths[0].label, 0.9)]
    result = compare(contender("classification", better), contender("classification", answers), rows, LABELS)
    assert result["primary"]["probability_better"] > 0.99
    assert result["changed"]["fixed_uids"] and result["changed"]["fixed"] == 8
    assert set(result["changed"]["fixed_uids"]) == {rows[i].uid for i in wrong}


@every_task
def test_labels_are_compared_by_name_and_only_those_that_both_know(name: str) -> None:
    # given a baseline with the labels in another order and without one of them
    rows, new = evaluated(name, 40, 0.9)
    _, answers = evaluated(name, 40, 0.5)
    order = ("dog", "car")
    places = {LABELS.index(label): place for place, label in enumerate(order)}
    old = [[replace(o, label=places[o.label]) for o in found if o.label in places] for found in answers]
    # when the two are compared
    result = compare(contender(name, new), contender(name, old, order), rows, LABELS)
    # then the label that only one knows is no advantage, and the file says so
    assert result["labels_left_out"] == {"tree": "the baseline does not know it"}
    assert set(result["per_class"]) == {"car", "dog"}
    kept = [replace(row, truths=tuple(t for t in row.truths if t.label != 2)) for row in rows]
    usable = [(row, found) for row, found in zip(kept, new, strict=True) if task(name).usable([row])]
    alone = task(name).score([row for row, _ in usable], [found for _, found in usable], LABELS, 0.4)
    assert result["primary"]["model"] == pytest.approx(alone.primary, abs=1e-6)
    assert result["images"] == len(usable)


def test_models_that_cannot_be_compared_are_refused_with_what_differs() -> None:
    rows, answers = evaluated("detection", 5, 0.9)
    new = contender("detection", answers)
    with pytest.raises(BadModel, match=r"classification.*detection"):
        compare(new, contender("classification", answers), rows, LABELS)
    with pytest.raises(BadModel, match=r"no label of the test set in common.*'ship'"):
        compare(new, contender("detection", [[] for _ in rows], ("ship",)), rows, LABELS)


@every_task
@pytest.mark.parametrize("count", [0, 1])
def test_with_hardly_any_image_there_are_numbers_but_no_intervals(name: str, count: int) -> None:
    rows, answers = evaluated(name, count, 0.9)
    result = compare(contender(name, answers), contender(name, answers), rows, LABELS)
    assert result["primary"]["confidence"] is None
    assert result["primary"]["probability_better"] is None
    json.dumps(result, allow_nan=False)


def test_a_comparison_of_many_classes_and_slices_fits_into_its_limit() -> None:
    labels = tuple(f"{number} {'x' * 200}" for number in range(300))
    rng = np.random.default_rng(0)
    rows, new, old = [], [], []
    for number in range(600):
        attributes = {f"a{k}": f"{'y' * 80}{number % 40}" for k in range(6)}
        rows.append(Row(f"u{number}", "", 9, 9, PLACE, (Truth(number % 300, None),), attributes))
        new.append([Prediction(int(rng.integers(300)) if number % 3 else number % 300, 0.5)])
        old.append([Prediction(int(rng.integers(300)), 0.5)])
    result = compare(contender("classification", new, labels), contender("classification", old, labels), rows, labels)
    assert len(json.dumps(result).encode()) <= MOST_BYTES
    assert result["entries_left_out"] > 0
    assert result["primary"]["difference"] > 0
    # what differs most is what is kept
    assert max(abs(entry["difference"]) for entry in result["per_class"].values()) == 1
