"""What the SDK surface answers (pydantic). The tests hold every live answer against these."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api_sdk.requests import Label

Json = dict[str, Any]


class Answer(BaseModel):
    """Answers are closed: a field that is not described here is a mistake."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Error(Answer):
    code: str
    message: str
    details: Json


class FailedItem(Answer):
    error: Error


class Health(Answer):
    status: Literal["ok"]
    stage: str
    version: str


class Key(Answer):
    key_id: str
    name: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    residency: Json = Field(description="The regions and the highest securityLevel that it may touch; {} is all.")
    access_key_id: str | None
    projects: list[str]


class NewKey(Key):
    key: str


class Keys(Answer):
    items: list[Key]


class RevokedKey(Answer):
    key_id: str
    revoked: bool


class UploadForm(Answer):
    url: str
    fields: dict[str, str]


class UploadPlan(Answer):
    uid: str
    bucket: str
    storage_id: str
    object_name: str
    url: str
    exists: bool
    upload: UploadForm | None


class UploadPlans(Answer):
    results: list[UploadPlan | FailedItem]


class RawDataId(Answer):
    raw_data_id: str


class RawDataIds(Answer):
    results: list[RawDataId | FailedItem]


class Place(Answer):
    bucket: str
    object_name: str
    storage_id: str
    version_id: str
    size_bytes: int


class RawData(Answer):
    raw_data_id: str
    uid: str
    status: Literal["AWAITING_OBJECT", "AWAITING_METADATA", "REGISTERED", "REJECTED", "ORPHANED", "DELETED"]
    type: str | None
    media_type: str | None
    size_bytes: int | None
    sha256: str | None
    width: int | None
    height: int | None
    rejected: str | None
    locations: list[Place]
    meta: Json | None
    first_seen: str | None


class RawDataWithAnnotations(RawData):
    annotation_ids: list[str]


class RawDataPage(Answer):
    items: list[RawData]
    cursor: str | None


class AnnotationId(Answer):
    annotation_data_id: str


class AnnotationIds(Answer):
    results: list[AnnotationId | FailedItem]


class Annotation(Answer):
    annotation_data_id: str
    annotationType: str  # noqa: N815
    dataId: list[str]  # noqa: N815
    labelInfo: list[Label]  # noqa: N815
    labelMethod: str  # noqa: N815
    labelScope: list[str]  # noqa: N815
    modelName: str  # noqa: N815
    modelVersion: str  # noqa: N815
    bg: str
    owner: str
    supersedes: str | None
    created_at: str


class AnnotationPage(Answer):
    items: list[Annotation]
    cursor: str | None


class Link(Answer):
    url: str
    file_name: str


class VerifiedLink(Link):
    size_bytes: int | None
    sha256: str | None


class DatasetId(Answer):
    dataset_id: str


class Deletion(Answer):
    """Who deleted a version: what stays of it is this record."""

    at: str
    by: str
    forced: bool
    models: list[str]


class Dataset(Answer):
    dataset_id: str
    series_id: str
    dataset_name: str
    dataset_version: str
    status: Literal["DRAFT", "BUILDING", "READY", "FAILED", "DELETING", "DELETED"]
    digest: str | None
    info: Json
    split: Json
    task_id: str | None
    base_dataset_id: str | None
    anchor_dataset_id: str | None = Field(description="The version whose images keep their splits in this one.")
    tags: list[str]
    erased: int = Field(description="Images of this version that were deleted for good since it was built.")
    deletion: Deletion | None
    residency: Json = Field(description="The regions and the highest securityLevel of its images; {} is all.")
    created_at: str
    updated_at: str | None
    counts: dict[str, int] | None
    labels: list[str] | None
    statistics: dict[str, dict[str, int]] | None
    report: Json | None
    splits: Json | None = Field(description="How images were split, once built: docs/manifest.md, Splits.")


class DatasetPage(Answer):
    items: list[Dataset]
    cursor: str | None


class Linked(Answer):
    dataset_id: str
    segment_id: str
    linked: int


class Task(Answer):
    task_id: str
    kind: str
    status: Literal["CREATED", "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "STOPPING", "STOPPED"]
    target: str
    phase: str
    progress: Json
    error: Json | None
    parameters: Json
    result: Json
    attempt: int
    parent_id: str | None
    created_at: str
    updated_at: str


class Reason(Answer):
    parameter: str
    value: Any
    text: str


class Recommendation(Answer):
    task_type: str
    instance: str | None
    parameters: Json
    reasons: list[Reason]
    steps_per_epoch: int
    steps: int


class TaskPage(Answer):
    items: list[Task]
    cursor: str | None


class Artifact(Answer):
    name: str
    size_bytes: int


class Model(Answer):
    model_id: str
    name: str
    version: str
    status: Literal["TRAINING", "COMPLETED", "FAILED", "DELETED"]
    task_type: str
    architecture: str
    task_id: str
    parent_model_id: str | None
    model_package_arn: str | None
    created_at: str
    updated_at: str | None
    dataset: Json
    test: Json
    labels: list[str]
    metrics: Json
    parameters: Json
    artifacts: list[Artifact]
    touched_by: list[Json] = Field(description="Deletions of images that it learnt from or was judged by.")


class ModelWithEvaluations(Model):
    evaluations: list[Json]


class ModelPage(Answer):
    items: list[Model]
    cursor: str | None


class ModelFile(Artifact):
    url: str


class ModelFiles(Answer):
    items: list[ModelFile]


class Box(Answer):
    """Shares of the image's width and height."""

    left: float
    top: float
    width: float
    height: float


class Mask(Answer):
    """COCO's compressed run lengths; size is [height, width] of the image."""

    size: list[int]
    counts: str


class Prediction(Answer):
    label: str
    score: float
    box: Box | None
    mask: Mask | None = None


class Predictions(Answer):
    predictions: list[Prediction]


class Inferred(Answer):
    model_id: str
    release: str | None
    model_version: str
    results: list[Predictions | FailedItem]


class Release(Answer):
    release_id: str
    name: str
    model_id: str
    status: Literal["DRAFT", "AWAITING_APPROVAL", "PUBLISHING", "PUBLISHED", "ROLLED_BACK", "FAILED"]
    created_at: str
    task_id: str
    number: int
    gate: Json
    verdict: Json
    require_approval: bool
    comment: str
    previous_release_id: str | None
    updated_at: str | None
    residency: Json
    touched_by: list[Json] = Field(description="Deletions of images that its model learnt from or was judged by.")


class ReleasePage(Answer):
    items: list[Release]
    cursor: str | None


class Loop(Answer):
    loop_id: str
    name: str
    dataset_id: str
    dataset_name: str
    query: Json
    thresholds: Json
    gate: Json
    training: Json
    release_name: str
    created_at: str
    require_approval: bool
    draft_version_id: str | None
    draft_number: int
    test_version_id: str | None
    trained_version_id: str | None
    last_started_at: str | None
    failures: int
    split: Json


class LoopWithDecisions(Loop):
    decisions: list[Json]


class Loops(Answer):
    items: list[Loop]
