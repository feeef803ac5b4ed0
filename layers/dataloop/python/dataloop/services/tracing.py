"""Lineage as data: from a model to every image and annotation, and from those to every version, model and release."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dataloop.domain import uid_index
from dataloop.domain.annotations import Annotation
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.ids import ANNOTATION_ID, ENTITY_ID, UID
from dataloop.domain.models import Model, Release
from dataloop.domain.proofs import proved_digest
from dataloop.domain.raw_data import RawData, split_key
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.gateways.objects import Bucket
from dataloop.manifests.lookup import find_line
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.repositories.releases import ReleaseRepository

READ_BYTES = 256 * 1024
# Versions asked at a time whether they hold an image: two reads of some 20 ms each.
THREADS = 16
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """An image in a version: its split, the annotations that count there, and the object version that was read."""

    version: DatasetVersion
    image: Json


@dataclass(frozen=True, slots=True)
class Usage:
    """Where an image, or what is said of it, is used. current: the release names that stand for one of the models."""

    places: tuple[Place, ...]
    models: tuple[Model, ...]
    releases: tuple[Release, ...]
    current: tuple[str, ...]

    @property
    def versions(self) -> tuple[DatasetVersion, ...]:
        return tuple({place.version.id: place.version for place in self.places}.values())


@dataclass(frozen=True, slots=True)
class Traced:
    """What an id names, and the chain behind it: release → model → version; annotation; image."""

    kind: str
    release: Release | None = None
    model: Model | None = None
    version: DatasetVersion | None = None
    annotation: Annotation | None = None
    image: RawData | None = None


class TracingService:
    """Both ways are reads of the manifest's own files; no edge items are kept that could disagree with it."""

    def __init__(
        self,
        datasets: DatasetRepository,
        models: ModelRepository,
        releases: ReleaseRepository,
        annotations: AnnotationRepository,
        raw_data: RawDataRepository,
        artifacts: Bucket,
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._releases = releases
        self._annotations = annotations
        self._raw_data = raw_data
        self._artifacts = artifacts

    def find(self, tenant: str, id: str) -> Traced:
        """What an id of any kind names: a uid, an annotation, a release, a model or a dataset version.

        Raises NotFound, InvalidInput (no id of ours). Cost: 1 read, up to 5 for a release.
        """
        if UID.fullmatch(id):
            raw = self._raw_data.get(tenant, id)
            if raw is None:
                raise NotFound("raw data", id)
            return Traced("image", image=raw)
        if ANNOTATION_ID.fullmatch(id):
            return Traced("annotation", annotation=self.annotation(tenant, id))
        if not ENTITY_ID.fullmatch(id):
            raise InvalidInput("id", "is none of a model, release, dataset version, annotation or file (uid)", id)
        model = self._models.find(tenant, id)
        if model is not None:
            return Traced("model", model=model, version=self._version_of(model))
        version = self._datasets.get_version(tenant, id)
        if version is not None:
            return Traced("dataset", version=version)
        try:
            release = self._releases.get(tenant, id)
        except NotFound as error:
            raise NotFound("model, dataset version or release", id) from error
        model = self._models.get(tenant, release.model_id)
        return Traced("release", release=release, model=model, version=self._version_of(model))

    def annotation(self, tenant: str, annotation_id: str) -> Annotation:
        """Raises NotFound. 1 read."""
        found = self._annotations.get(tenant, annotation_id)
        if found is None:
            raise NotFound("annotation", annotation_id)
        return found

    def _version_of(self, model: Model) -> DatasetVersion | None:
        return self._datasets.get_version(model.tenant, str(model.dataset["version_id"]))

    def used_by(self, tenant: str, found: Traced) -> Usage:
        """What was made from what was found. Cost: that of the usage of its kind."""
        if found.image is not None:
            return self.usage_of(tenant, found.image.uid)
        if found.annotation is not None:
            return self._usage_of_annotation(found.annotation)
        if found.model is not None:
            return self.usage_of_model(found.model)
        return self._behind(tenant, (), [found.version] if found.version else [])

    def images_of(
        self, tenant: str, model_id: str, limit: int, cursor: str | None, clearance: Clearance = EVERYTHING
    ) -> tuple[Model, DatasetVersion, list[Json], str | None]:
        """A page of the images a model learnt from or was judged by: `images_in` of its version, and the two.

        The images of a version that was deleted since are gone: the page is empty, the version says who deleted it.
        """
        model = self._models.get(tenant, model_id)
        version = self._version_of(model)
        if version is None:
            raise NotFound("dataset", str(model.dataset["version_id"]))
        items, following = self.images_in(version, limit, cursor, clearance)
        return model, version, items, following

    def images_in(
        self, version: DatasetVersion, limit: int, cursor: str | None, clearance: Clearance = EVERYTHING
    ) -> tuple[list[Json], str | None]:
        """A page of a version's images with split, annotations and their digests, object version and SHA-256.

        The cursor is a byte offset into the version's objects.jsonl. Cost: 1–2 ranged GETs, a BatchGet per 100
        annotations. Raises ResidencyViolation.
        """
        clearance.require_holdings(version.report.get("residency") or {}, f"dataset {version.id}")
        if not version.manifest_prefix:
            return [], None
        lines, following = self._lines(f"{version.manifest_prefix}/objects.jsonl", _offset(cursor), limit)
        return self._described(version.tenant, [json.loads(line) for line in lines]), following

    def _described(self, tenant: str, places: list[Json]) -> list[Json]:
        """Places as clients see them, each annotation with the digest of its content, recomputed from the table."""
        ids = {id for place in places for id in place["annotation_ids"]}
        known = self._annotations.get_many(tenant, sorted(ids)) if ids else {}
        return [
            _with_name(place) | {"annotations": [_said(id, known.get(id)) for id in place["annotation_ids"]]}
            for place in places
        ]

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
        """Every READY version, model and release an image is in.

        Cost: `places_of`; per version that has it 1 query, and per model 1 query and 1 read a release name.
        """
        return self._used_by(tenant, self.places_of(tenant, uid))

    def places_of(self, tenant: str, uid: str) -> list[Place]:
        """The image in every READY version that has it.

        Cost: 1 query per 200 versions; per READY version 2 small ranged GETs (uid_index), sixteen versions at a time;
        per version that has it 1 HEAD and 1–3 ranged GETs; a BatchGet per 100 annotations.
        """
        return self._places(self._ready_versions(tenant), uid)

    def _places(self, versions: list[DatasetVersion], uid: str) -> list[Place]:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda version: self._place_in(version, uid), versions))
        held = [Place(version, row) for version, row in zip(versions, found, strict=True) if row is not None]
        described = self._described(held[0].version.tenant, [place.image for place in held]) if held else []
        return [Place(place.version, image) for place, image in zip(held, described, strict=True)]

    def usage_of_annotation(self, tenant: str, annotation_id: str) -> tuple[Annotation, Usage]:
        """The READY versions in which an annotation counts (superseded ones do not), their models and releases.

        Raises NotFound. Cost: `usage_of` for each file that it speaks of.
        """
        annotation = self.annotation(tenant, annotation_id)
        return annotation, self._usage_of_annotation(annotation)

    def _usage_of_annotation(self, found: Annotation) -> Usage:
        versions = self._ready_versions(found.tenant)
        places = (place for uid in found.data_ids for place in self._places(versions, uid))
        return self._used_by(found.tenant, (place for place in places if found.id in place.image["annotation_ids"]))

    def usage_of_model(self, model: Model) -> Usage:
        """The releases of a model. Cost: 1 query, and 1 read a release name."""
        releases = self._releases.of_model(model.tenant, model.id)
        return Usage((), (), tuple(releases), self._current(model.tenant, releases))

    def _used_by(self, tenant: str, places: Iterable[Place]) -> Usage:
        held = tuple(places)
        return self._behind(tenant, held, list({place.version.id: place.version for place in held}.values()))

    def _behind(self, tenant: str, places: tuple[Place, ...], versions: list[DatasetVersion]) -> Usage:
        models = [model for version in versions for model in self._models.of_version(tenant, version.id)]
        releases = [release for model in models for release in self._releases.of_model(tenant, model.id)]
        return Usage(places, tuple(models), tuple(releases), self._current(tenant, releases))

    def _current(self, tenant: str, releases: Iterable[Release]) -> tuple[str, ...]:
        """The names that stand for one of these releases now."""
        ids = {release.id: release.name for release in releases}
        pointers = (self._releases.pointer(tenant, name) for name in sorted(set(ids.values())))
        return tuple(pointer.name for pointer in pointers if pointer is not None and pointer.release_id in ids)

    def _ready_versions(self, tenant: str) -> list[DatasetVersion]:
        found: list[DatasetVersion] = []
        cursor: str | None = None
        for _ in itertools.count():
            page, cursor = self._datasets.list_versions(tenant, limit=200, cursor=cursor)
            found.extend(version for version in page if version.status == "READY")
            if cursor is None:
                break
        return found

    def _place_in(self, version: DatasetVersion, uid: str) -> Json | None:
        """The image's line of objects.jsonl, or None when the version does not hold it."""
        index, key = f"{version.manifest_prefix}/uids.idx", f"{version.manifest_prefix}/objects.jsonl"
        try:
            table = self._artifacts.get_range(index, 0, uid_index.FANOUT_BYTES)
            start, length = uid_index.block_of(table, uid)
            block = self._artifacts.get_range(index, start, length) if length else b""
            if not uid_index.holds(block, uid):
                return None
            stored = self._artifacts.head(key)
            if stored is None:
                return None
            guess = uid_index.share_before(table, start, block, uid)
            return find_line(lambda at, size: self._artifacts.get_range(key, at, size), stored.size_bytes, uid, guess)
        except NotFound:
            return None  # deleted while we looked

    def files_of(self, tenant: str, model_id: str) -> list[Json]:
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

    def evaluations(self, tenant: str, model_id: str) -> list[Json]:
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


def _with_name(place: Json) -> Json:
    names = ("uid", "sha256", "split", "annotation_ids", "bucket", "version_id", "size_bytes")
    return {name: place[name] for name in names} | {"object_name": split_key(place["key"])[1]}


def _said(annotation_id: str, found: Annotation | None) -> Json:
    """digest: 64 hex characters over the content, which begin with the id; None: it is gone, or nothing proves it."""
    names = ("method", "model_name", "model_version", "owner", "created_at")
    return {
        "id": annotation_id,
        "status": "GONE" if found is None else "KEPT",
        "digest": None if found is None else proved_digest(found),
        **{name: None if found is None else getattr(found, name) for name in names},
    }
