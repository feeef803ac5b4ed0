"""What a model says about an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as COCO's compressed run lengths, column by column, of an image of height × width pixels."""

    height: int
    width: int
    counts: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One thing a model says about an image.

    label: index in the label map. box: (left, top, width, height) as shares of the image. mask: at the image's own size.
    """

    label: int
    score: float
    box: tuple[float, float, float, float] | None = None
    mask: Rle | None = None


def as_json(prediction: Prediction, labels: Sequence[str]) -> dict[str, Any]:
    """{"label", "score", "box"}, and "mask" where there is one, as COCO's {"size": [height, width], "counts"}.

    Shares and scores are rounded to six decimals: a thousandth of a pixel, and files that compare.
    """
    box = prediction.box
    row: dict[str, Any] = {
        "label": labels[prediction.label],
        "score": round(prediction.score, 6),
        "box": None if box is None else [round(value, 6) for value in box],
    }
    if prediction.mask is not None:
        mask = prediction.mask
        row["mask"] = {"size": [mask.height, mask.width], "counts": mask.counts}
    return row
