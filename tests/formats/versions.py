"""Versions of datasets as writers get them: made by hypothesis, and from the demo's composed scenes with exact masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dataloop.domain.geometry import DECIMALS, extent_of
from dataloop.domain.masks import check_segmentation, extent_of_mask
from dataloop.formats.pixels import labels_of
from dataloop.formats.registry import reader_of, writer_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import ExportImage, Findings, Picture
from dataloop.formats.targets import FolderTarget

NAMES = ("cat", "Hund", "猫", "a b", 'q"uote', "x<&>y")


def label_row(label: str, size: tuple[int, int], box: Sequence[float] | None = None, **more: Any) -> dict[str, Any]:
    """A label of a row. box and polygons in pixels; a mask gives its own box where none is said."""
    width, height = size
    row: dict[str, Any] = {"label": label, "box": None, "score": more.pop("score", None)}
    if "polygons" in more:
        rings = more.pop("polygons")
        more["polygons"] = [
            [round(value / (height if odd % 2 else width), DECIMALS) for odd, value in enumerate(ring)]
            for ring in rings
        ]
    if box is None and "polygons" in more:
        box = [value * (height if odd % 2 else width) for odd, value in enumerate(extent_of(more["polygons"]))]
    elif box is None and "mask" in more:
        box = extent_of_mask(more["mask"])
    if box is not None:
        x1, y1, x2, y2 = box
        shares = (x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)
        row["box"] = [round(share, DECIMALS) for share in shares]
    return row | more


def export_image(number: int, size: tuple[int, int], labels: Iterable[Mapping[str, Any]], **more: Any) -> ExportImage:
    """An image named site/<number>.jpg with one annotation."""
    uid = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    row = {
        "uid": uid,
        "sha256": uid * 2,
        "width": size[0],
        "height": size[1],
        "group": more.get("group", uid),
        "attributes": more.get("attributes", {}),
        "annotations": [{"id": f"{number:024x}", "method": more.get("method", ""), "labels": list(labels)}],
    }
    return ExportImage(more.get("split", "train"), row, more.get("file_name", f"site/{number}.jpg"))


def labels_in(images: Iterable[ExportImage]) -> list[str]:
    """The label map of a version."""
    return sorted({label["label"] for image in images for label in labels_of(image.row)})


def written(name: str, images: Sequence[ExportImage], folder: Path, labels: Sequence[str] | None = None) -> Findings:
    """Write a version in a format. Returns the loss report."""
    findings = Findings("stop")
    writer_of(name).write(images, labels if labels is not None else labels_in(images), FolderTarget(folder), findings)
    return findings


def pictures_in(name: str, folder: Path, policy: str = "stop") -> tuple[list[Picture], Findings]:
    """Read a folder in a format."""
    findings = Findings(policy)
    return list(reader_of(name).read(FolderSource(folder), findings)), findings


sizes = st.tuples(st.integers(8, 200), st.integers(8, 200))


def boxes(size: tuple[int, int]) -> st.SearchStrategy[tuple[float, float, float, float]]:
    """Boxes inside the image, in quarters of a pixel, at least one pixel wide and high."""
    width, height = size[0] * 4, size[1] * 4
    starts = st.tuples(st.integers(0, width - 4), st.integers(0, height - 4))
    return starts.flatmap(
        lambda start: st.tuples(
            st.just(start[0] / 4),
            st.just(start[1] / 4),
            st.integers(start[0] + 4, width).map(lambda value: value / 4),
            st.integers(start[1] + 4, height).map(lambda value: value / 4),
        )
    )


def polygons(size: tuple[int, int]) -> st.SearchStrategy[list[list[float]]]:
    """One or two triangles with corners on whole pixels, each with some area."""

    def triangle(box: tuple[float, float, float, float]) -> list[float]:
        x1, y1, x2, y2 = (float(int(value)) for value in box)
        return [x1, y1, max(x2, x1 + 1), y1, x1, max(y2, y1 + 1)]

    return st.lists(boxes(size).map(triangle), min_size=1, max_size=2)


def masks(size: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
    """RLE of the image's size with a few runs."""
    pixels = size[0] * size[1]
    cuts = st.lists(st.integers(1, pixels - 1), min_size=1, max_size=8, unique=True).map(sorted)

    def rle(ends: list[int]) -> Any:
        runs = [end - start for start, end in zip([0, *ends], [*ends, pixels], strict=True)]
        return check_segmentation({"size": [size[1], size[0]], "counts": runs}, "mask")

    return cuts.map(rle)


@st.composite
def label_rows(draw: st.DrawFn, size: tuple[int, int], forms: Sequence[str]) -> dict[str, Any]:
    form = draw(st.sampled_from(forms))
    label = draw(st.sampled_from(NAMES))
    score = draw(st.none() | st.sampled_from([0.25, 1.0]))
    crowd = {"crowd": True} if form in ("polygons", "mask") and draw(st.booleans()) else {}
    if form == "box":
        return label_row(label, size, draw(boxes(size)), score=score)
    if form == "polygons":
        return label_row(label, size, polygons=draw(polygons(size)), score=score, **crowd)
    if form == "mask":
        return label_row(label, size, mask=draw(masks(size)), score=score, **crowd)
    return label_row(label, size, score=score)


@st.composite
def versions(draw: st.DrawFn, *forms: str, max_labels: int = 4, min_labels: int = 0) -> list[ExportImage]:
    """One to five images, at least one of which has a label."""
    images = []
    for number in range(draw(st.integers(1, 5))):
        size = draw(sizes)
        fewest = max(min_labels, 0 if number else 1)
        labels = draw(st.lists(label_rows(size, forms), min_size=fewest, max_size=max(fewest, max_labels)))
        images.append(
            export_image(
                number,
                size,
                labels,
                split=draw(st.sampled_from(["train", "val", "test"])),
                attributes=draw(st.sampled_from([{}, {"region": "CN", "source": "trigger"}])),
                group=draw(st.sampled_from(["kitchen", "hall"])),
                method=draw(st.sampled_from(["", "manual"])),
            )
        )
    return images
