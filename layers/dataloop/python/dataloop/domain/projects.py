"""Projects: a workspace of tagged images, and the iterations that were trained on it (design §4.1).

A project holds no bytes: each image in it is raw data, which may be in several projects and datasets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain import terms
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.ids import ENTITY_ID

# A project's images are numbered in the order they came. A row of the table holds one image, a partition this many.
ROWS_A_BLOCK = 256
# RFC 9562, version 8: 48 bits of milliseconds, 32 bits of ordinal (12 + 20, around the version and variant), 42 random.
MAX_ORDINAL = (1 << 32) - 1

# Microsoft's page of Custom Vision's limits: tags of an image, regions of an image.
MAX_TAGS_AN_IMAGE = 100
MAX_REGIONS_AN_IMAGE = 300
# Microsoft's client 3.1.1, update_image_metadata: pairs of an image, characters of a key and of a value.
MAX_METADATA = 10
MAX_METADATA_KEY = 128
MAX_METADATA_VALUE = 256
# Shares of an image come from divisions: a box may stand out by their rounding, in single precision.
BOX_TOLERANCE = 1e-6

TAG_KINDS = ("regular", "negative", "general_product")


@dataclass(frozen=True, slots=True)
class Project:
    """A workspace and what is trained from it.

    task_type: classification, multilabel_classification or detection. info: what a surface keeps of it, in its own words.
    dataset_id: the dataset whose versions its iterations learn from, once there is one.
    status: ACTIVE, IMPORTING (images are being copied into it), FAILED (the copy failed), DELETING (it looks gone).
    revision grows with each change and guards the next.
    """

    tenant: str
    id: str
    name: str
    task_type: str
    created_at: str
    updated_at: str
    status: str = "ACTIVE"
    description: str = ""
    architecture: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    dataset_id: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Tag:
    """A label of a project. image_count: the images of the workspace that have it, by themselves or by a region."""

    tenant: str
    project_id: str
    id: str
    name: str
    created_at: str
    kind: str = "regular"
    description: str = ""
    image_count: int = 0


@dataclass(frozen=True, slots=True)
class Region:
    """A box of one tag. left, top, width, height: shares of the image, 0 to 1."""

    id: str
    tag_id: str
    left: float
    top: float
    width: float
    height: float
    created_at: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.width, self.height


def box_problem(box: tuple[float, float, float, float]) -> str | None:
    """What is wrong with (left, top, width, height) as shares of an image, or None."""
    left, top, width, height = box
    if not all(isinstance(share, int | float) and math.isfinite(share) for share in box):
        return "left, top, width and height must be numbers"
    if width <= 0 or height <= 0:
        return "width and height must be above 0"
    if min(left, top) < -BOX_TOLERANCE or max(left + width, top + height) > 1 + BOX_TOLERANCE:
        return "must lie inside the image: shares between 0 and 1"
    return None


def check_metadata(given: Mapping[str, str | None]) -> None:
    """Raises LimitExceeded(metadata), InvalidInput(metadata key), InvalidInput(metadata value). None: a key to remove."""
    if len(given) > MAX_METADATA:
        raise LimitExceeded("metadata", MAX_METADATA, len(given))
    for key, value in given.items():
        if not isinstance(key, str) or not 1 <= len(key) <= MAX_METADATA_KEY:
            raise InvalidInput("metadata key", f"must have 1 to {MAX_METADATA_KEY} characters", key)
        if value is not None and (not isinstance(value, str) or len(value) > MAX_METADATA_VALUE):
            raise InvalidInput("metadata value", f"{key}: must be a text of at most {MAX_METADATA_VALUE}", value)


def label_problem(tags: Mapping[str, Tag], tag_ids: Iterable[str], regions: int = 0) -> str | None:
    """Why an image cannot have these tags (its own and those of its regions) and so many regions, or None.

    tags: those of the project. bad_tag: unknown; too_many_tags; too_many_regions; mixed_negative: a negative tag says
    that an image shows nothing of the project, so it stands alone.
    """
    wanted = set(tag_ids)
    if not wanted <= tags.keys():
        return "bad_tag"
    if len(wanted) > MAX_TAGS_AN_IMAGE:
        return "too_many_tags"
    if regions > MAX_REGIONS_AN_IMAGE:
        return "too_many_regions"
    is_negative = {tags[each].kind == "negative" for each in wanted}
    return "mixed_negative" if len(is_negative) > 1 else None


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a workspace. tags: those given to the image itself, with the time; its regions have theirs.

    key and version_id: where its bytes lie in the raw bucket. revision grows with each change and guards the next.
    """

    tenant: str
    project_id: str
    id: str
    ordinal: int
    uid: str
    key: str
    version_id: str
    width: int
    height: int
    created_at: str
    tags: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0

    @property
    def all_tags(self) -> dict[str, str]:
        """Every tag of the image, its own and those of its regions, with the time it came."""
        found = dict(self.tags)
        for region in self.regions:
            found[region.tag_id] = min(found.get(region.tag_id, region.created_at), region.created_at)
        return found

    @property
    def terms(self) -> frozenset[str]:
        """What the term index says of this image (domain/terms.py has the words)."""
        tags = self.all_tags
        found = {terms.ALL, *(terms.tag_term(each) for each in tags)}
        if tags:
            found.add(terms.TAGGED)
        for name, value in self.metadata.items():
            found |= {terms.has_term(name), terms.meta_term(name, value)}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Iteration:
    """One training of a project, frozen: what it learnt from, what came of it. Its id is its model's id.

    status: TRAINING, COMPLETED or FAILED. tags: the project's tags as they were (id, name, kind, description,
    image_count). snapshot: the prefix of the frozen images (services/snapshots.py). info: a surface's own words
    (domain, classification type, training type, budget, base model). published: {"name", "target", "at"} or {}.
    """

    tenant: str
    id: str
    project_id: str
    name: str
    number: int
    status: str
    task_id: str
    created_at: str
    updated_at: str
    version_id: str | None = None
    trained_at: str | None = None
    training_seconds: float = 0.0
    tags: tuple[Mapping[str, Any], ...] = ()
    snapshot: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    revision: int = 0


def numbered_id(unix_ms: int, ordinal: int, random6: bytes) -> str:
    """The id of an image or a region: a UUID (version 8) that says which image of its project it is or belongs to."""
    value = (unix_ms & (1 << 48) - 1) << 80 | (ordinal >> 20) << 64 | (ordinal & (1 << 20) - 1) << 42
    value |= int.from_bytes(random6[:6], "big") & (1 << 42) - 1
    value |= 0x8 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ordinal_of(id: str) -> int | None:
    """The ordinal inside an id of `numbered_id`, or None for any other text. The stored id decides whether it is real."""
    if not ENTITY_ID.fullmatch(id):
        return None
    value = int(id.replace("-", ""), 16)
    if value >> 76 & 0xF != 0x8 or value >> 62 & 0x3 != 0x2:
        return None
    return (value >> 64 & 0xFFF) << 20 | value >> 42 & (1 << 20) - 1
