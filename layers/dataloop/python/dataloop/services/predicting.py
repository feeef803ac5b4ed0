"""What does a model say about these images, now? A few images a request; many are a prediction task's business."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded, NotFound, Unavailable
from dataloop.domain.ids import UID
from dataloop.domain.models import Model
from dataloop.domain.raw_data import RawData
from dataloop.gateways.objects import Bucket
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.choosing import ModelChooser

# Ours: what one vCPU answers well within the API's 28 s (docs/inference.md has the measurement).
MAX_IMAGES = 16
# Ours: registered images of one request, together. They are in memory at once.
MAX_READ_BYTES = 64 * 1024 * 1024
# Ours: a model keeps at most 100 boxes an image; a classifier may have as many labels as a dataset.
MAX_PREDICTIONS = 1500
PREDICTIONS = 100
READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Stated:
    """One thing a model says about an image. box: (left, top, width, height), shares. mask: COCO, at image size."""

    label: str
    score: float
    box: tuple[float, float, float, float] | None = None
    mask: Mapping[str, object] | None = None


# What an image is given as: its uid, its bytes, or why neither could be read from the request.
Given = str | bytes | DomainError


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read but not yet checked."""

    model_id: object
    release: object
    images: Sequence[Given]
    min_score: object = None
    max_predictions: object = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers in the order of the images; a refused image has its error there."""

    model: Model
    results: tuple[tuple[Stated, ...] | DomainError, ...]


class Runner(Protocol):
    """Runs models. The numbers are outside of the core: functions/model_runner/runner.py has them."""

    def run(
        self, model: Model, files: Bucket, images: Sequence[bytes], min_score: float | None, limit: int
    ) -> list[tuple[Stated, ...] | DomainError]:
        """Raises IllegalTransition when the model's files cannot be used."""


class PredictionService:
    """One model, a few images, an answer for each."""

    def __init__(self, chooser: ModelChooser, raw_data: RawDataRepository, raw: Bucket, artifacts: Bucket) -> None:
        self._chooser = chooser
        self._raw_data = raw_data
        self._raw = raw
        self._artifacts = artifacts

    def predict(self, tenant: str, question: Question, runner: Runner) -> Answered:
        """Ask a model. One bad image has its error among the results and spoils no other.

        Raises InvalidInput, LimitExceeded, NotFound (model, release), IllegalTransition (not trained, files unusable).
        Cost: 1 or 2 reads for the model; with uids 1 batch read and a GET for each; the model's files when it is new here.
        """
        if not question.images:
            raise InvalidInput("images", "must be a non-empty list")
        if len(question.images) > MAX_IMAGES:
            raise LimitExceeded("images", MAX_IMAGES, len(question.images))
        min_score, limit = _share(question.min_score), _count(question.max_predictions)
        model = self._chooser.choose(tenant, question.model_id, question.release, "predicting")
        contents = self._contents(tenant, question.images)
        readable = [content for content in contents if isinstance(content, bytes)]
        found = iter(runner.run(model, self._artifacts, readable, min_score, limit) if readable else ())
        results = [next(found) if isinstance(content, bytes) else content for content in contents]
        return Answered(model, tuple(results))

    def _contents(self, tenant: str, images: Sequence[Given]) -> list[bytes | DomainError]:
        """The bytes of every image; registered ones are read side by side."""
        wanted = self._within_budget(self._registered(tenant, images))
        if not any(isinstance(each, RawData) for each in wanted):
            return [each for each in wanted if not isinstance(each, RawData)]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            return list(pool.map(lambda each: self._read(each) if isinstance(each, RawData) else each, wanted))

    def _registered(self, tenant: str, images: Sequence[Given]) -> list[bytes | RawData | DomainError]:
        """Every uid's record, or why it cannot be used. 1 call for all."""
        uids = {given for given in images if isinstance(given, str) and UID.fullmatch(given)}
        known = self._raw_data.get_many(tenant, uids, consistent=True) if uids else {}
        return [_usable(known, given, index) if isinstance(given, str) else given for index, given in enumerate(images)]

    @staticmethod
    def _within_budget(images: Sequence[bytes | RawData | DomainError]) -> list[bytes | RawData | DomainError]:
        """Those that would be too much to hold are refused before they are read."""
        total = 0
        kept: list[bytes | RawData | DomainError] = []
        for index, each in enumerate(images):
            size_bytes = each.facts.size_bytes if isinstance(each, RawData) and each.facts else 0
            is_too_much = total + size_bytes > MAX_READ_BYTES
            what = f"images[{index}]: bytes of the registered images up to this one"
            kept.append(LimitExceeded(what, MAX_READ_BYTES, total + size_bytes) if is_too_much else each)
            total += 0 if is_too_much else size_bytes
        return kept

    def _read(self, raw: RawData) -> bytes | DomainError:
        """The object version that is on record, if its content still is."""
        place = raw.location
        assert place is not None and raw.facts is not None  # _usable says so
        try:
            content = self._raw.get(place.key, place.version_id)
        except NotFound:
            return NotFound("raw data", raw.uid)
        except Unavailable as error:
            return error
        if hashlib.sha256(content).hexdigest() != raw.facts.sha256:
            return NotFound("raw data", raw.uid)
        return content


def _usable(known: Mapping[str, RawData], uid: str, index: int) -> RawData | DomainError:
    field = f"images[{index}].uid"
    if not UID.fullmatch(uid):
        return InvalidInput(field, "must be 32 lower-case hex characters, as upload_file returned it", uid)
    raw = known.get(uid)
    if raw is None or raw.facts is None or raw.location is None:
        return NotFound("raw data", uid)
    if raw.facts.rejected:
        return InvalidInput(field, raw.facts.rejected, uid)
    if raw.facts.type != "image":
        return InvalidInput(field, f"is no image but {raw.facts.media_type}", uid)
    return raw


def _share(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput("min_score", "must be a number from 0 to 1", value)
    return float(value)


def _count(value: object) -> int:
    if value is None:
        return PREDICTIONS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PREDICTIONS:
        raise InvalidInput("max_predictions", f"must be a whole number from 1 to {MAX_PREDICTIONS}", value)
    return value
