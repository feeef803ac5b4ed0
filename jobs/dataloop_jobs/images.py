"""Image bytes → pixels: found, verified against their digest, decoded under a pixel limit, scaled, kept in memory."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataloop_jobs.dataset import Row
from dataloop_jobs.faults import BadImage

Pixels = NDArray[np.uint8]

# The same as at registration (Pillow's own guard), so that what registers can be trained: 268 MB as RGB while decoded.
PIXEL_LIMIT = 89_478_485
# Colour of what the image does not cover: the mean that the network subtracts, so that it reads as zero.
PAD_VALUE = 127


@dataclass(frozen=True)
class Letterbox:
    """How an image of width × height pixels lies in the square input: scaled to fit, at the top left.

    scale_x and scale_y: pixels of the input per full width and height of the image.
    """

    scale_x: int
    scale_y: int

    @classmethod
    def fit(cls, width: int, height: int, size: int) -> Letterbox:
        """The longer side becomes `size`; the other keeps the aspect, at least one pixel."""
        longest = max(width, height)
        return cls(max(1, round(width * size / longest)), max(1, round(height * size / longest)))

    def to_input(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Shares of the image (left, top, width, height) → input pixels (left, top, right, bottom)."""
        left, top, width, height = box
        return left * self.scale_x, top * self.scale_y, (left + width) * self.scale_x, (top + height) * self.scale_y

    def to_image(self, corners: Sequence[float]) -> tuple[float, float, float, float]:
        """Input pixels (left, top, right, bottom) → shares of the image (left, top, width, height), cut to it."""
        left, right = (min(1.0, max(0.0, float(value) / self.scale_x)) for value in corners[0::2])
        top, bottom = (min(1.0, max(0.0, float(value) / self.scale_y)) for value in corners[1::2])
        return left, top, right - left, bottom - top


class ImageStore:
    """Pixels of a dataset's images at one input size.

    folder: the images channel, each file below its key. The cache keeps the first images that fit its budget, and
    never evicts: an epoch touches every image once, and for such a pattern keeping beats least-recently-used.
    """

    def __init__(self, folder: Path, size: int, cache_mb: int):
        self._folder = folder
        self.size = size
        self._budget = cache_mb * 1_000_000
        self._kept: dict[str, tuple[Pixels, Letterbox]] = {}
        self._used = 0
        self._lock = threading.Lock()

    def load(self, row: Row) -> tuple[Pixels, Letterbox]:
        """The letterboxed image, uint8 (size, size, 3) RGB, read-only, and how it lies in it. Raises BadImage."""
        kept = self._kept.get(row.uid)
        if kept is not None:
            return kept
        image = decode(self._bytes(row), row)
        loaded = letterbox(image, self.size)
        loaded[0].setflags(write=False)
        with self._lock:
            if self._used + loaded[0].nbytes <= self._budget and row.uid not in self._kept:
                self._kept[row.uid] = loaded
                self._used += loaded[0].nbytes
        return loaded

    def load_all(self, rows: Sequence[Row], threads: int, on_progress: Callable[[int, int], None]) -> None:
        """Load every row once, so that a bad image fails the job before it has trained for hours.

        on_progress(done, total) is called in the calling thread; it may raise to stop. Raises BadImage.
        """
        distinct = list({row.uid: row for row in rows}.values())
        on_progress(0, len(distinct))
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done, _ in enumerate(pool.map(self.load, distinct), start=1):
                    on_progress(done, len(distinct))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _bytes(self, row: Row) -> bytes:
        """The file's content if its digest is the manifest's, else the exact version from S3."""
        path = self._folder / row.place.key
        problem = "is not in the images channel"
        if path.resolve().is_relative_to(self._folder.resolve()) and path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == row.sha256:
                return content
            problem = "has another content than the manifest says (it was overwritten after the build)"
        content = _fetch(row, problem)
        if hashlib.sha256(content).hexdigest() != row.sha256:
            raise BadImage(row.uid, row.place.key, f"sha256 differs from the manifest's {row.sha256} in S3 too")
        return content


def _fetch(row: Row, problem: str) -> bytes:
    """The exact version of the object. boto3 is imported only now: almost no job needs it."""
    place = row.place
    version = {"VersionId": place.version_id} if place.version_id else {}
    try:
        import boto3

        body = boto3.client("s3").get_object(Bucket=place.bucket, Key=place.key, **version)["Body"]
        content: bytes = body.read()
    except Exception as error:  # any failure here means the same to the user: these bytes cannot be had
        raise BadImage(
            row.uid, place.key, f"{problem}, and version {place.version_id} could not be read from S3: {error}"
        ) from error
    return content


def decode(content: bytes, row: Row) -> Image.Image:
    """Encoded bytes → RGB image. EXIF orientation is not applied: boxes refer to the pixels as stored.

    Raises BadImage for an empty, truncated, undecodable or too large image.
    """
    key = row.place.key
    if not content:
        raise BadImage(row.uid, key, "the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images from its own limit on; ours is below and is checked next.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > PIXEL_LIMIT:
                raise BadImage(row.uid, key, f"{image.width} × {image.height} pixels; the limit is {PIXEL_LIMIT:,}")
            image.load()
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(row.uid, key, f"too large: {error}; the limit is {PIXEL_LIMIT:,} pixels") from error
    except Exception as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, …
        raise BadImage(row.uid, key, f"cannot be decoded: {error}; replace or remove it and build again") from error
    return _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit greys to 8 bits instead of scaling them.
        grey = (np.asarray(image).astype(np.float32) / 257).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def letterbox(image: Image.Image, size: int) -> tuple[Pixels, Letterbox]:
    """Scale an RGB image into the square input; what it does not cover is grey."""
    fit = Letterbox.fit(image.width, image.height, size)
    scaled = (
        image
        if image.size == (fit.scale_x, fit.scale_y)
        else image.resize((fit.scale_x, fit.scale_y), Image.Resampling.BILINEAR)
    )
    pixels = np.full((size, size, 3), PAD_VALUE, dtype=np.uint8)
    pixels[: fit.scale_y, : fit.scale_x] = np.asarray(scaled)
    return pixels, fit


def normalise(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels uint8 (N, H, W, 3) → network input float32 (N, 3, H, W): (pixel - 127) / 128."""
    scaled = (batch.astype(np.float32) - PAD_VALUE) / 128
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


# What a consumer must do before the network; written into model.json.
def preprocess_description(size: int) -> dict[str, object]:
    """The steps from an image to the network's input, for model.json."""
    return {
        "size": size,
        "resize": "letterbox",
        "anchor": "top_left",
        "interpolation": "bilinear",
        "pad_value": PAD_VALUE,
        "color": "RGB",
        "exif_orientation": "ignored",
        "mean": [PAD_VALUE] * 3,
        "std": [128] * 3,
        "layout": "NCHW",
        "dtype": "float32",
    }
