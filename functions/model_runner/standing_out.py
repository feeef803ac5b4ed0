"""Where does an image differ from its own border? Plain arithmetic on colours, for images that no model knows yet.

It finds things in front of an even background: parts on a belt, cells on a slide, products on a table. Where the border
itself is a mixture of colours, as in most photographs of rooms and streets, nothing stands out, and it says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]

# Ours: pixels of the longer side; boxes are exact to a hundredth of it.
SIDE = 96
# Ours: differences below a tenth of the full range are shadows and noise …
_LEAST = 0.1
# … and so is what is less than twice what the border differs from itself, but for its most different tenth.
_BORDER_SHARE, _ABOVE_BORDER = 90, 2.0
_RING = 2
# Ours: fewer pixels are specks.
_LEAST_PIXELS = 9


def stands_out(image: Image.Image) -> list[tuple[float, Box]]:
    """(mean difference of the place from the border's colour, 0 to 1; its box in shares of the image), in no order."""
    scale = SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32) / 255
    is_ring = np.ones(pixels.shape[:2], dtype=bool)
    is_ring[_RING:-_RING, _RING:-_RING] = False
    difference = np.abs(pixels - np.median(pixels[is_ring], axis=0)).max(axis=2)
    bound = max(_LEAST, _ABOVE_BORDER * float(np.percentile(difference[is_ring], _BORDER_SHARE)))
    places = _places(difference > bound)
    height, width = difference.shape
    found = []
    for place in np.unique(places[places > 0]):
        rows, columns = np.nonzero(places == place)
        if len(rows) < _LEAST_PIXELS:
            continue
        left, top = columns.min() / width, rows.min() / height
        box = left, top, (columns.max() + 1) / width - left, (rows.max() + 1) / height - top
        found.append((float(difference[rows, columns].mean()), tuple(map(float, box))))
    return found  # type: ignore[return-value]


def _places(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for each connected place (four neighbours), 0 outside: every pixel takes the largest number around it."""
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        around = np.pad(numbers, 1)
        largest = np.maximum.reduce([numbers, around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]])
        spread = np.where(mask, largest, 0)
        if np.array_equal(spread, numbers):
            return numbers
        numbers = spread
