"""The SDK surface as data: what each route takes and answers (pydantic). OpenAPI is generated from it (docs/generate.py),
and the tests check every live answer against it. No handler imports this module: it costs nothing at run time.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Answer(BaseModel):
    """Answers are closed: a field that is not described here is a mistake."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Request(BaseModel):
    """Requests are open: clients may send more than we read."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


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


class CreateKey(Request):
    name: str
    scopes: list[Literal["read", "write", "train", "release", "admin"]]
    expires_in_days: float | None = None


class Key(Answer):
    key_id: str
    name: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewKey(Key):
    key: str


class Keys(Answer):
    items: list[Key]


class RevokedKey(Answer):
    key_id: str
    revoked: bool


class UploadFile(Request):
    file_name: str
    directory: str = ""
    size_bytes: int
    sha256: str
    content_type: str | None = None


class PlanUploads(Request):
    files: list[UploadFile] = Field(min_length=1, max_length=1000)


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


class RegisterRawData(Request):
    """Seed 000 `upload_raw_data`."""

    uid: str
    type: Literal["image", "video", "file"] | None = None
    region: str | None = None
    securityLevel: str | None = None  # noqa: N815 - the wire's own spelling, here and below
    bg: str | None = None
    owner: str | None = None
    fileMeta: Json | None = None  # noqa: N815
    storage: Json | None = None
    extra: Json | None = None
    sourceInfo: Json | None = None  # noqa: N815


class RawDataId(Answer):
    raw_data_id: str


class RawDataBatch(Request):
    items: list[RegisterRawData] = Field(min_length=1, max_length=100)


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


class RegisterAnnotation(Request):
    """Seed 000 `upload_annotated_data`."""

    dataId: list[str] = Field(min_length=1, max_length=100)  # noqa: N815
    annotationType: str  # noqa: N815
    labelInfo: list[Json] = Field(max_length=10_000)  # noqa: N815
    labelMethod: str | None = None  # noqa: N815
    labelScope: list[str] | None = None  # noqa: N815
    modelName: str | None = None  # noqa: N815
    modelVersion: str | float | None = None  # noqa: N815
    bg: str | None = None
    owner: str | None = None
    supersedes: str | None = None


class AnnotationId(Answer):
    annotation_data_id: str


class AnnotationBatch(Request):
    items: list[RegisterAnnotation] = Field(min_length=1, max_length=100)


class AnnotationIds(Answer):
    results: list[AnnotationId | FailedItem]


class Annotation(Answer):
    annotation_data_id: str
    annotationType: str  # noqa: N815
    dataId: list[str]  # noqa: N815
    labelInfo: list[Json]  # noqa: N815
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


class FindFile(Request):
    storage_id: str | None = None
    bucket: str
    object_name: str


class CreateDataset(Request):
    """Seed 000 `create_dataset`."""

    datasetName: str  # noqa: N815
    datasetVersion: str  # noqa: N815
    annotationType: str | None = None  # noqa: N815
    modelType: str | None = None  # noqa: N815
    versionType: str | None = None  # noqa: N815
    annotationBy: list[Any] | None = None  # noqa: N815
    bg: str | None = None
    owner: str | None = None
    remark: str | None = None
    split: Json | None = None


class DatasetId(Answer):
    dataset_id: str


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
    created_at: str
    updated_at: str | None
    counts: dict[str, int] | None
    labels: list[str] | None
    statistics: dict[str, dict[str, int]] | None
    report: Json | None


class DatasetPage(Answer):
    items: list[Dataset]
    cursor: str | None


class LinkAnnotations(Request):
    annotation_id_list: list[str] = Field(min_length=1, max_length=200_000)


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


class TaskPage(Answer):
    items: list[Task]
    cursor: str | None


class Train(Request):
    dataset_id: str
    task_type: str | None = None
    architecture: str | None = None
    parameters: Json | None = None
    model_name: str | None = None
    parent_model_id: str | None = None


class Evaluate(Request):
    model_id: str
    dataset_id: str


class Export(Request):
    model_id: str
    format: Literal["onnx"] = "onnx"


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


class ModelWithEvaluations(Model):
    evaluations: list[Json]


class ModelPage(Answer):
    items: list[Model]
    cursor: str | None


class ModelFile(Artifact):
    url: str


class ModelFiles(Answer):
    items: list[ModelFile]


class LineageItem(Answer):
    uid: str
    sha256: str
    split: Literal["train", "val", "test"]
    annotation_ids: list[str]
    bucket: str
    object_name: str
    version_id: str
    size_bytes: int


class Lineage(Answer):
    model: Model
    dataset: Dataset
    items: list[LineageItem]
    cursor: str | None


class CreateRelease(Request):
    model_id: str
    name: str | None = None
    gate: Json | None = None
    require_approval: bool = False
    force: bool = False


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


class ReleasePage(Answer):
    items: list[Release]
    cursor: str | None


class Comment(Request):
    comment: str | None = None


class ReleaseName(Answer):
    release_id: str
    name: str
    status: str


class Usage(Answer):
    versions: list[Dataset]
    models: list[Model]
    releases: list[ReleaseName]


class CreateLoop(Request):
    name: str
    dataset_name: str
    release_name: str | None = None
    annotation_type: str | None = None
    query: Json | None = None
    thresholds: Json | None = None
    training: Json | None = None
    gate: Json | None = None
    split: Json | None = None
    require_approval: bool = False


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


class StartLoop(Request):
    force: bool = False


# (method, path) -> (request body, answer, status of success)
ROUTES: dict[tuple[str, str], tuple[type[Request] | None, type[Answer] | None, int]] = {
    ("GET", "/health"): (None, Health, 200),
    ("POST", "/api/v1/keys"): (CreateKey, NewKey, 201),
    ("GET", "/api/v1/keys"): (None, Keys, 200),
    ("DELETE", "/api/v1/keys/<key_id>"): (None, RevokedKey, 200),
    ("POST", "/api/v1/uploads"): (PlanUploads, UploadPlans, 200),
    ("POST", "/api/v1/raw-data"): (RegisterRawData, RawDataId, 200),
    ("POST", "/api/v1/raw-data/batch"): (RawDataBatch, RawDataIds, 200),
    ("GET", "/api/v1/raw-data"): (None, RawDataPage, 200),
    ("GET", "/api/v1/raw-data/<uid>"): (None, RawDataWithAnnotations, 200),
    ("GET", "/api/v1/raw-data/<uid>/annotations"): (None, AnnotationPage, 200),
    ("GET", "/api/v1/raw-data/<uid>/usage"): (None, Usage, 200),
    ("POST", "/api/v1/annotations"): (RegisterAnnotation, AnnotationId, 200),
    ("POST", "/api/v1/annotations/batch"): (AnnotationBatch, AnnotationIds, 200),
    ("GET", "/api/v1/annotations/<annotation_id>"): (None, Annotation, 200),
    ("GET", "/api/v1/files/<uid>/link"): (None, VerifiedLink, 200),
    ("GET", "/api/v1/files/<uid>/content"): (None, None, 302),
    ("POST", "/api/v1/files/by-storage"): (FindFile, Link, 200),
    ("POST", "/api/v1/datasets"): (CreateDataset, DatasetId, 201),
    ("GET", "/api/v1/datasets"): (None, DatasetPage, 200),
    ("GET", "/api/v1/datasets/lookup"): (None, Dataset, 200),
    ("GET", "/api/v1/datasets/<dataset_id>"): (None, Dataset, 200),
    ("POST", "/api/v1/datasets/<dataset_id>/links"): (LinkAnnotations, Linked, 200),
    ("POST", "/api/v1/datasets/<dataset_id>/build"): (None, Task, 202),
    ("POST", "/api/v1/datasets/<dataset_id>/download"): (None, Task, 202),
    ("POST", "/api/v1/train"): (Train, Task, 202),
    ("POST", "/api/v1/evaluations"): (Evaluate, Task, 202),
    ("POST", "/api/v1/exports"): (Export, Task, 202),
    ("GET", "/api/v1/tasks"): (None, TaskPage, 200),
    ("GET", "/api/v1/tasks/<task_id>"): (None, Task, 200),
    ("POST", "/api/v1/tasks/<task_id>/stop"): (None, Task, 202),
    ("GET", "/api/v1/models"): (None, ModelPage, 200),
    ("GET", "/api/v1/models/<model_id>"): (None, ModelWithEvaluations, 200),
    ("GET", "/api/v1/models/<model_id>/files"): (None, ModelFiles, 200),
    ("GET", "/api/v1/models/<model_id>/lineage"): (None, Lineage, 200),
    ("POST", "/api/v1/releases"): (CreateRelease, Task, 202),
    ("GET", "/api/v1/releases"): (None, ReleasePage, 200),
    ("GET", "/api/v1/releases/<name>/current"): (None, Release, 200),
    ("POST", "/api/v1/releases/<name>/rollback"): (None, Release, 200),
    ("POST", "/api/v1/releases/<release_id>/approve"): (Comment, Release, 200),
    ("POST", "/api/v1/releases/<release_id>/reject"): (Comment, Release, 200),
    ("POST", "/api/v1/loops"): (CreateLoop, Loop, 201),
    ("GET", "/api/v1/loops"): (None, Loops, 200),
    ("GET", "/api/v1/loops/<loop_id>"): (None, LoopWithDecisions, 200),
    ("POST", "/api/v1/loops/<loop_id>/start"): (StartLoop, Task, 202),
}
