"""Precision, recall and average precision at any threshold, against pycocotools, scikit-learn and a plain count."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from dataloop.domain.performance import Curves, Measure
from dataloop.manifests.answer_curves import CurveBuilder, Said, Truth, pack_curves, read_curves
from tests.jobs.coco_problems import LABELS, CocoProblem, generate

Answer = tuple[list[Said], list[Truth]]
TAGS = ("a", "b", "c")


def curves(kind: str, answers: Sequence[Answer], limit: int = 1_000_000, tags: Sequence[str] = TAGS) -> Curves:
    """As they are read again: what is stored is what is measured."""
    builder = CurveBuilder(kind, tags, limit)
    for said, truths in answers:
        builder.add(said, truths)
    return read_curves(pack_curves(builder.curves()))


def measures(found: Curves, threshold: float, overlap: float = 0.5) -> dict[str | None, Measure]:
    return dict(found.measures(threshold, overlap))


def answers_of(problem: CocoProblem) -> list[Answer]:
    return [
        (
            [
                Said(LABELS[each["category_id"] - 1], each["score"], each["bbox"])
                for each in problem.found
                if each["image_id"] == image["id"]
            ],
            [
                Truth(LABELS[each["category_id"] - 1], each["bbox"])
                for each in problem.truths
                if each["image_id"] == image["id"]
            ],
        )
        for image in problem.images
    ]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("overlap", [0.05, 0.3, 0.5, 0.75, 1.0])
def test_average_precision_of_boxes_is_pycocotools_number(overlap: float, ties: bool) -> None:
    for seed in range(40):
        problem = generate("bbox", seed, crowds=False, ties=ties, crowded=seed % 10 == 0)
        for each in problem.found:
            each["score"] = round(each["score"], 6)
        wanted = coco_average_precision(problem, overlap)
        found = measures(curves("detection", answers_of(problem), tags=LABELS), 0.5, overlap)
        for label, value in zip(LABELS, wanted, strict=True):
            average = found[label].average_precision
            assert (average is None) == (value == -1)
            assert average is None or average == pytest.approx(value, abs=1e-9)
        known = [value for value in wanted if value != -1]
        assert found[None].average_precision == (pytest.approx(np.mean(known), abs=1e-9) if known else None)


def coco_average_precision(problem: CocoProblem, overlap: float) -> list[float]:
    """AP of each category at one overlap; -1 without a truth."""
    import contextlib
    import copy
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    problem = copy.deepcopy(problem)
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = problem.dataset
        found.dataset = {**problem.dataset, "annotations": []}
        truth.createIndex()
        found.createIndex()
        if problem.found:
            found = truth.loadRes(problem.found)
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.iouThrs = np.array([overlap])
        evaluation.evaluate()
        evaluation.accumulate()
    return [float(evaluation.eval["precision"][0, :, number, 0, -1].mean()) for number in range(len(LABELS))]


def classified(seed: int, images: int, *, several: bool) -> list[Answer]:
    rng = random.Random(seed)
    answers = []
    for _ in range(images):
        there = [tag for tag in TAGS if rng.random() < 0.4] if several else [rng.choice(TAGS)]
        scores = [round(min(1.0, rng.choice([0.1, 0.3, rng.random()]) + 0.2 * (tag in there)), 6) for tag in TAGS]
        said = sorted(map(Said, TAGS, scores), key=lambda each: -each.score)
        answers.append((said[: rng.randint(0, 3)] if several else said, [Truth(tag) for tag in there]))
    return answers


@pytest.mark.parametrize("kind", ["classification", "multilabel_classification"])
def test_average_precision_of_tags_is_scikit_learns_number(kind: str) -> None:
    for seed in range(30):
        answers = classified(seed, 25, several=kind != "classification")
        found = measures(curves(kind, answers), 0.5)
        for tag in TAGS:
            truth = [any(each.tag_id == tag for each in truths) for _, truths in answers]
            scores = [next((each.score for each in said if each.tag_id == tag), 0.0) for said, _ in answers]
            wanted = average_precision_score(truth, scores) if any(truth) else None
            assert found[tag].average_precision == (None if wanted is None else pytest.approx(wanted, abs=1e-12))


def counted(kind: str, answers: Sequence[Answer], threshold: float, overlap: float) -> dict[str | None, list[int]]:
    """tag → [right, said, there], counted one by one."""
    table: dict[str | None, list[int]] = {tag: [0, 0, 0] for tag in TAGS}
    for said, truths in answers:
        best = max(said, key=lambda each: each.score, default=None)
        for tag in TAGS:
            of_tag = sorted((each for each in said if each.tag_id == tag), key=lambda each: -each.score)
            free = [truth for truth in truths if truth.tag_id == tag]
            table[tag][2] += len(free)
            for each in of_tag:
                if each.score < threshold or (kind == "classification" and each is not best):
                    continue
                table[tag][1] += 1
                partner = pick(each, free, overlap) if kind == "detection" else (free or [None])[0]
                if partner is not None:
                    table[tag][0] += 1
                    free.remove(partner)
    table[None] = [sum(table[tag][column] for tag in TAGS) for column in range(3)]
    return table


def pick(said: Said, free: Sequence[Truth], least: float) -> Truth | None:
    best = None
    for truth in free:
        (left, top, width, height), (x, y, across, down) = said.box or (0, 0, 0, 0), truth.box or (0, 0, 0, 0)
        shared = max(0, min(left + width, x + across) - max(left, x)) * max(
            0, min(top + height, y + down) - max(top, y)
        )
        overlap = shared / (width * height + across * down - shared)
        if overlap > 0 and overlap >= least:
            best, least = truth, overlap
    return best


scores = st.integers(0, 1_000_000).map(lambda value: value / 1_000_000) | st.sampled_from([0.0, 0.5, 0.5, 1.0])
# Quarters: boxes that touch, share an edge, and overlap by exactly a half.
quarters = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 2), st.integers(1, 2)).map(
    lambda box: (box[0] / 4, box[1] / 4, box[2] / 4, box[3] / 4)
)
thresholds = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]) | scores


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.builds(Said, st.sampled_from(TAGS), scores, quarters), max_size=6),
            st.lists(st.builds(Truth, st.sampled_from(TAGS), quarters), max_size=4),
        ),
        max_size=5,
    ),
    thresholds,
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_boxes_count_as_a_plain_count_says(answers: list[Answer], threshold: float, overlap: float) -> None:
    check("detection", answers, threshold, overlap)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(TAGS), scores).map(lambda found: list(map(Said, found, found.values()))),
            st.sets(st.sampled_from(TAGS)).map(lambda found: list(map(Truth, sorted(found)))),
        ),
        max_size=8,
    ),
    thresholds,
    st.sampled_from(["classification", "multilabel_classification"]),
)
def test_tags_count_as_a_plain_count_says(answers: list[Answer], threshold: float, kind: str) -> None:
    check(kind, answers, threshold, 0.5)


def check(kind: str, answers: list[Answer], threshold: float, overlap: float) -> None:
    found = measures(curves(kind, answers), threshold, overlap)
    for tag, (right, said, there) in counted(kind, answers, threshold, overlap).items():
        assert (found[tag].truths, found[tag].said) == (there, said)
        assert found[tag].precision == (pytest.approx(right / said) if said else None)
        assert found[tag].recall == (pytest.approx(right / there) if there else None)


@pytest.mark.parametrize("kind", ["classification", "multilabel_classification", "detection"])
def test_deviations_are_those_of_test_images_drawn_again(kind: str) -> None:
    # given what is right, said and there in each image
    if kind == "detection":
        answers = [pair for seed in range(60) for pair in answers_of(generate("bbox", seed, crowds=False, ties=False))]
    else:
        answers = classified(3, 240, several=kind != "classification")
    whole = measures(curves(kind, answers), 0.4)
    each = np.array([list(counted(kind, [answer], 0.4, 0.5).values()) for answer in answers], dtype=float)
    # when the images are drawn with replacement many times
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(answers), np.full(len(answers), 1 / len(answers)), size=4000)
    right, said, there = np.moveaxis(np.tensordot(weights, each, axes=1), 2, 0)
    # then precision and recall scatter as much as was answered (the two agree to a few percent)
    for number, tag in enumerate([*TAGS, None]):
        assert whole[tag].precision_deviation == pytest.approx((right / said)[:, number].std(), rel=0.08)
        assert whole[tag].recall_deviation == pytest.approx((right / there)[:, number].std(), rel=0.08)


def test_nothing_said_and_nothing_there_have_no_number() -> None:
    found = measures(curves("detection", [([], [Truth("a", (0, 0, 1, 1))]), ([Said("b", 0.9, (0, 0, 1, 1))], [])]), 0.5)
    assert (found["a"].precision, found["a"].recall, found["a"].average_precision) == (None, 0, 0)
    assert (found["b"].precision, found["b"].recall, found["b"].average_precision) == (0, None, None)
    assert found["c"] == (None, None, None, None, None, 0, 0)


def test_what_is_not_measured_still_takes_the_place_of_the_likeliest() -> None:
    # given an image of which the negative tag is the likeliest
    said = [Said(None, 0.9), Said("a", 0.6)]
    found = measures(curves("classification", [(said, []), ([Said("a", 0.8)], [Truth("a")])]), 0.5)
    # then the image says nothing
    assert (found["a"].said, found["a"].precision) == (1, 1)


def test_a_threshold_of_a_score_counts_that_score() -> None:
    # 0.7 and 0.29 are no exact binary numbers
    for score in (0.7, 0.29, 1 / 3, 0.000001, 0.999999):
        rounded = round(score, 6)
        found = curves("multilabel_classification", [([Said("a", rounded)], [Truth("a")])])
        assert measures(found, rounded)["a"].said == 1
        assert measures(found, min(1, rounded + 1e-6))["a"].said == 0


def test_too_many_answers_leave_the_likeliest_and_say_from_where_on_they_are_all_there() -> None:
    answers = classified(5, 400, several=False)
    every, some = curves("multilabel_classification", answers), curves("multilabel_classification", answers, limit=300)
    assert sum(len(column.scores) for column in some.columns.values()) <= 300
    assert 0 < some.floor < 1_000_000
    for threshold in (some.floor / 1_000_000, 0.8, 0.95):
        one, other = measures(every, threshold), measures(some, threshold)
        assert {tag: each[:4] for tag, each in one.items()} == {tag: each[:4] for tag, each in other.items()}
