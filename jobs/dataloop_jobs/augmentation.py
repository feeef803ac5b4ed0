"""Random changes of a training image. All randomness comes from the generator given, so a resumed epoch repeats it.

Pixels, boxes and regions go through one affine map; a map is a float64 (2, 3) array, input pixels → output pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dataloop_inference.images import PAD_VALUE
from dataloop_jobs.examples import Example
from dataloop_jobs.masks import NO_IMAGE
from dataloop_jobs.parameters import Parameters

_ZOOM = 0.2
_SHIFT = 0.1
# At strength 1.
_CONTRAST = 0.3
_BRIGHTNESS = 25.0
# A box that keeps less of its area inside the image is no longer a fair label.
_LEAST_VISIBLE = 0.4
# The four images of a mosaic meet at least this share of the side from the border, and are shrunk to this at most.
_LEAST_TILE = 0.25
_LEAST_TILE_ZOOM = 0.5

Map = NDArray[np.float64]
# Left, top, right, bottom of the part of the image that counts.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Changes:
    """What may happen to a training image; the names and ranges are those of the hyperparameters."""

    kind: str = "none"
    colour: float = 1.0
    blur: float = 0.0
    rotate: float = 0.0
    mixup: float = 0.0
    mosaic: float = 0.0

    @classmethod
    def of(cls, parameters: Parameters) -> Changes:
        """The changes a training asks for."""
        return cls(
            parameters.augment,
            parameters.colour,
            parameters.blur,
            parameters.rotate,
            parameters.mixup,
            parameters.mosaic,
        )


UNCHANGED = Changes()


def augment(example: Example, changes: Changes, rng: np.random.Generator) -> Example:
    """Zoom, shift, mirror (kind "flip", half of the images), turn, change colours, blur: what `changes` asks for.

    Cost: 0.5 ms at 192 pixels for kind "light".
    """
    has_changes = changes.kind != "none"
    zoom, shift, direction, angle = 1.0, np.zeros(2), 1.0, 0.0
    if has_changes:
        zoom = 1 + rng.uniform(-_ZOOM, _ZOOM)
        shift = rng.uniform(-_SHIFT, _SHIFT, 2) * example.size
        direction = -1.0 if changes.kind == "flip" and rng.random() < 0.5 else 1.0
    if changes.rotate:
        angle = math.radians(rng.uniform(-changes.rotate, changes.rotate))
    if has_changes or angle:
        example = warp(example, _about_centre(example.size, zoom, shift, direction, angle), turned=bool(angle))
    pixels = example.pixels
    if has_changes and changes.colour:
        pixels = _recolour(pixels, changes.colour, rng)
    if changes.blur:
        radius = rng.uniform(0, changes.blur)
        pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))
    return replace(example, pixels=pixels)


def _about_centre(size: int, zoom: float, shift: NDArray[np.float64], direction: float, angle: float) -> Map:
    """Mirror, turn and zoom about the centre, then shift."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = zoom * turn @ np.diag([direction, 1.0])
    centre = np.full(2, size / 2)
    return np.column_stack([matrix, centre + shift - matrix @ centre])


def warp(example: Example, forward: Map, *, turned: bool = False, window: Window | None = None) -> Example:
    """Move pixels, boxes and regions by one map. What comes from outside the image is grey and NO_IMAGE.

    turned: the map turns, so a box becomes the extent of its corners, or of its region where there is one.
    window: the part of the result that will be kept; boxes are cut to it.
    """
    size = example.size
    matrix = np.linalg.inv(forward[:, :2])
    # Pillow wants the way back, row by row.
    back = np.column_stack([matrix, -matrix @ forward[:, 2]]).ravel()
    coefficients = tuple(float(value) for value in back)
    pixels = Image.fromarray(example.pixels).transform(
        (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=(PAD_VALUE,) * 3
    )
    regions = None
    if example.regions is not None:
        moved = Image.fromarray(example.regions).transform(
            (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=NO_IMAGE
        )
        regions = np.asarray(moved)
    boxes, visible = _move(example.boxes, forward, window or (0, 0, size, size))
    if turned and regions is not None:
        boxes = _extents(regions, boxes)
    return Example(np.asarray(pixels), example.labels, boxes, example.visible & visible, regions)


def _move(boxes: NDArray[np.float32], forward: Map, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The extents of the moved corners, cut to the window; and whether enough of them is in it."""
    xs, ys = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
    new_xs = forward[0, 0] * xs + forward[0, 1] * ys + forward[0, 2]
    new_ys = forward[1, 0] * xs + forward[1, 1] * ys + forward[1, 2]
    whole = np.stack([new_xs.min(axis=1), new_ys.min(axis=1), new_xs.max(axis=1), new_ys.max(axis=1)], axis=1)
    left, top, right, bottom = window
    cut = np.clip(whole, [left, top, left, top], [right, bottom, right, bottom])
    areas = np.prod(whole[:, 2:] - whole[:, :2], axis=1)
    visible = np.prod(cut[:, 2:] - cut[:, :2], axis=1) > _LEAST_VISIBLE * areas
    return cut.astype(np.float32), visible


def _extents(regions: NDArray[np.int32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box around each object's pixels; an object without any keeps the box it has."""
    tight = boxes.copy()
    for number in np.unique(regions[regions >= 0]):
        ys, xs = np.nonzero(regions == number)
        tight[number] = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    return tight


def _recolour(pixels: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Contrast and brightness, each colour by itself."""
    spread = _CONTRAST * strength
    contrast = rng.uniform(1 - spread, 1 + spread, 3).astype(np.float32)
    brightness = rng.uniform(-_BRIGHTNESS * strength, _BRIGHTNESS * strength, 3).astype(np.float32)
    colours = (pixels.astype(np.float32) - PAD_VALUE) * contrast + (PAD_VALUE + brightness)
    return np.clip(colours, 0, 255).astype(np.uint8)


def mosaic(examples: Sequence[Example], rng: np.random.Generator) -> Example:
    """Four images that meet in a point, each shrunk a little and cut by its quarter.

    Source: Bochkovskiy et al., "YOLOv4", arXiv 2004.10934.
    """
    size = examples[0].size
    low = round(_LEAST_TILE * size)
    x, y = (int(value) for value in rng.integers(low, size - low + 1, 2))
    windows = ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size))
    pixels = np.empty_like(examples[0].pixels)
    regions = None if examples[0].regions is None else np.empty_like(examples[0].regions)
    tiles: list[Example] = []
    for example, window in zip(examples, windows, strict=True):
        left, top, right, bottom = window
        zoom = rng.uniform(_LEAST_TILE_ZOOM, 1.0)
        # The corner of the image nearest to the meeting point comes to lie on it.
        corner = np.array([zoom * size if left == 0 else 0.0, zoom * size if top == 0 else 0.0])
        forward = np.column_stack([np.eye(2) * zoom, np.array([x, y]) - corner])
        tile = warp(example, forward, window=window)
        pixels[top:bottom, left:right] = tile.pixels[top:bottom, left:right]
        if regions is not None and tile.regions is not None:
            part = tile.regions[top:bottom, left:right]
            before = sum(len(earlier.labels) for earlier in tiles)
            regions[top:bottom, left:right] = np.where(part >= 0, part + before, part)
        tiles.append(tile)
    return Example(
        pixels,
        np.concatenate([tile.labels for tile in tiles]),
        np.concatenate([tile.boxes for tile in tiles]),
        np.concatenate([tile.visible for tile in tiles]),
        regions,
    )
