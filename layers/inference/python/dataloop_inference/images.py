"""Encoded image → network input: decoded under a pixel limit, scaled into a square, normalised."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dataloop_inference.faults import UnreadableImage

Pixels = NDArray[np.uint8]

# The same as at registration (Pillow's own guard), so that what registers can be trained: 268 MB as RGB while decoded.
PIXEL_LIMIT = 89_478_485
# The same as at registration: of all that Pillow reads, some start other programs (EPS) or are slow enough to hurt.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
# Colour of what the image does not cover: the mean that the network subtracts, so that it reads as zero.
PAD_VALUE = 127


@dataclass(frozen=True)
class Letterbox:
    """How an image of width × height pixels lies in the square input: scaled to fit, at the top left.

    scale_x and scale_y: pixels of the input per full width and height of the image. width and height: the image's own.
    """

    scale_x: int
    scale_y: int
    width: int
    height: int

    @classmethod
    def fit(cls, width: int, height: int, size: int) -> Letterbox:
        """The longer side becomes `size`; the other keeps the aspect, at least one pixel."""
        longest = max(width, height)
        return cls(max(1, round(width * size / longest)), max(1, round(height * size / longest)), width, height)

    def to_input(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Shares of the image (left, top, width, height) → input pixels (left, top, right, bottom)."""
        left, top, width, height = box
        return left * self.scale_x, top * self.scale_y, (left + width) * self.scale_x, (top + height) * self.scale_y

    def to_image(self, corners: Sequence[float]) -> tuple[float, float, float, float]:
        """Input pixels (left, top, right, bottom) → shares of the image (left, top, width, height), cut to it."""
        left, right = (min(1.0, max(0.0, float(value) / self.scale_x)) for value in corners[0::2])
        top, bottom = (min(1.0, max(0.0, float(value) / self.scale_y)) for value in corners[1::2])
        return left, top, right - left, bottom - top


def decode(content: bytes) -> Image.Image:
    """Encoded bytes → RGB image. EXIF orientation is not applied: boxes refer to the pixels as stored.

    Raises UnreadableImage for an empty, truncated, undecodable or too large image.
    """
    image = _open(content)
    try:
        image.load()
        return _to_rgb(image)
    except Exception as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, …
        raise UnreadableImage(f"cannot be decoded: {error}") from error


def pixels_of(content: bytes) -> int:
    """Width × height as the header says, without decoding. Raises UnreadableImage for what `decode` would not open."""
    image = _open(content)
    return image.width * image.height


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImage("the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images from its own limit on; ours is the same and is checked next.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"cannot be decoded: it is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"too large: {error}; the limit is {PIXEL_LIMIT:,} pixels") from error
    except Exception as error:  # the same
        raise UnreadableImage(f"cannot be decoded: {error}") from error
    if image.width * image.height > PIXEL_LIMIT:
        raise UnreadableImage(f"{image.width} × {image.height} pixels; the limit is {PIXEL_LIMIT:,}")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit greys to 8 bits instead of scaling them.
        grey = np.asarray(image).astype(np.float32)
        grey /= 257  # in place: at the pixel limit every further copy is 358 MB
        np.clip(grey, 0, 255, out=grey)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


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
