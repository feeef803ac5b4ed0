"""Masks from network outputs: at the image's own size, inside the box, one way for every image shape."""

from __future__ import annotations

import numpy as np
import pytest

from dataloop_inference.decoding import decode
from dataloop_inference.decoding.fcos import DecodeSettings
from dataloop_inference.images import Letterbox
from dataloop_inference.masks import decode as unpack

SIZE = 64
# Wide, high, exact, smaller than the input, one pixel high.
SHAPES = [(256, 128), (100, 300), (64, 64), (20, 16), (500, 1)]


def test_sigmoid_judges_each_label_by_itself() -> None:
    logits = np.array([[0.0, 3.0, -3.0, 1000.0]], np.float32)
    (found,) = decode({"kind": "sigmoid"}, [logits], [Letterbox.fit(8, 8, SIZE)])
    assert [one.label for one in found] == [3, 1, 0, 2]
    assert [one.score for one in found] == pytest.approx([1.0, 0.9526, 0.5, 0.0474], abs=1e-4)


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_semantic_masks_are_at_the_images_own_size_and_share_no_pixel(width: int, height: int) -> None:
    fit = Letterbox.fit(width, height, SIZE)
    logits = np.zeros((1, 4, 8, 8), np.float32)
    # Left half of the image label 2, right half label 0; label 1 only in what is no image.
    middle = fit.scale_x / 8 / 2
    logits[0, 2, :, : max(1, round(middle))] = 9
    logits[0, 0, :, max(1, round(middle)) :] = 9
    logits[0, 1, 7, 7] = 30 if fit.scale_x < SIZE - 16 else 0
    (found,) = decode({"kind": "semantic", "stride": 8}, [logits], [fit])
    masks = {one.label: unpack(one.mask) for one in found if one.mask}
    assert set(masks) <= {0, 2}
    assert all(mask.shape == (height, width) for mask in masks.values())
    assert np.stack(list(masks.values())).sum(axis=0).max() == 1
    for one in found:
        assert one.mask
        assert one.box
        ys, xs = np.nonzero(masks[one.label])
        assert one.box == pytest.approx(
            (xs.min() / width, ys.min() / height, (np.ptp(xs) + 1) / width, (np.ptp(ys) + 1) / height)
        )
        assert 0.4 < one.score <= 1
    if fit.scale_x == SIZE:  # else the middle is not between two cells
        assert masks[2].sum() == pytest.approx(width * height / 2, rel=0.1, abs=height)


def test_an_image_of_background_has_no_semantic_prediction() -> None:
    logits = np.zeros((1, 3, 8, 8), np.float32)
    logits[:, 2] = 5
    assert decode({"kind": "semantic", "stride": 8}, [logits], [Letterbox.fit(9, 9, SIZE)]) == [[]]


def one_object(
    box: tuple[float, float, float, float], drawn: np.ndarray, weight: float = 1.0
) -> tuple[list[np.ndarray], dict[str, object]]:
    """Outputs that say one object of label 1 of 2, with `box` in input pixels, from the stride-8 map alone."""
    count, classes = 2, 2
    maps = [np.zeros((1, count + classes + 5, SIZE // s, SIZE // s), np.float32) for s in (8, 16, 32)]
    for one in maps:
        one[:, count : count + classes] = -20
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    column, row = int(x // 8), int(y // 8)
    centre = (column + 0.5) * 8, (row + 0.5) * 8
    cell = maps[0][0, :, row, column]
    cell[0] = weight
    cell[count + 1], cell[-1] = 20, 20
    reach = centre[0] - box[0], centre[1] - box[1], box[2] - centre[0], box[3] - centre[1]
    cell[count + classes : -1] = np.log(np.array(reach) / 8)
    prototypes = np.stack([drawn, np.zeros_like(drawn)])[None].astype(np.float32)
    settings: dict[str, object] = {
        "kind": "fcos_masks", "strides": [8, 16, 32], "prototypes": count, "prototype_stride": 4,
        **DecodeSettings().__dict__,
    }  # fmt: skip
    return [*maps, prototypes], settings


@pytest.mark.parametrize(("width", "height"), [(256, 128), (100, 300), (64, 64), (20, 16), (4000, 3000)])
def test_a_mask_is_the_prototype_inside_the_box_at_the_images_own_size(width: int, height: int) -> None:
    fit = Letterbox.fit(width, height, SIZE)
    # The box in the middle of the image; the prototype covers the left half of the input's box and much outside.
    box = tuple(np.array([0.25, 0.25, 0.75, 0.75]) * [fit.scale_x, fit.scale_y, fit.scale_x, fit.scale_y])
    drawn = np.full((16, 16), -5.0)
    drawn[:, : round(fit.scale_x / 2 / 4)] = 5.0
    outputs, settings = one_object(box, drawn)
    ((found,),) = decode(settings, outputs, [fit])
    assert found.label == 1
    assert found.mask
    assert found.box == pytest.approx((0.25, 0.25, 0.5, 0.5), abs=1e-3)
    mask = unpack(found.mask)
    assert mask.shape == (height, width)
    ys, xs = np.nonzero(mask)
    assert xs.min() == pytest.approx(width / 4, abs=1.01)
    assert (ys.min(), ys.max() + 1) == (pytest.approx(height / 4, abs=1.01), pytest.approx(height * 3 / 4, abs=1.01))
    # A prototype's cell is 4 pixels of the input.
    assert xs.max() + 1 == pytest.approx(width / 2, abs=4 * width / fit.scale_x + 1)


def test_an_object_with_an_empty_mask_is_dropped() -> None:
    outputs, settings = one_object((16, 16, 40, 40), np.full((16, 16), 5.0), weight=-1.0)
    assert decode(settings, outputs, [Letterbox.fit(64, 64, SIZE)]) == [[]]


def test_a_mask_at_the_very_edge_of_the_image_is_cut_to_it() -> None:
    fit = Letterbox.fit(50, 31, SIZE)
    outputs, settings = one_object((30, 10, 64, 64), np.full((16, 16), 5.0))
    ((found,),) = decode(settings, outputs, [fit])
    assert found.mask
    assert unpack(found.mask)[-1, -1]
