"""Annotations from clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataloop.domain.annotations import Annotation, make_annotation
from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotFound,
    ResidencyViolation,
)
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.services.clock import Clock
from dataloop.services.registering import RegistrationService

# One annotation: 10,000 boxes of 400 bytes; also below Lambda's 6 MB request.
MAX_BODY_BYTES = 4 * 1024 * 1024


class AnnotationService:
    """Registers statements about raw data; the raw data may come later."""

    def __init__(self, repository: AnnotationRepository, files: RegistrationService, clock: Clock) -> None:
        self._repository = repository
        self._files = files
        self._clock = clock

    def register(self, tenant: str, body: object, clearance: Clearance = EVERYTHING) -> Annotation:
        """One annotation in the words of seed 000. Raises InvalidInput, LimitExceeded, ResidencyViolation.

        The same statement again is the same annotation. Cost: 3 calls, 0.5 RRU and 2 WRU (a small one).
        Raises IllegalTransition for a file that was erased.
        """
        annotation = self.read(tenant, body)
        self._files.require(tenant, annotation.data_ids, clearance)
        refusal = self._refusals(tenant, [annotation]).get(annotation.id)
        if refusal is not None:
            raise refusal
        self._repository.add([annotation])
        return annotation

    def _refusals(self, tenant: str, annotations: Sequence[Annotation]) -> dict[str, IllegalTransition]:
        """By annotation id: why a statement about an erased file is not taken. 1 call per 100 files."""
        erased = self._repository.erased_among(tenant, {uid for each in annotations for uid in each.data_ids})
        return {
            each.id: IllegalTransition("raw data", gone[0], "ERASED", "annotating")
            for each in annotations
            if (gone := sorted(erased & set(each.data_ids)))
        }

    def register_batch(
        self, tenant: str, bodies: Sequence[object], clearance: Clearance = EVERYTHING
    ) -> list[Annotation | DomainError]:
        """One answer per body, in order; the good ones are registered whatever the others are."""
        results: list[Annotation | DomainError] = []
        for body in bodies:
            try:
                annotation = self.read(tenant, body)
                self._files.require(tenant, annotation.data_ids, clearance)
                results.append(annotation)
            except (InvalidInput, LimitExceeded, ResidencyViolation) as error:
                results.append(error)
        refusals = self._refusals(tenant, [result for result in results if isinstance(result, Annotation)])
        results = [refusals.get(entry.id, entry) if isinstance(entry, Annotation) else entry for entry in results]
        self._repository.add([result for result in results if isinstance(result, Annotation)])
        return results

    def read(self, tenant: str, body: object) -> Annotation:
        """Check a client's annotation object. Raises InvalidInput, LimitExceeded."""
        if not isinstance(body, Mapping):
            raise InvalidInput("annotated_data", "must be an object")
        try:
            size = len(canonical_json(body))
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidInput("annotated_data", f"cannot be stored: {error}") from error
        if size > MAX_BODY_BYTES:
            raise LimitExceeded("annotated_data: bytes", MAX_BODY_BYTES, size)
        check_storable(body, "annotated_data")
        return make_annotation(
            tenant,
            self._clock.text(),
            data_ids=body.get("dataId"),
            type=body.get("annotationType"),
            labels=body.get("labelInfo"),
            method=body.get("labelMethod"),
            model_name=body.get("modelName"),
            model_version=body.get("modelVersion"),
            scope=body.get("labelScope"),
            bg=body.get("bg"),
            owner=body.get("owner"),
            supersedes=body.get("supersedes"),
        )

    def get(self, tenant: str, annotation_id: str) -> Annotation:
        """Raises NotFound."""
        annotation = self._repository.get(tenant, annotation_id)
        if annotation is None:
            raise NotFound("annotation", annotation_id)
        return annotation

    def page(self, tenant: str, ids: Sequence[str], limit: int) -> tuple[list[Annotation], str | None]:
        """The first of these annotations, as many as the limit and an answer's size allow, and the last id taken when
        more follow."""
        taken: list[Annotation] = []
        size = 0
        for index, id in enumerate(ids):
            annotation = self._repository.get(tenant, id) if index < limit else None
            size += len(canonical_json(annotation.labels)) if annotation else 0
            if index >= limit or (taken and size > MAX_BODY_BYTES):
                return taken, ids[index - 1]
            if annotation:
                taken.append(annotation)
        return taken, None

    def get_many(self, tenant: str, annotation_ids: Sequence[str]) -> dict[str, Annotation]:
        """By id, the existing ones."""
        return self._repository.get_many(tenant, annotation_ids)
