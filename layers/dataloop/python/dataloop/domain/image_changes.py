"""What is asked of images of a workspace, and what became of it, item by item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dataloop.domain.projects import Image, Region

# Of one request, as Azure Custom Vision publishes them.
MAX_ADDED = 64
MAX_TAGS_ADDED = 20

Pair = tuple[str, str]  # image id, tag id
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to add. source: what the caller calls it. read: its bytes, asked for once; a DomainError says why there are
    none. regions: (tag id, (left, top, width, height))."""

    source: str
    read: Callable[[], bytes]
    tag_ids: Sequence[str] = ()
    regions: Sequence[tuple[str, Box]] = ()


@dataclass(frozen=True, slots=True)
class Tagged:
    """What became of pairs of image and tag."""

    created: list[Pair]
    duplicated: list[Pair]
    exceeded: list[Pair]


@dataclass(frozen=True, slots=True)
class NewRegion:
    """A box to add; shares of the image."""

    image_id: str
    tag_id: str
    left: float
    top: float
    width: float
    height: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.width, self.height


@dataclass(frozen=True, slots=True)
class AddedRegions:
    """What became of boxes; created: (image id, region)."""

    created: list[tuple[str, Region]]
    duplicated: list[NewRegion]
    exceeded: list[NewRegion]


@dataclass(frozen=True, slots=True)
class MetadataSet:
    """What became of one image's metadata: ok, not_found or exceeded (then nothing of it was changed)."""

    image_id: str
    status: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a new image: ok; duplicate (merged into the image that stands), or why it could not be merged."""

    image: Image
    status: str
