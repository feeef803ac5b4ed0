"""Versions as clients see them: what they send, what they get, and the routes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api_sdk import answers, requests
from api_sdk.answers import Answer, Json
from api_sdk.requests import Request


class Compare(Request):
    """The version to compare with: what changed from the one in the path to this one."""

    other: str


class Restore(Request):
    datasetVersion: str  # noqa: N815 - the wire's own spelling


class SaidOfImage(Answer):
    """An annotation that counts in a version. digest: SHA-256 of its content, which begins with its id."""

    id: str
    status: Literal["KEPT", "GONE"]
    digest: str | None = Field(description="None: it is gone, or nothing proves its id.")
    method: str | None
    model_name: str | None
    model_version: str | None
    owner: str | None
    created_at: str | None


class LineageItem(Answer):
    uid: str
    sha256: str
    split: Literal["train", "val", "test"]
    annotation_ids: list[str]
    annotations: list[SaidOfImage]
    bucket: str
    object_name: str
    version_id: str
    size_bytes: int


class Lineage(Answer):
    model: answers.Model
    dataset: answers.Dataset
    items: list[LineageItem]
    cursor: str | None


class ReleaseName(Answer):
    release_id: str
    name: str
    status: str


class PlaceInVersion(LineageItem):
    """An image in a dataset version."""

    dataset_id: str
    dataset_name: str
    dataset_version: str
    digest: str | None


class Usage(Answer):
    """current: the release names that stand for one of the models now."""

    places: list[PlaceInVersion]
    versions: list[answers.Dataset]
    models: list[answers.Model]
    releases: list[ReleaseName]
    current: list[str]


class Series(Answer):
    """A dataset: a named series of versions. tags: which version each tag stands for now."""

    series_id: str
    name: str
    status: Literal["ACTIVE", "DELETING", "DELETED"]
    info: Json
    tags: dict[str, str]
    created_at: str
    updated_at: str | None


class SeriesWithVersions(Series):
    """versions: newest first."""

    versions: list[answers.Dataset]


class SeriesPage(Answer):
    items: list[SeriesWithVersions]
    cursor: str | None


class History(SeriesWithVersions):
    cursor: str | None


class ImagePage(Answer):
    dataset: answers.Dataset
    items: list[LineageItem]
    cursor: str | None


class ImageUsage(Usage):
    image: answers.RawData


class AnnotationUsage(Usage):
    annotation: answers.Annotation


class Trace(Answer):
    """What an id names, the chain behind it, and what was made from it."""

    kind: Literal["image", "annotation", "dataset", "model", "release"]
    id: str
    image: answers.RawData | None
    annotation: answers.Annotation | None
    dataset: answers.Dataset | None
    model: answers.Model | None
    release: answers.Release | None
    used: Usage


ROUTES: dict[tuple[str, str], tuple[type[requests.Request] | None, Any, int]] = {
    ("GET", "/api/v1/series"): (None, SeriesPage, 200),
    ("GET", "/api/v1/series/<series_id>"): (None, History, 200),
    ("DELETE", "/api/v1/series/<series_id>"): (None, Series, 200),
    ("DELETE", "/api/v1/datasets/<dataset_id>"): (None, answers.Dataset, 200),
    ("GET", "/api/v1/datasets/<dataset_id>/images"): (None, ImagePage, 200),
    ("POST", "/api/v1/datasets/<dataset_id>/diff"): (Compare, answers.Task, 202),
    ("POST", "/api/v1/datasets/<dataset_id>/verify"): (None, answers.Task, 202),
    ("POST", "/api/v1/datasets/<dataset_id>/restore"): (Restore, answers.Dataset, 201),
    ("PUT", "/api/v1/datasets/<dataset_id>/tags/<tag>"): (None, Series, 200),
    ("DELETE", "/api/v1/datasets/<dataset_id>/tags/<tag>"): (None, Series, 200),
    ("GET", "/api/v1/annotations/<annotation_id>/usage"): (None, AnnotationUsage, 200),
    ("GET", "/api/v1/raw-data/<uid>/usage"): (None, ImageUsage, 200),
    ("GET", "/api/v1/models/<model_id>/lineage"): (None, Lineage, 200),
    ("GET", "/api/v1/lineage/<id>"): (None, Trace, 200),
}
