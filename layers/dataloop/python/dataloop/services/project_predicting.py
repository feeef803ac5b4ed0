"""What does an iteration say about one image? In the words of its project: tags with their ids, as they were frozen."""

from __future__ import annotations

from dataclasses import dataclass

from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.iterations import newest_trained
from dataloop.domain.models import Model
from dataloop.domain.predictions import Said, uncertainty
from dataloop.domain.projects import Iteration, Project
from dataloop.gateways.fetching import Fetcher
from dataloop.gateways.objects import Bucket
from dataloop.repositories.models import ModelRepository
from dataloop.services import inspecting
from dataloop.services.iterating import IterationService
from dataloop.services.predicting import MAX_PREDICTIONS, Runner, Stated

# The published limit of Azure Custom Vision for an image that is sent for a prediction.
MAX_IMAGE_BYTES = 4 * 1024 * 1024
# … and the kinds of images that it takes.
MEDIA_TYPES = {"image/jpeg", "image/png", "image/gif", "image/bmp"}
# Ours: every tag of a classification is answered, and a box from this probability on. The model's own floor (0.05 for a
# detection that was trained here, model.json) may be higher.
LEAST_PROBABILITY = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """What an iteration says about one image, most probable first, and how unsure it is (domain/predictions.py)."""

    said: tuple[Said, ...]
    uncertainty: float


class ProjectPredictionService:
    """Runs an iteration's model on images, now."""

    def __init__(
        self, models: ModelRepository, iterations: IterationService, artifacts: Bucket, fetcher: Fetcher
    ) -> None:
        self._models = models
        self._iterations = iterations
        self._artifacts = artifacts
        self._fetcher = fetcher

    def newest(self, project: Project) -> Iteration:
        """The iteration that was trained last. Raises NotFound(default iteration). 1 query."""
        found = newest_trained(self._iterations.list(project))
        if found is None:
            raise NotFound("default iteration", project.id)
        return found

    def model(self, iteration: Iteration) -> Model:
        """The model of a trained iteration. Raises IllegalTransition(iteration). 1 read."""
        if iteration.status != "COMPLETED":
            raise IllegalTransition("iteration", iteration.id, iteration.status, "predicting")
        return self._models.get(iteration.tenant, iteration.id)

    def fetch(self, url: object) -> bytes:
        """An image from a public address. Raises InvalidInput(url), LimitExceeded(url: bytes)."""
        return self._fetcher.fetch(url, MAX_IMAGE_BYTES)

    def predict(self, iteration: Iteration, content: bytes, runner: Runner) -> Answer:
        """What it says about an encoded image.

        Raises InvalidInput(image), LimitExceeded(image: bytes), IllegalTransition (not trained, its files unusable).
        Cost: 1 read; the model's files when it is new here.
        """
        _check(content)
        found = self.run(iteration, self.model(iteration), content, runner)
        if isinstance(found, DomainError):
            raise found
        return found

    def run(self, iteration: Iteration, model: Model, content: bytes, runner: Runner) -> Answer | DomainError:
        """The same for an image of any size, whose own trouble is the answer. Raises IllegalTransition."""
        floor = LEAST_PROBABILITY if model.task_type == "detection" else 0.0
        (answer,) = runner.run(model, self._artifacts, [content], floor, MAX_PREDICTIONS)
        if isinstance(answer, DomainError):
            return answer
        said = _named(iteration, answer)
        return Answer(said, uncertainty(model.task_type, said))


def _check(content: bytes) -> None:
    """Raises InvalidInput(image), LimitExceeded(image: bytes). The pixels are not decoded yet."""
    if len(content) > MAX_IMAGE_BYTES:
        raise LimitExceeded("image: bytes", MAX_IMAGE_BYTES, len(content))
    facts = inspecting.inspect("image", "", len(content), content, content)
    if facts.media_type not in MEDIA_TYPES:
        raise InvalidInput("image", "must be a JPEG, PNG, GIF or BMP file; it is none of them")
    if facts.rejected:
        raise InvalidInput("image", facts.rejected)


def _named(iteration: Iteration, stated: tuple[Stated, ...]) -> tuple[Said, ...]:
    """Labels are tag names; the iteration froze which tag had which."""
    tags = {tag["name"]: tag for tag in iteration.tags}
    known = ((tags[each.label], each) for each in stated if each.label in tags)
    return tuple(Said(tag["id"], tag["name"], tag["kind"], each.score, each.box) for tag, each in known)
