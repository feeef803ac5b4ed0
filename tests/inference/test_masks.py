"""Masks as run lengths: the same text as COCO's own tool, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as oracle

from dataloop_inference import masks
from dataloop_inference.predictions import Rle

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIZES, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_text_is_cocos_own_and_comes_back(size: tuple[int, int], seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(size) < share
    rle = masks.encode(mask)
    assert rle.counts == oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert np.array_equal(masks.decode(rle), mask)


def test_long_runs_and_solid_masks_are_cocos_own_too() -> None:
    for value in (0, 1):
        mask = np.full((3000, 4000), value, dtype=bool)
        mask[1234, 1000:3000] = not value
        expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert masks.encode(mask).counts == expected


@pytest.mark.parametrize("counts", ["", "0", "~~~", "\x7f", "o", "04" * 50, "-"])
def test_text_that_is_no_mask_of_this_size_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match=r"runs|character|number"):
        masks.decode(Rle(4, 5, counts))
