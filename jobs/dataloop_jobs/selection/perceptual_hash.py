"""Near-duplicates among the images of a selection: the hash and the distance are those of the splits (dataset versions).

The hash is taken of the image as the network sees it, at its size, so a few bits differ from the one of registration.
"""

from __future__ import annotations

from PIL import Image

from dataloop.domain import perceptual_hash as definition
from dataloop.domain.near_duplicates import DISTANCE, Components, NearSearch

__all__ = ["DISTANCE", "duplicate_groups", "perceptual_hash"]


def perceptual_hash(image: Image.Image) -> int:
    """64 bits of an image's large shapes; any size and mode. Cost: 0.4 ms for 200 × 200 pixels."""
    side = definition.SIDE
    small = image.convert("L").resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return definition.perceptual_hash(small.tobytes())


def duplicate_groups(hashes: list[int], distance: int = DISTANCE) -> list[list[int]]:
    """Positions of images that belong together: each is near to at least one other of its group; the smallest first.

    Cost: 0.3 s for 10,000 images.
    """
    count = len(hashes)
    components = Components(count)
    NearSearch(hashes, range(count), bytes(count), distance).run(components, bytearray(count))
    groups: dict[int, list[int]] = {}
    for position in range(count):
        groups.setdefault(components.find(position), []).append(position)
    return [members for members in groups.values() if len(members) > 1]
