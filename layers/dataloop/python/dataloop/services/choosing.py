"""Which model does a request mean? By its id, or by a release name: whatever that stands for now."""

from __future__ import annotations

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.models import Model
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository


class ModelChooser:
    """Nothing is remembered: both reads are strongly consistent, so a rollback counts from the next request on."""

    def __init__(self, models: ModelRepository, releases: ReleaseRepository) -> None:
        self._models = models
        self._releases = releases

    def choose(self, tenant: str, model_id: object, release: object, wanted: str) -> Model:
        """A COMPLETED model; `wanted` says what for, in the message of a refusal. 1 or 2 reads.

        Raises InvalidInput (not exactly one of the two), NotFound, IllegalTransition (it is not trained).
        """
        if (model_id is None) == (release is None):
            raise InvalidInput("model_id", "give either model_id or release")
        for field, value in (("model_id", model_id), ("release", release)):
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidInput(field, "must be a non-empty text", value)
        if release is not None:
            pointer = self._releases.pointer(tenant, str(release))
            if pointer is None:
                raise NotFound("release", str(release))
            model_id = pointer.model_id
        model = self._models.get(tenant, str(model_id))
        if model.status != "COMPLETED":
            raise IllegalTransition("model", model.id, model.status, wanted)
        return model
