"""Lineage as data: from a model to every image and annotation, and from an image to every version, model, release."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from dataloop.domain import uid_index
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.models import Model, Release
from dataloop.domain.raw_data import split_key
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository

READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Where an image is used."""

    versions: tuple[DatasetVersion, ...]
    models: tuple[Model, ...]
    releases: tuple[Release, ...]


class TracingService:
    """Both ways are reads of the manifest's own files; no edge items are kept that could disagree with it."""

    def __init__(
        self, datasets: DatasetRepository, models: ModelRepository, releases: ReleaseRepository, artifacts: Bucket
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._releases = releases
        self._artifacts = artifacts

    def images_of(
        self, tenant: str, model_id: str, limit: int, cursor: str | None
    ) -> tuple[Model, DatasetVersion, list[dict[str, Any]], str | None]:
        """A page of the images a model learnt from or was judged by, with split, annotations, object version, digest.

        The cursor is a byte offset into the version's objects.jsonl. 2 reads, 1–2 ranged GETs.
        """
        model = self._models.get(tenant, model_id)
        version = self._datasets.get_version(tenant, str(model.dataset["version_id"]))
        if version is None or not version.manifest_prefix:
            raise NotFound("dataset", str(model.dataset["version_id"]))
        offset = _offset(cursor)
        key = f"{version.manifest_prefix}/objects.jsonl"
        lines, following = self._lines(key, offset, limit)
        items = [_with_name(json.loads(line)) for line in lines]
        return model, version, items, following

    def _lines(self, key: str, offset: int, limit: int) -> tuple[list[bytes], str | None]:
        """Up to limit whole lines from a byte offset, and the offset after them (None: the end)."""
        data = b""
        is_end = False
        while data.count(b"\n") <= limit and not is_end:
            chunk = self._artifacts.get_range(key, offset + len(data), READ_BYTES)
            is_end = len(chunk) < READ_BYTES
            data += chunk
        lines = data.split(b"\n")[:-1]
        taken = lines[:limit]
        following = offset + sum(len(line) + 1 for line in taken)
        return taken, None if is_end and len(lines) <= limit else str(following)

    def usage_of(self, tenant: str, uid: str) -> Usage:
        """Every READY version, model and release an image is in. Two small ranged GETs per version (uid_index)."""
        versions = [version for version in self._ready_versions(tenant) if self._holds(version, uid)]
        models = [model for version in versions for model in self._models.of_version(tenant, version.id)]
        releases = [release for model in models for release in self._releases.of_model(tenant, model.id)]
        return Usage(tuple(versions), tuple(models), tuple(releases))

    def _ready_versions(self, tenant: str) -> list[DatasetVersion]:
        found: list[DatasetVersion] = []
        cursor: str | None = None
        for _ in itertools.count():
            page, cursor = self._datasets.list_versions(tenant, limit=200, cursor=cursor)
            found.extend(version for version in page if version.status == "READY")
            if cursor is None:
                break
        return found

    def _holds(self, version: DatasetVersion, uid: str) -> bool:
        key = f"{version.manifest_prefix}/uids.idx"
        try:
            start, length = uid_index.block_of(self._artifacts.get_range(key, 0, uid_index.FANOUT_BYTES), uid)
            return length > 0 and uid_index.holds(self._artifacts.get_range(key, start, length), uid)
        except NotFound:
            return False

    def files_of(self, tenant: str, model_id: str) -> list[dict[str, Any]]:
        """A model's files with fresh links. Raises NotFound, IllegalTransition while it is not COMPLETED."""
        model = self._models.get(tenant, model_id)
        if model.status != "COMPLETED":
            raise IllegalTransition("model", model_id, model.status, "downloading")
        return [
            {
                "name": str(entry["name"]),
                "size_bytes": entry["size_bytes"],
                "url": self._artifacts.link(str(entry["key"]), file_name=str(entry["name"])),
            }
            for entry in model.artifacts
        ]

    def model(self, tenant: str, model_id: str) -> Model:
        """Raises NotFound."""
        return self._models.get(tenant, model_id)

    def models(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[Model], str | None]:
        """Newest first."""
        return self._models.page(tenant, limit=limit, cursor=cursor)

    def evaluations(self, tenant: str, model_id: str) -> list[dict[str, Any]]:
        """A model's numbers, one entry per test set. Raises NotFound."""
        self._models.get(tenant, model_id)
        return [
            {
                "version_id": entry.version_id,
                "test_digest": entry.test_digest,
                "metrics": dict(entry.metrics),
                "created_at": entry.created_at,
                "task_id": entry.task_id,
            }
            for entry in self._models.evaluations(tenant, model_id)
        ]


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdigit() or len(cursor) > 15:
        raise InvalidInput("cursor", "is not one this service gave out", cursor)
    return int(cursor)


def _with_name(place: dict[str, Any]) -> dict[str, Any]:
    names = ("uid", "sha256", "split", "annotation_ids", "bucket", "version_id", "size_bytes")
    return {name: place[name] for name in names} | {"object_name": split_key(place["key"])[1]}
