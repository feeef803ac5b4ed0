"""Where in an image may be something worth a region? Boxes without a tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dataloop.domain.errors import DomainError, InvalidInput, NotFound
from dataloop.domain.predictions import Box
from dataloop.domain.projects import Iteration, Project
from dataloop.services.predicting import Runner
from dataloop.services.project_images import ProjectImages
from dataloop.services.project_predicting import ProjectPredictionService

# Ours: what somebody can look through, and how much two boxes of one thing overlap (the usual bound of suppression).
MAX_PROPOSALS = 32
SAME_PLACE = 0.5


@dataclass(frozen=True, slots=True)
class Proposal:
    """A box, and how much there is for it, 0 to 1. box: (left, top, width, height), shares of the image."""

    confidence: float
    box: Box


class Observer(Runner, Protocol):
    """Runs models, and looks at pixels where there is no model."""

    def stands_out(self, content: bytes) -> list[tuple[float, Box]]:
        """Places that differ from the border of the image, with how much. Raises InvalidInput(image)."""


class ProposalService:
    """By the newest detector of the project; by plain differences of colour where it has none."""

    def __init__(self, predicting: ProjectPredictionService, images: ProjectImages) -> None:
        self._predicting = predicting
        self._images = images

    def propose(self, project: Project, image_id: str, observer: Observer) -> list[Proposal]:
        """Boxes of one image, the best first; none where nothing stands out.

        Raises NotFound(image), InvalidInput(image). Cost: 1 batch read, 1 query, 2 reads, 1 GET; the files of the model.
        """
        (image,) = self._images.get_many(project, [image_id])
        content = self._images.content(image)
        iteration = self._detector(project)
        if iteration is None:
            return distinct([Proposal(*each) for each in observer.stands_out(content)])
        answer = self._predicting.run(iteration, self._predicting.model(iteration), content, observer)
        if isinstance(answer, DomainError):
            raise InvalidInput("image", str(answer), image_id)
        return distinct([Proposal(each.probability, each.box) for each in answer.said if each.box is not None])

    def _detector(self, project: Project) -> Iteration | None:
        if project.task_type != "detection":
            return None
        try:
            return self._predicting.newest(project)
        except NotFound:
            return None


def distinct(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The best of each place: boxes of several tags on one thing are one proposal."""
    kept: list[Proposal] = []
    for each in sorted(proposals, key=lambda each: -each.confidence):
        if len(kept) == MAX_PROPOSALS:
            break
        if all(overlap(each.box, other.box) <= SAME_PLACE for other in kept):
            kept.append(each)
    return kept


def overlap(first: Box, second: Box) -> float:
    """Intersection over union; 0 for boxes without area."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    inter = max(0.0, width) * max(0.0, height)
    union = first[2] * first[3] + second[2] * second[3] - inter
    return inter / union if union > 0 else 0.0
