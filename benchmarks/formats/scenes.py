"""The version that is compared: composed scenes of the demo with exact boxes and masks, in four dresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dataloop.domain.geometry import DECIMALS, extent_of
from dataloop.domain.masks import check_segmentation
from dataloop.formats.outlines import rings_of_mask
from dataloop.formats.surface import ExportImage
from dataloop_demo.scenes import DIGITS, Scene, compose

Dress = Literal["boxes", "polygons", "masks", "classes"]
SPLITS = ("train", "val", "test")


def version(dress: Dress, count: int, pictures: Path) -> list[ExportImage]:
    """count scenes with their pictures in a folder. classes: the first digit of a scene is what it shows."""
    pictures.mkdir(parents=True, exist_ok=True)
    images = []
    # Datumaro wants every class in every split of ImageNet's folders: with three of them that is so.
    digits = DIGITS[:3] if dress == "classes" else DIGITS
    for place, scene in enumerate(compose("train", count, seed=11, digits=digits)):
        uid = scene.sha256[:32]
        (pictures / f"{uid}.jpg").write_bytes(scene.image_bytes)
        row: dict[str, Any] = {
            "uid": uid,
            "sha256": scene.sha256,
            "width": scene.width,
            "height": scene.height,
            "group": scene.background,
            "attributes": {},
            "annotations": [{"id": f"{place:024x}", "method": "manual", "labels": list(_labels(scene, dress))}],
        }
        images.append(ExportImage(SPLITS[place % 3], row, f"scenes/{place}.jpg"))
    return images


def _labels(scene: Scene, dress: Dress) -> Iterator[dict[str, Any]]:
    if dress == "classes":
        yield {"label": scene.labels[0], "box": None, "score": None}
        return
    for box, label, ink in zip(scene.boxes, scene.labels, scene.inks, strict=True):
        x1, y1, x2, y2 = (int(value) for value in box)
        row: dict[str, Any] = {"label": label, "box": shares((x1, y1, x2, y2), scene), "score": None}
        if dress != "boxes":
            mask = _mask(scene, (x1, y1, x2, y2), ink)
            row |= {"mask": mask} if dress == "masks" else {"polygons": _outer(mask, scene)}
            # What the build writes for a mask without a box: its extent.
            rings = rings_of_mask(mask) if dress == "masks" else _in_pixels(row["polygons"], scene)
            row["box"] = shares(tuple(extent_of(rings)), scene)
        yield row


def _mask(scene: Scene, box: tuple[int, ...], ink: Any) -> dict[str, Any]:
    pixels = np.zeros((scene.height, scene.width), dtype=bool)
    pixels[box[1] : box[3], box[0] : box[2]] = ink
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0)).tolist()
    ends = [*edges, flat.size]
    runs = [end - start for start, end in zip([0, *edges], ends, strict=True)]
    mask = check_segmentation({"size": [scene.height, scene.width], "counts": runs}, "mask")
    assert isinstance(mask, dict)
    return mask


def _outer(mask: dict[str, Any], scene: Scene) -> list[list[float]]:
    """The outlines without holes, which polygons of COCO cannot say."""
    rings = [ring for ring in rings_of_mask(mask) if _turns_clockwise(ring)]
    return [
        [round(value / (scene.height if odd % 2 else scene.width), DECIMALS) for odd, value in enumerate(ring)]
        for ring in rings
    ]


def _turns_clockwise(ring: list[float]) -> bool:
    xs, ys = ring[::2], ring[1::2]
    return sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs))) > 0


def _in_pixels(rings: list[list[float]], scene: Scene) -> list[list[float]]:
    return [[value * (scene.height if odd % 2 else scene.width) for odd, value in enumerate(ring)] for ring in rings]


def shares(box: tuple[float, ...], scene: Scene) -> list[float]:
    x1, y1, x2, y2 = box
    found = (x1 / scene.width, y1 / scene.height, (x2 - x1) / scene.width, (y2 - y1) / scene.height)
    return [round(share, DECIMALS) for share in found]
