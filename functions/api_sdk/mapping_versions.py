"""Pure translation of datasets as series of versions, and of lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api_sdk import mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dataloop.domain.datasets import Dataset, DatasetVersion
    from dataloop.services.tracing import Traced, Usage

Json = dict[str, Any]


def series(found: Dataset) -> Json:
    names = ("name", "status", "created_at", "updated_at")
    facts = {name: getattr(found, name) for name in names}
    return {"series_id": found.id, **facts, "info": dict(found.info), "tags": dict(found.tags)}


def with_versions(found: Dataset, versions: Iterable[DatasetVersion]) -> Json:
    return series(found) | {"versions": [mapping.dataset(version) for version in versions]}


def usage(found: Usage) -> Json:
    return {
        "places": [
            {
                "dataset_id": place.version.id,
                "dataset_name": place.version.name,
                "dataset_version": place.version.version,
                "digest": place.version.digest,
                **place.image,
            }
            for place in found.places
        ],
        "versions": [mapping.dataset(version) for version in found.versions],
        "models": [mapping.model(model) for model in found.models],
        "releases": [{"release_id": each.id, "name": each.name, "status": each.status} for each in found.releases],
        "current": list(found.current),
    }


def trace(id: str, found: Traced, used: Usage) -> Json:
    return {
        "kind": found.kind,
        "id": id,
        "image": mapping.raw_data(found.image) if found.image else None,
        "annotation": mapping.annotation(found.annotation) if found.annotation else None,
        "dataset": mapping.dataset(found.version) if found.version else None,
        "model": mapping.model(found.model) if found.model else None,
        "release": mapping.release(found.release) if found.release else None,
        "used": usage(used),
    }
