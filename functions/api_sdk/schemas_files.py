"""The files of a built version, as clients see them."""

from __future__ import annotations

from pydantic import Field

from api_sdk.answers import Answer
from api_sdk.requests import Request


class ManifestFile(Answer):
    name: str
    size_bytes: int
    sha256: str | None = Field(description="None: the index does not say (it cannot name its own).")
    url: str


class DatasetFiles(Answer):
    """digest: that of the version. format: how it is made (docs/manifest.md)."""

    dataset_id: str
    digest: str
    format: int
    files: list[ManifestFile]


ROUTES: dict[tuple[str, str], tuple[type[Request] | None, type[Answer] | None, int]] = {
    ("GET", "/api/v1/datasets/<dataset_id>/files"): (None, DatasetFiles, 200),
}
