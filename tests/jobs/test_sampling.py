"""Class balance and shares: who comes how often, and who takes what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dataloop_jobs.dataset import ObjectPlace, Row, Truth
from dataloop_jobs.sampling import Share, class_weights, epoch_length, order, repeat_factors


def row(*labels: int) -> Row:
    truths = tuple(Truth(label, None) for label in labels)
    return Row("u" * 32, "s", 10, 10, ObjectPlace("b", "k", None, None), truths)


# Label 0 on 90 images, label 1 on 9 of them too, label 2 on one image alone; one image has none.
ROWS = [row(0)] * 81 + [row(0, 1)] * 9 + [row(2)] + [row()]


def test_without_balance_an_epoch_is_a_permutation_of_its_own() -> None:
    first, second = order(ROWS, 0, 5, "none"), order(ROWS, 1, 5, "none")
    assert sorted(first) == sorted(second) == list(range(len(ROWS)))
    assert list(first) != list(second)
    assert list(first) == list(order(ROWS, 0, 5, "none"))


def test_an_image_comes_as_often_as_its_rarest_label_asks() -> None:
    factors = repeat_factors(ROWS)
    mean = 100 / 3  # images with a label, label by label: 90, 9, 1
    scale = factors[0]  # the sum is made whole, so all are scaled alike by less than one in their number
    assert scale == pytest.approx(1.0, abs=0.01)
    assert factors[81] / scale == pytest.approx((mean / 9) ** 0.5)
    assert factors[90] / scale == pytest.approx(mean**0.5)
    assert factors[91] == scale


def test_every_epoch_has_the_same_length_and_over_many_the_factors_come_true() -> None:
    length = epoch_length(ROWS, "sampling")
    counts: Counter[int] = Counter()
    for epoch in range(200):
        found = order(ROWS, epoch, 5, "sampling")
        assert len(found) == length
        counts.update(found.tolist())
        assert list(found) == list(order(ROWS, epoch, 5, "sampling"))
    for index, factor in enumerate(repeat_factors(ROWS)):
        assert counts[index] / 200 == pytest.approx(factor, abs=0.1)


def test_rows_without_any_label_come_once() -> None:
    rows = [row()] * 4
    assert sorted(order(rows, 0, 0, "sampling")) == [0, 1, 2, 3]
    assert epoch_length(rows, "none") == 4


def test_labels_weigh_by_the_inverse_of_their_effective_number() -> None:
    weights = class_weights(ROWS, 4)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] < weights[1] < weights[2]
    assert weights[3] == weights[2]  # never seen counts like seen once
    # b = 1 - 1/100: (1 - b^n) / (1 - b) = 59.5 for n = 90 and 1 for n = 1
    assert weights[2] / weights[0] == pytest.approx((1 - 0.99**90) / 0.01, rel=1e-4)
    assert np.allclose(class_weights([row(0), row(1)], 2), 1.0)


@pytest.mark.parametrize(("size", "processes"), [(8, 2), (7, 2), (1, 2), (3, 8), (16, 3)])
def test_shares_cover_a_batch_once_and_differ_by_at_most_one(size: int, processes: int) -> None:
    bounds = [Share(rank, processes).bounds(size) for rank in range(processes)]
    assert [index for begin, end in bounds for index in range(begin, end)] == list(range(size))
    sizes = [end - begin for begin, end in bounds]
    assert max(sizes) - min(sizes) <= 1
