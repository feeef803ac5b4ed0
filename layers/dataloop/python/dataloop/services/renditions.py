"""Smaller copies of images for people to look at, and links to images that open without a key.

A copy shows the pixels as they are stored: an EXIF orientation is left out, as training and inference leave it out, so that
a box drawn on the copy is where the model sees it. Copies of images belong to the content, not to a project: all projects
that have it share them, and an erasure finds them by the uid. Those of a stored prediction lie beside it and go with it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataloop.domain.errors import InvalidInput
from dataloop.domain.projects import Image
from dataloop.gateways.link_signing import LinkSigner
from dataloop.gateways.objects import Bucket

if TYPE_CHECKING:
    from PIL import Image as Pictures

# Ours: the longer side of each copy in pixels. A page shows thumbnails; boxes are drawn on the larger one.
THUMBNAIL_SIDE = 256
RESIZED_SIDE = 1024
# A JPEG is decoded at a fraction of its size; any other picture whole, at three or four bytes a pixel.
MAX_DECODED_PIXELS = 24_000_000
_SIDES = {"resized": RESIZED_SIDE, "thumbnail": THUMBNAIL_SIDE}
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Links:
    """URLs of one image for 15 minutes. Where the original is small they are the same."""

    original: str
    resized: str
    thumbnail: str


class RenditionService:
    """Copies are made once, when content comes; links cost no AWS call."""

    def __init__(self, artifacts: Bucket, raw_links: LinkSigner, artifact_links: LinkSigner) -> None:
        self._artifacts = artifacts
        self._raw_links = raw_links
        self._artifact_links = artifact_links

    def make(self, tenant: str, uid: str, body: bytes) -> None:
        """Decode a picture, and store the copies that it needs. Raises InvalidInput(image) when it cannot be decoded.

        Repeating it stores the same. Cost: 1 PUT a copy; none up to 256 pixels, two above 1,024.
        """
        self.store(tenant, uid, copies_of(body))

    def store(self, tenant: str, uid: str, copies: Mapping[str, bytes]) -> None:
        """Store what `copies_of` made. 1 PUT a copy."""
        for name, copy in copies.items():
            self._artifacts.put(key_of(tenant, uid, name), copy, "image/jpeg")

    def links_of(self, image: Image) -> Links:
        """Links to an image of a workspace or a snapshot. No AWS call."""
        return self.links(image.tenant, image.uid, image.key, image.version_id, image.width, image.height)

    def links(self, tenant: str, uid: str, key: str, version_id: str, width: int, height: int) -> Links:
        """Links to content whose original lies at a key of the raw bucket. No AWS call."""
        original = self._raw_links.link(key, version_id)
        return self._links(original, prefix_of(tenant, uid), names_of(width, height, is_jpeg=key.endswith(".jpg")))

    def links_beside(self, key: str, width: int, height: int, *, is_jpeg: bool) -> Links:
        """Links to an original at a key of the artifacts bucket, whose copies lie beside it. No AWS call."""
        return self._links(self._artifact_links.link(key), f"{key}.", names_of(width, height, is_jpeg=is_jpeg))

    def _links(self, original: str, prefix: str, names: Collection[str]) -> Links:
        """A link to an original, with those to its copies: the original's where there is none."""
        found = {
            name: self._artifact_links.link(file_of(prefix, name)) if name in names else original for name in _SIDES
        }
        return Links(original, found["resized"], found["thumbnail"])


def prefix_of(tenant: str, uid: str) -> str:
    """Where all copies of content lie in the artifacts bucket."""
    return f"{tenant}/renditions/{uid}/"


def key_of(tenant: str, uid: str, name: str) -> str:
    return file_of(prefix_of(tenant, uid), name)


def file_of(prefix: str, name: str) -> str:
    """The key of one copy, whatever it is beside."""
    return f"{prefix}{name}.jpg"


def names_of(width: int, height: int, *, is_jpeg: bool) -> list[str]:
    """Which copies are made of a picture? Only of what is larger, and can be decoded in the memory of a function."""
    can_decode = is_jpeg or width * height <= MAX_DECODED_PIXELS
    return [name for name, side in _SIDES.items() if can_decode and max(width, height) > side]


def copies_of(body: bytes) -> dict[str, bytes]:
    """Every copy that a picture needs, by name. Decodes it in any case: what cannot be decoded cannot be learnt from.

    Raises InvalidInput(image). Cost: no call; 0.3 s for a photograph of 12 million pixels.
    """
    # Pillow takes longer to load than most requests take, and those only make links.
    from PIL import Image as Pictures

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, odd palettes, strange EXIF
            with Pictures.open(io.BytesIO(body), formats=_FORMATS) as picture:
                width, height = picture.size
                is_jpeg = picture.format == "JPEG"
                if not is_jpeg and width * height > MAX_DECODED_PIXELS:
                    return {}
                wanted = {name: side for name, side in _SIDES.items() if max(width, height) > side}
                scale = min(1.0, max(wanted.values(), default=THUMBNAIL_SIDE) / max(width, height))
                picture.draft("RGB", (max(1, round(width * scale)), max(1, round(height * scale))))
                return _scaled(_in_colour(picture), wanted, (width, height))
    except Exception as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, MemoryError, …
        raise InvalidInput("image", f"cannot be decoded: {str(error)[:200]}") from error


def _in_colour(picture: Pictures.Image) -> Pictures.Image:
    """The picture as RGB; what is transparent becomes white, and 16 bits become 8."""
    from PIL import Image as Pictures

    if picture.mode.startswith("I"):
        return picture.convert("F").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        opaque = picture.convert("RGBA")
        white = Pictures.new("RGBA", opaque.size, "white")
        return Pictures.alpha_composite(white, opaque).convert("RGB")
    picture.load()
    return picture.convert("RGB")


def _scaled(picture: Pictures.Image, sides: dict[str, int], size: tuple[int, int]) -> dict[str, bytes]:
    """JPEGs with the wanted longer sides, each made of the one before. size: width and height of the original."""
    from PIL import Image as Pictures

    found: dict[str, bytes] = {}
    for name, side in sorted(sides.items(), key=lambda entry: -entry[1]):
        scale = side / max(size)
        target = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        picture = picture.resize(target, Pictures.Resampling.LANCZOS, reducing_gap=3.0)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=_QUALITY)
        found[name] = out.getvalue()
    return found
