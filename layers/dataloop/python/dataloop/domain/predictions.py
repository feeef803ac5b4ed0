"""What iterations say about images: predictions that are kept, and tags that are suggested for untagged images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.ids import ENTITY_ID, uuid7
from dataloop.domain.times import from_text

Box = tuple[float, float, float, float]

MAX_IDS = 64  # Azure Custom Vision: deletions and images made of predictions take as many at once
ORDERS = ("newest", "oldest", "suggested")
# Ids are hexadecimal: these texts are around all of them.
EVERY_ID = ("0", "g")


@dataclass(frozen=True, slots=True)
class SuggestionQuery:
    """Which suggestions: of any of these tags (none: of all), with at least this probability.

    session and continuation: texts of an earlier answer to the same query.
    """

    tag_ids: tuple[str, ...] = ()
    threshold: float = 0.0
    most_uncertain_first: bool = False
    count: int = 50
    session: str | None = None
    continuation: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that an iteration says about an image. box: (left, top, width, height), shares of the image."""

    tag_id: str
    tag_name: str
    tag_kind: str
    probability: float
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """An image that was sent for a prediction, and the answer. Its id names the millisecond it came in.

    The bytes lie at `place_of`. uid, media_type, width and height are the image's. uncertainty: as `uncertainty` has it.
    info: what the surface keeps of it, in its own words.
    """

    tenant: str
    project_id: str
    id: str
    iteration_id: str
    uid: str
    media_type: str
    width: int
    height: int
    created_at: str
    predictions: tuple[Said, ...]
    uncertainty: float
    application: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where its bytes lie in the artifacts bucket."""
        return place_of(self.tenant, self.project_id, self.id)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What an iteration says about an image of the workspace that has no tags yet. `uncertainty` has the number."""

    tenant: str
    project_id: str
    iteration_id: str
    image_id: str
    created_at: str
    predictions: tuple[Said, ...]
    uncertainty: float

    @property
    def likeliest(self) -> dict[str, float]:
        """The highest probability of each tag."""
        found: dict[str, float] = {}
        for each in self.predictions:
            found[each.tag_id] = max(found.get(each.tag_id, 0.0), each.probability)
        return found


@dataclass(frozen=True, slots=True)
class TagRange:
    """A prediction has to say this tag with a probability from low to high, both included."""

    tag_id: str
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class PredictionQuery:
    """Which stored predictions, in which order. start and end: time texts, both included.

    Of several tags each has to be said. session and continuation: texts of an earlier answer to the same query.
    """

    start: str | None = None
    end: str | None = None
    iteration_id: str | None = None
    application: str | None = None
    tags: tuple[TagRange, ...] = ()
    order: str = "newest"
    count: int = 50
    session: str | None = None
    continuation: str | None = None

    def asks(self, prediction: StoredPrediction) -> bool:
        """Is it one of these? Times aside."""
        return (
            self.iteration_id in (None, prediction.iteration_id)
            and self.application in (None, prediction.application)
            and all(any(_says(each, wanted) for each in prediction.predictions) for wanted in self.tags)
        )


def _says(said: Said, wanted: TagRange) -> bool:
    return said.tag_id == wanted.tag_id and wanted.low <= said.probability <= wanted.high


def place_of(tenant: str, project_id: str, prediction_id: str = "") -> str:
    """The key of a stored prediction's bytes; without an id what all keys of a project begin with."""
    return f"{tenant}/predictions/{project_id}/{prediction_id}"


def uncertainty(task_type: str, predictions: Sequence[Said]) -> float:
    """How unsure is the iteration of this image? 0: not at all, 1: as unsure as it can be.

    Tags that exclude each other: the entropy of their probabilities, over that of equal ones. Otherwise the most doubtful
    tag or box counts, by the entropy in bits of its being there or not: 1 at a probability of one half. What says nothing
    doubts nothing: 0.
    """
    if task_type != "classification":
        return max((_entropy_bits((each.probability, 1 - each.probability)) for each in predictions), default=0.0)
    if len(predictions) < 2:
        return 0.0
    return min(1.0, _entropy_bits([each.probability for each in predictions]) / math.log2(len(predictions)))


def _entropy_bits(probabilities: Sequence[float]) -> float:
    return -sum(share * math.log2(share) for share in probabilities if share > 0)


def id_at(time: str, random80: bytes) -> str:
    """The id of a prediction that came at a time text, from ten random bytes."""
    return uuid7(_milliseconds(time), random80)


def first_id_at(time: str) -> str:
    """No prediction of this millisecond or later has a smaller id."""
    return uuid7(_milliseconds(time), bytes(10))


def last_id_at(time: str) -> str:
    """No prediction of this millisecond or earlier has a larger id."""
    return uuid7(_milliseconds(time), b"\xff" * 10)


def next_id(prediction_id: str, step: int) -> str:
    """The id right behind (1) or before (-1) an id, in the order of texts; nobody needs to have it."""
    value = int(prediction_id.replace("-", ""), 16) + step
    text = f"{max(0, value):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_of(prediction_id: str) -> int | None:
    """The millisecond inside an id, or None for what is no id of a prediction."""
    if not ENTITY_ID.fullmatch(prediction_id) or prediction_id[14] != "7":
        return None
    return int(prediction_id[:8] + prediction_id[9:13], 16)


def _milliseconds(time: str) -> int:
    return max(0, round(from_text(time).timestamp() * 1000))  # nothing is older than the counting of time
