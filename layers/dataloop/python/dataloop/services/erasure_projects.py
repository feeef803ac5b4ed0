"""Erases content from projects: images of workspaces, what iterations froze of them, stored predictions, smaller copies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.erasure import Deletion
from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.predictions import place_of
from dataloop.domain.raw_data import RawData
from dataloop.gateways.erasable import ErasableBucket
from dataloop.repositories.erasures import ErasureRepository
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.iterations import IterationRepository
from dataloop.repositories.predictions import PredictionRepository
from dataloop.repositories.projects import ProjectRepository
from dataloop.repositories.suggestions import SuggestionRepository
from dataloop.services import renditions
from dataloop.services.snapshot_erasure import SnapshotEraser
from dataloop.services.tagging import TaggingService

Found = dict[str, dict[str, list[list[Any]]]]


class ProjectEraser:
    """What is found is written down before anything goes. What came after the mark is a new life, and stays."""

    def __init__(
        self,
        erasures: ErasureRepository,
        projects: ProjectRepository,
        images: ImageRepository,
        tagging: TaggingService,
        iterations: IterationRepository,
        snapshots: SnapshotEraser,
        predictions: PredictionRepository,
        suggestions: SuggestionRepository,
        artifacts: ErasableBucket,
    ) -> None:
        self._erasures = erasures
        self._projects = projects
        self._images = images
        self._tagging = tagging
        self._iterations = iterations
        self._snapshots = snapshots
        self._predictions = predictions
        self._suggestions = suggestions
        self._artifacts = artifacts

    def erase(self, deletion: Deletion, uids: Iterable[str], found_key: str, *, is_last: bool) -> list[dict[str, Any]]:
        """Remove these contents from every project; what was done, by prefix. Repeatable.

        is_last: the second pass, after which nothing needs to know where the content was. Raises Unavailable while an
        iteration is being frozen. Cost per content: 3 queries; per image of a workspace a removal, per iteration of its
        project 4 calls and what it has to write again; per prediction 4 calls.
        """
        found = self._look(deletion, list(uids), found_key)
        self._erase_images(deletion, found)
        changed = list(self._erase_snapshots(deletion, found))
        self._erase_predictions(deletion, found)
        for facts in found.values():
            for (prefix,) in facts["renditions"]:
                self._artifacts.purge(prefix)
        if is_last:
            for uid, facts in found.items():
                for project_id, _, ordinal in facts["images"]:
                    self._images.forget_gone(deletion.tenant, uid, project_id, ordinal)
        return changed + _removed(deletion.tenant, found)

    def verify(self, deletion: Deletion, uids: Iterable[str]) -> dict[str, int]:
        """Look again. Raises Unavailable when something is there: the part is repeated."""
        wanted = list(uids)
        records = self._erasures.records(deletion.tenant, wanted)
        for uid in wanted:
            if any(self._places(deletion, uid, records.get(uid)).values()):
                raise Unavailable(f"a project still holds {uid}")
        return {"contents_in_projects": len(wanted)}

    def _look(self, deletion: Deletion, uids: list[str], found_key: str) -> Found:
        """What is there now, and what an earlier try or pass found. Durable when it returns."""
        try:
            found: Found = json.loads(self._artifacts.get(found_key))
        except NotFound:
            found = {}
        records = self._erasures.records(deletion.tenant, uids)
        for uid in uids:
            places = self._places(deletion, uid, records.get(uid))
            known = found.setdefault(uid, {})
            for name, entries in places.items():
                known[name] = sorted(map(list, {tuple(each) for each in [*known.get(name, []), *entries]}))
        self._artifacts.put(found_key, canonical_json(found))
        return found

    def _places(self, deletion: Deletion, uid: str, raw: RawData | None) -> dict[str, list[list[Any]]]:
        """Where content is: images (project, image, ordinal), predictions (project, prediction), renditions (prefix).

        Renditions are those of the content: once it has a new life, they are that life's.
        """
        tenant = deletion.tenant
        images = [
            [at.project_id, at.image_id, at.ordinal]
            for at in self._images.projects_of(tenant, uid)
            if not (at.is_live and self._is_younger(deletion, at.project_id, at.ordinal))
        ]
        predictions = []
        for project_id, id in self._predictions.mentions(tenant, uid):
            stands = self._predictions.get_many(tenant, project_id, [id])
            if not stands or stands[0].created_at <= str(deletion.marked_at):
                predictions.append([project_id, id])
        prefix = renditions.prefix_of(tenant, uid)
        is_erased = raw is None or raw.is_erased
        copies = [[prefix]] if is_erased and any(True for _ in self._artifacts.versions(prefix)) else []
        return {"images": images, "predictions": predictions, "renditions": copies}

    def _is_younger(self, deletion: Deletion, project_id: str, ordinal: int) -> bool:
        """Was this image put there after the erasure?"""
        rows = self._images.rows(deletion.tenant, project_id, [ordinal])
        return bool(rows) and rows[0].created_at > str(deletion.marked_at)

    def _erase_images(self, deletion: Deletion, found: Found) -> None:
        by_project: dict[str, list[int]] = defaultdict(list)
        for facts in found.values():
            for project_id, _, ordinal in facts["images"]:
                by_project[project_id].append(ordinal)
        for project_id, ordinals in by_project.items():
            rows = self._images.rows(deletion.tenant, project_id, sorted(ordinals))
            project = self._projects.get(deletion.tenant, project_id)
            if project is not None:
                self._tagging.clear(project, rows)
            else:  # the project is gone, and its index with it
                for row in rows:
                    self._images.remove(row)

    def _erase_snapshots(self, deletion: Deletion, found: Found) -> Iterator[dict[str, Any]]:
        """What iterations froze, and what they suggested for these images."""
        by_project: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for uid, facts in found.items():
            for project_id, image_id, ordinal in facts["images"]:
                by_project[project_id].append((uid, image_id, ordinal))
        for project_id, images in by_project.items():
            uids, ids, ordinals = zip(*images, strict=True)
            for iteration in self._iterations.of_project(deletion.tenant, project_id):
                said = self._suggestions.get_many(deletion.tenant, iteration.id, ids, consistent=True)
                self._suggestions.remove(list(said.values()))
                rows = self._snapshots.forget(iteration, set(uids), ordinals)
                if rows:
                    prefix = f"{deletion.tenant}/projects/{project_id}/iterations/{iteration.id}/"
                    yield _changed(prefix, rewritten=["snapshot"])

    def _erase_predictions(self, deletion: Deletion, found: Found) -> None:
        """The bytes first: a repeat finds the rest by the mention, which goes last."""
        for uid, facts in found.items():
            for project_id, id in facts["predictions"]:
                self._artifacts.purge(place_of(deletion.tenant, project_id, id))
                self._predictions.remove(self._predictions.get_many(deletion.tenant, project_id, [id]))
                self._predictions.unmention(deletion.tenant, uid, project_id, id)


def _removed(tenant: str, found: Mapping[str, Mapping[str, list[list[Any]]]]) -> list[dict[str, Any]]:
    """What went, by prefix, in the words of the receipt."""
    by_prefix: dict[str, set[str]] = defaultdict(set)
    for facts in found.values():
        for project_id, image_id, _ in facts["images"]:
            by_prefix[f"{tenant}/projects/{project_id}/images/"].add(image_id)
        for project_id, id in facts["predictions"]:
            by_prefix[place_of(tenant, project_id)].add(id)
        for (prefix,) in facts["renditions"]:
            by_prefix[prefix].add("*")
    return [_changed(prefix, removed=sorted(names)) for prefix, names in sorted(by_prefix.items())]


def _changed(prefix: str, rewritten: Iterable[str] = (), removed: Iterable[str] = ()) -> dict[str, Any]:
    return {"prefix": prefix, "rewritten": list(rewritten), "removed": list(removed), "old_versions_removed": 0}
