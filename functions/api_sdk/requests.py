"""What clients send to the SDK surface (pydantic). Described for OpenAPI; handlers read the bodies themselves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Request(BaseModel):
    """Requests are open: clients may send more than we read."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class CreateKey(Request):
    name: str
    scopes: list[Literal["read", "write", "train", "release", "admin"]]
    expires_in_days: float | None = None


class UploadFile(Request):
    file_name: str
    directory: str = ""
    size_bytes: int
    sha256: str
    content_type: str | None = None


class PlanUploads(Request):
    files: list[UploadFile] = Field(min_length=1, max_length=1000)


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


class RawDataBatch(Request):
    items: list[RegisterRawData] = Field(min_length=1, max_length=100)


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


class AnnotationBatch(Request):
    items: list[RegisterAnnotation] = Field(min_length=1, max_length=100)


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


class LinkAnnotations(Request):
    annotation_id_list: list[str] = Field(min_length=1, max_length=200_000)


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


class CreateRelease(Request):
    model_id: str
    name: str | None = None
    gate: Json | None = None
    require_approval: bool = False
    force: bool = False


class Comment(Request):
    comment: str | None = None


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


class StartLoop(Request):
    force: bool = False
