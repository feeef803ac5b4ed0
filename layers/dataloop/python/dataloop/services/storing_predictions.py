"""Images that were sent for a prediction, kept with the answer until somebody deletes them.

Three writes make one: the mention of the content, the bytes, the record. A crash between leaves what erasure and the
deletion of the project still find, and no record; the caller got no answer and asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound, Unavailable
from dataloop.domain.ids import uid_of
from dataloop.domain.predictions import EVERY_ID, MAX_IDS, StoredPrediction, id_at, place_of
from dataloop.domain.projects import Iteration, Project
from dataloop.gateways.objects import Bucket
from dataloop.repositories.predictions import PredictionRepository
from dataloop.services import inspecting
from dataloop.services.clock import Clock
from dataloop.services.project_predicting import Answer
from dataloop.services.renditions import Links, RenditionService, copies_of, file_of, names_of

MAX_APPLICATION = 256  # ours: letters of an application's name
# Ours: what one step of a project's deletion removes, so that it ends well within the time of a function.
MAX_FORGOTTEN = 2_000
_CHUNK = 200


class NotStored(Unavailable):
    """A prediction could not be kept. what: for surfaces that have a word for it."""

    def __init__(self, cause: Unavailable) -> None:
        super().__init__(f"the prediction could not be kept, ask again: {cause.reason}", cause.retry_after_s)
        self.what = "stored prediction"


class StoredPredictionService:
    """Nothing here runs a model."""

    def __init__(
        self, repository: PredictionRepository, artifacts: Bucket, renditions: RenditionService, clock: Clock
    ) -> None:
        self._repository = repository
        self._artifacts = artifacts
        self._renditions = renditions
        self._clock = clock

    def prepare(
        self,
        project: Project,
        iteration: Iteration,
        content: bytes,
        answer: Answer,
        application: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> StoredPrediction:
        """A prediction with its id, not stored yet. Raises InvalidInput(application)."""
        name = check_application(application) or ""
        sha256 = hashlib.sha256(content).hexdigest()
        facts = inspecting.inspect("image", sha256, len(content), content, content)
        now = self._clock.text()
        return StoredPrediction(
            tenant=project.tenant,
            project_id=project.id,
            id=id_at(now, self._clock.random(10)),
            iteration_id=iteration.id,
            uid=uid_of(sha256),
            media_type=facts.media_type,
            width=facts.width or 0,
            height=facts.height or 0,
            created_at=now,
            predictions=answer.said,
            uncertainty=answer.uncertainty,
            application=name,
            info=dict(info or {}),
        )

    def store(self, prediction: StoredPrediction, content: bytes) -> None:
        """Keep it. Raises NotStored: then it may be kept or not, and nobody was told its id.

        Cost: 2 writes, 1 PUT; for an image above 256 pixels also the time to decode it, and 1 or 2 PUTs of its copies.
        """
        copies = copies_of(content) if _copies(prediction) else {}
        try:
            self._repository.announce(prediction)
            self._artifacts.put(prediction.key, content, prediction.media_type)
            for name, copy in copies.items():
                self._artifacts.put(file_of(f"{prediction.key}.", name), copy, "image/jpeg")
            self._repository.add(prediction)
        except Unavailable as cause:
            raise NotStored(cause) from cause

    def links(self, prediction: StoredPrediction) -> Links:
        """URLs of the image and its copies. No AWS call."""
        is_jpeg = prediction.media_type == "image/jpeg"
        return self._renditions.links_beside(prediction.key, prediction.width, prediction.height, is_jpeg=is_jpeg)

    def get(self, project: Project, prediction_id: str) -> StoredPrediction:
        """Raises NotFound(prediction). 1 read."""
        found = self._repository.get_many(project.tenant, project.id, [prediction_id])
        if not found:
            raise NotFound("prediction", prediction_id)
        return found[0]

    def content(self, project: Project, prediction_id: str) -> bytes:
        """The bytes that were sent. Raises NotFound(prediction). 1 read, 1 GET."""
        prediction = self.get(project, prediction_id)
        try:
            return self._artifacts.get(prediction.key)
        except NotFound as missing:
            raise NotFound("prediction", prediction_id) from missing

    def delete(self, project: Project, ids: Sequence[str]) -> None:
        """Bytes and records of up to 64; what is not there is no error. Raises LimitExceeded(prediction ids).

        Bytes go first: a crash after them leaves records that a repeat finds and finishes.
        Cost: 1 batch read, 1 deletion of objects, 2 batches of writes per 25.
        """
        if len(ids) > MAX_IDS:
            raise LimitExceeded("prediction ids", MAX_IDS, len(ids))
        self._remove(self._repository.get_many(project.tenant, project.id, ids))

    def forget_project(self, tenant: str, project_id: str, most: int = MAX_FORGOTTEN) -> bool:
        """Delete what a project has stored, up to so many at once. True when nothing is left. May be repeated."""
        left = most
        for day in self._repository.days(tenant, project_id):
            while left > 0:
                found = self._repository.of_day(
                    tenant, project_id, day, EVERY_ID, newest_first=False, limit=min(left, _CHUNK), consistent=True
                )
                if not found:
                    self._repository.forget_day(tenant, project_id, day)
                    break
                self._remove(found)
                left -= len(found)
        if left <= 0:
            return False
        # What a crash left without a record: bytes alone.
        self._artifacts.delete(key for key, _ in list(self._artifacts.keys(place_of(tenant, project_id))))
        return True

    def forget_content(self, tenant: str, uid: str) -> int:
        """Delete every stored prediction about content, of all projects; how many. May be repeated.

        The objects' old versions stay behind markers, as with every deletion: erasure removes those too.
        Cost: 1 query; 1 listing, 1 deletion of objects, 1 read and 3 writes a prediction.
        """
        mentions = self._repository.mentions(tenant, uid)
        for project_id, prediction_id in mentions:
            place = place_of(tenant, project_id, prediction_id)
            self._artifacts.delete([key for key, _ in self._artifacts.keys(place)])
            self._repository.remove(self._repository.get_many(tenant, project_id, [prediction_id]))
            self._repository.unmention(tenant, uid, project_id, prediction_id)
        return len(mentions)

    def _remove(self, predictions: Sequence[StoredPrediction]) -> None:
        self._artifacts.delete(key for each in predictions for key in (each.key, *_copies(each)))
        self._repository.remove(predictions)


def _copies(prediction: StoredPrediction) -> list[str]:
    """The keys of its copies: they lie beside the image and go with it."""
    is_jpeg = prediction.media_type == "image/jpeg"
    names = names_of(prediction.width, prediction.height, is_jpeg=is_jpeg)
    return [file_of(f"{prediction.key}.", name) for name in names]


def check_application(value: str | None) -> str | None:
    """The name a caller gives the program that asks. Raises InvalidInput(application)."""
    if value is not None and (len(value) > MAX_APPLICATION or not value.isprintable()):
        raise InvalidInput("application", f"must be at most {MAX_APPLICATION} printable letters", value)
    return value or None
