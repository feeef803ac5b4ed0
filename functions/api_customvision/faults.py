"""The errors of Custom Vision: {"code", "message"}, the code one of `CustomVisionErrorCodes`.

A core error finds its code by its class and what it is about: the entity of NotFound, Conflict and IllegalTransition,
the field of InvalidInput, the `what` of LimitExceeded. What only this surface can say raises `Refused` with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataloop.domain import errors


class Refused(errors.DomainError):
    """A refusal with a code of the service's own. field: what of the request it is about."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class UnsupportedMedia(Refused):
    """A body of another kind than the operation takes."""

    def __init__(self, message: str) -> None:
        super().__init__("UnsupportedMediaType", message)


# Azure's gateway says "401" where the service itself is not asked.
UNAUTHENTICATED = "401"

# Class -> status and the code of what has no row below.
TABLE = (
    (UnsupportedMedia, 415, "UnsupportedMediaType"),
    (Refused, 400, "BadRequest"),
    (errors.Unauthenticated, 401, UNAUTHENTICATED),
    (errors.Forbidden, 403, "ForbiddenUserInsufficientCapability"),
    (errors.ResidencyViolation, 403, "ForbiddenUserResource"),
    (errors.NotFound, 404, "NotFound"),
    (errors.Conflict, 400, "Conflict"),
    (errors.IllegalTransition, 400, "BadRequestOperationNotSupported"),
    (errors.GateRefused, 400, "BadRequestOperationNotSupported"),
    (errors.LimitExceeded, 400, "BadRequestExceededBatchSize"),
    (errors.InvalidInput, 400, "BadRequest"),
    (errors.Throttled, 503, "ErrorUnknown"),
    (errors.Unavailable, 503, "ErrorUnknown"),
)

# (the code above, what it is about) -> the service's own code. One line each; areas add theirs.
_STATE, _SIZE = "BadRequestOperationNotSupported", "BadRequestExceededBatchSize"
SUBJECTS = {
    ("NotFound", "project"): "NotFoundProject",
    ("NotFound", "iteration"): "NotFoundIteration",
    ("NotFound", "default iteration"): "NotFoundProjectDefaultIteration",
    ("NotFound", "iteration performance"): "NotFoundIterationPerformance",
    ("NotFound", "tag"): "NotFoundTag",
    ("NotFound", "image"): "NotFoundImage",
    ("NotFound", "prediction"): "NotFoundImage",
    ("NotFound", "domain"): "NotFoundDomain",
    ("Conflict", "project"): "BadRequestProjectNameNotUnique",
    ("Conflict", "tag"): "BadRequestTagNameNotUnique",
    ("Conflict", "negative tag"): "BadRequestMultipleNegativeTag",
    ("Conflict", "general_product tag"): "BadRequestMultipleGeneralProductTag",
    ("Conflict", "iteration"): "BadRequestIterationNameNotUnique",
    ("Conflict", "published name"): "BadRequestInvalidPublishName",
    (_STATE, "unchanged project"): "BadRequestTrainingNotNeeded",
    (_STATE, "running training"): "BadRequestTrainingAlreadyInProgress",
    (_STATE, "base iteration"): "BadRequestCustomBaseModelIterationStatusNotCompleted",
    (_STATE, "model"): "ErrorPredictionModelNotFound",
    (_STATE, "iteration"): "BadRequestIterationIsNotTrained",
    (_STATE, "published iteration"): "BadRequestIterationIsPublished",
    (_STATE, "unpublished iteration"): "BadRequestIterationNotPublished",
    (_STATE, "export"): "BadRequestExportAlreadyInProgress",
    ("BadRequest", "project name"): "BadRequestProjectName",
    ("BadRequest", "project description"): "BadRequestProjectDescription",
    ("BadRequest", "import token"): "BadRequestInvalidImportToken",
    ("BadRequest", "tag name"): "BadRequestTagName",
    ("BadRequest", "tag description"): "BadRequestTagDescription",
    ("BadRequest", "tag type"): "BadRequestTagType",
    ("BadRequest", "iteration name"): "BadRequestIterationName",
    ("BadRequest", "published name"): "BadRequestInvalidPublishName",
    ("BadRequest", "published target"): "BadRequestInvalidPublishTarget",
    ("BadRequest", "region"): "BadRequestImageRegions",
    ("BadRequest", "mixed_negative"): "BadRequestNegativeAndRegularTagOnSameImage",
    ("BadRequest", "metadata key"): "BadRequestImageMetadataKey",
    ("BadRequest", "metadata value"): "BadRequestImageMetadataValue",
    ("BadRequest", "url"): "BadRequestImageUrl",
    ("BadRequest", "image"): "BadRequestImageFormat",
    ("BadRequest", "application"): "BadRequestPredictionInvalidApplicationName",
    ("BadRequest", "prediction query"): "BadRequestPredictionInvalidQueryParameters",
    ("ErrorUnknown", "stored prediction"): "ErrorPredictionStorage",
    ("BadRequest", "classification images"): "BadRequestMultiClassClassificationTrainingValidationFailed",
    ("BadRequest", "multilabel_classification images"): "BadRequestMultiLabelClassificationTrainingValidationFailed",
    ("BadRequest", "detection images"): "BadRequestDetectionTrainingValidationFailed",
    ("BadRequest", "negative tag"): "BadRequestDetectionTrainingNotAllowNegativeTag",
    ("BadRequest", "notification address"): "BadRequestInvalidEmailAddress",
    ("BadRequest", "training budget"): "BadRequestReservedBudgetInHoursNotEnoughForAdvancedTraining",
    ("BadRequest", "base model"): "BadRequestCustomBaseModelDomainNotCompatible",
    ("BadRequest", "platform"): "BadRequestProjectUnsupportedExportPlatform",
    ("BadRequest", "flavor"): "BadRequestExportValidationFailed",
    ("BadRequest", "path"): "BadRequestInvalidArtifactUri",
    (_SIZE, "projects"): "BadRequestExceedProjectLimit",
    (_SIZE, "iterations of a project"): "BadRequestExceedIterationPerProjectLimit",
    (_SIZE, "tags of a project"): "BadRequestExceedTagPerProjectLimit",
    (_SIZE, "metadata"): "BadRequestImageMetadataKey",
    (_SIZE, "image: bytes"): "BadRequestImageSizeBytes",
    (_SIZE, "url: bytes"): "BadRequestImageSizeBytes",
    (_SIZE, "pixels of the images up to this one"): "BadRequestImageDimensions",
    (_SIZE, "prediction ids"): "BadRequestPredictionIdsExceededCount",
    (_SIZE, "tags of a prediction query"): "BadRequestPredictionTagsExceededCount",
    (_SIZE, "results of a prediction query"): "BadRequestPredictionResultsExceededCount",
}


def render(code: str, message: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of an error response."""
    own = details.get("code")
    if isinstance(own, str):
        return {"code": own, "message": message}
    if code == "InternalError":
        return {"code": "ErrorUnknown", "message": message}
    about = details.get("entity") or details.get("field") or details.get("what")
    return {"code": SUBJECTS.get((code, str(about)), code), "message": message}
