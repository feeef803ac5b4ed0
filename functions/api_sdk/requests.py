"""What clients send to the SDK surface (pydantic). Described for OpenAPI; handlers read the bodies themselves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Request(BaseModel):
    """Requests are open: clients may send more than we read."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Residency(Request):
    """A restriction: images of these regions only, and up to this security level. What a file does not state is outside."""

    regions: list[str] | None = Field(None, min_length=1, max_length=100)
    max_security_level: str | None = None


class Split(Request):
    """How the images of a dataset are split into train, val and test: docs/manifest.md, "Splits"."""

    train: float | None = Field(None, ge=0, le=1e6, description="A weight; weights need not add up to 1.")
    val: float | None = Field(None, ge=0, le=1e6)
    test: float | None = Field(None, ge=0, le=1e6)
    attribute: str = Field("extra.split", description="Path into the metadata that names an image's split outright.")
    group: str | list[str] = Field(
        "extra.group", description="Paths into the metadata; images with an equal value stay together. At most 8."
    )
    near_duplicates: bool | int = Field(
        False, description="Pictures that look alike stay together: true, or how many of 64 bits may differ (0 to 12)."
    )
    mode: Literal["hash", "balanced", "stratified"] = "hash"
    lists: dict[Literal["train", "val", "test"], list[str]] | None = Field(
        None, description="uids by split; 150,000 in all."
    )
    leaks: Literal["keep", "leave_out", "refuse"] | None = Field(
        None, description="What becomes of an image that attribute or lists place where its group is not."
    )
    stable: bool | None = Field(None, description="What the version before placed stays where it is.")


class CreateKey(Request):
    name: str
    scopes: list[Literal["read", "write", "train", "release", "admin"]]
    expires_in_days: float | None = None
    residency: Residency | None = None
    signing: bool = False
    projects: list[str] | None = Field(None, max_length=100)


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


class Rle(Request):
    """A mask as COCO writes it: runs of pixels outside and inside, column by column."""

    size: list[int] = Field(min_length=2, max_length=2, description="[height, width] of the image.")
    counts: str | list[int] = Field(description="Compressed text, or the runs themselves.")


class Label(Request):
    """One label of an image or of an object in it."""

    label: str
    bbox_xyxy: list[float] | None = Field(default=None, min_length=4, max_length=4, description="In pixels.")
    segmentation: list[list[float]] | Rle | None = Field(
        default=None, description="Polygons [x1, y1, x2, y2, …] in pixels, or an RLE."
    )
    score: float | None = Field(default=None, ge=0, le=1)
    iscrowd: int | bool | None = None


class RegisterAnnotation(Request):
    """Seed 000 `upload_annotated_data`."""

    dataId: list[str] = Field(min_length=1, max_length=100)  # noqa: N815
    annotationType: str  # noqa: N815
    labelInfo: list[Label] = Field(max_length=10_000)  # noqa: N815
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
    split: Split | None = None
    residency: Residency | None = None


class LinkAnnotations(Request):
    annotation_id_list: list[str] = Field(min_length=1, max_length=200_000)


class Train(Request):
    dataset_id: str
    task_type: str | None = None
    architecture: str | None = None
    parameters: Json | None = None
    model_name: str | None = None
    parent_model_id: str | None = None


class Recommend(Request):
    dataset_id: str
    task_type: str | None = None
    instance: str | None = Field(default=None, description="A SageMaker instance type, e.g. ml.g5.xlarge.")
    batch_size: int | None = Field(default=None, ge=1, le=1024)
    parent_model_id: str | None = None


class Evaluate(Request):
    model_id: str
    dataset_id: str
    baseline_model_id: str | None = None


class Export(Request):
    model_id: str
    format: Literal[
        "onnx",
        "onnx_fp16",
        "onnx_int8",
        "onnx_end_to_end",
        "onnx_end_to_end_fp16",
        "openvino",
        "coreml",
        "litert",
        "torchscript",
        "dockerfile",
        "paddle_inference",
        "paddle_lite",
    ] = "onnx"
    max_drop: float | None = Field(default=None, ge=0, le=1, description="Only for onnx_int8.")


class ImageQuery(Request):
    """Images by the day their object came (UTC, both days included), and by what is known of them."""

    from_: str | None = Field(default=None, alias="from", description="yyyy-mm-dd; without from and to: today")
    to: str | None = None
    sources: list[str] = []
    regions: list[str] = []
    labels: Literal["any", "none", "suggested", "labelled"] = "any"
    limit: int = Field(default=10_000, ge=1, le=10_000)


class LookAtImages(Request):
    """Exactly one of uids and query; one of model_id and release (a name: what it stands for now)."""

    model_id: str | None = None
    release: str | None = None
    uids: list[str] | None = Field(default=None, min_length=1, max_length=10_000)
    query: ImageQuery | None = None


class Predict(LookAtImages):
    min_score: float | None = Field(default=None, ge=0, le=1)


class AutoAnnotate(Predict):
    include_labelled: bool = False


class Select(LookAtImages):
    """A strategy that asks a model needs model_id or release."""

    strategy: Literal["random", "uncertainty", "diversity", "uncertainty_diversity"] = "random"
    count: int = Field(ge=1, le=10_000)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    measure: Literal["margin", "entropy"] | None = None
    per_group: int | None = Field(default=None, ge=0, le=10_000)
    balance: bool | None = None
    near_duplicates: bool | None = None


class Sensitivity(Request):
    model_id: str


class InferImage(Request):
    """Either of the two; content is base64."""

    uid: str | None = None
    content: str | None = None


class Infer(Request):
    """Either model_id or release."""

    images: list[InferImage] = Field(min_length=1, max_length=16)
    model_id: str | None = None
    release: str | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    max_predictions: int | None = Field(default=None, ge=1, le=1500)


class CreateRelease(Request):
    model_id: str
    name: str | None = None
    gate: Json | None = None
    require_approval: bool = False
    force: bool = False
    residency: Residency | None = None


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
    split: Split | None = None
    require_approval: bool = False
    residency: Residency | None = None


class StartLoop(Request):
    force: bool = False
