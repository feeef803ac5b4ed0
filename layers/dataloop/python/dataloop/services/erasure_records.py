"""Erases what a record stands for: every object version with its bytes, its annotations, and what the record says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.erasure import Deletion
from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.ids import uid_of
from dataloop.domain.times import from_text, to_text
from dataloop.gateways.erasable import ErasableBucket
from dataloop.gateways.objects import ListedVersion
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.erasures import ErasureRepository
from dataloop.repositories.postings import postings_of
from dataloop.services.clock import Clock

Found = dict[str, Any]


class RecordEraser:
    """What is found is written down before anything goes: a repeat after a crash knows what there was."""

    def __init__(
        self,
        erasures: ErasureRepository,
        annotations: AnnotationRepository,
        raw: ErasableBucket,
        artifacts: ErasableBucket,
        clock: Clock,
    ) -> None:
        self._erasures = erasures
        self._annotations = annotations
        self._raw = raw
        self._artifacts = artifacts
        self._clock = clock

    def erase(self, deletion: Deletion, uids: Iterable[str], found_key: str) -> Found:
        """Remove what these records stand for. Returns what was found, by uid, removed or not to be found any more.

        Cost per image and place: 2 listings, a HEAD for each version, 1 removal; 3 calls for each annotation.
        """
        found = self._look(deletion, list(uids), found_key)
        for uid, facts in found.items():
            self._raw.remove((place["key"], place["version_id"]) for place in facts["objects"])
            for key in facts["keys"]:
                left = self._raw.versions_of(key)
                if left and all(entry.is_marker for entry in left):
                    self._raw.remove((key, entry.version_id) for entry in left)
                for upload in self._raw.unfinished_uploads(key):
                    if upload.begun_at <= facts["erased_at"]:
                        self._raw.abort(upload)
            for annotation_id in facts["annotations"]:
                self._forget_annotation(deletion.tenant, annotation_id, uid)
            self._erasures.forget(deletion.tenant, uid, self._clock.text())
        return found

    def _forget_annotation(self, tenant: str, annotation_id: str, uid: str) -> None:
        """What the search finds it by goes first, then a body that was spilt, then the item that names them.

        A repeat that finds no body has removed the search's items before.
        """
        with suppress(NotFound):
            annotation = self._annotations.get(tenant, annotation_id)
            if annotation is not None:
                self._erasures.forget_items(postings_of(annotation, [uid]))
        if self._erasures.speaks_only_of(tenant, annotation_id, uid):
            self._artifacts.purge(f"{tenant}/annotations/{annotation_id}.json")
        self._erasures.forget_annotation(tenant, annotation_id, uid)

    def verify(self, deletion: Deletion, found: Found) -> dict[str, int]:
        """Look again for everything that was found. Raises Unavailable when something is still there.

        Returns how many things were looked for: object versions (HEAD), places (listing), annotations (read).
        """
        counts = {"object_versions": 0, "places": 0, "annotations": 0, "records": 0}
        records = self._erasures.records(deletion.tenant, found)
        for uid, facts in found.items():
            for place in facts["objects"]:
                if self._raw.head(place["key"], place["version_id"]) is not None:
                    raise Unavailable(f"object version {place['key']} {place['version_id']} is still there")
                counts["object_versions"] += 1
            for key in facts["keys"]:
                if self._versions(key, uid, facts["erased_at"], set()):
                    raise Unavailable(f"a copy is still at {key}")
                counts["places"] += 1
            for annotation_id in facts["annotations"]:
                raw = records.get(uid)
                is_new_life = raw is not None and raw.erased_at is not None and not raw.is_erased
                if not is_new_life and self._erasures.speaks_of(deletion.tenant, annotation_id, uid):
                    raise Unavailable(f"annotation {annotation_id} is still there")
                counts["annotations"] += 1
            raw = records.get(uid)
            if raw is not None and raw.is_erased and (raw.facts or raw.meta or raw.locations):
                raise Unavailable(f"the record of {uid} still says something")
            counts["records"] += 1
        return counts

    def _look(self, deletion: Deletion, uids: list[str], found_key: str) -> Found:
        """What is there now, and what an earlier try found. Durable when it returns."""
        found: Found = self._earlier(found_key)
        records = self._erasures.records(deletion.tenant, uids)
        for uid in uids:
            raw = records.get(uid)
            if raw is None or raw.erased_at is None:
                continue
            facts = found.setdefault(uid, {"objects": [], "keys": [], "annotations": [], "erased_at": raw.erased_at})
            old = [at for at in raw.locations if not raw.is_after_erasure(at)]
            facts["keys"] = sorted({*facts["keys"], *(at.key for at in old)})
            known = {(at.key, at.version_id) for at in old} | {(at["key"], at["version_id"]) for at in facts["objects"]}
            places = {(at["key"], at["version_id"]): at for at in facts["objects"]}
            for key in facts["keys"]:
                for entry in self._versions(key, uid, facts["erased_at"], known):
                    place = {"bucket": self._raw.name, "key": key, "version_id": entry.version_id}
                    places[key, entry.version_id] = place | {"size_bytes": entry.size_bytes}
            facts["objects"] = [places[place] for place in sorted(places)]
            if raw.is_erased:
                facts["annotations"] = sorted({*facts["annotations"], *self._erasures.edges(deletion.tenant, uid)})
        self._artifacts.put(found_key, canonical_json(found))
        return found

    def _earlier(self, found_key: str) -> Found:
        try:
            earlier: Found = json.loads(self._artifacts.get(found_key))
        except NotFound:
            return {}
        return earlier

    def _versions(self, key: str, uid: str, until: str, known: set[tuple[str, str]]) -> list[ListedVersion]:
        """The versions of a key that hold this content and came before the erasure; known: need not be read."""
        return [
            entry
            for entry in self._raw.versions_of(key)
            if not entry.is_marker
            and to_text(from_text(entry.modified)) <= until
            and ((key, entry.version_id) in known or self._uid_of(key, entry.version_id) == uid)
        ]

    def _uid_of(self, key: str, version_id: str) -> str | None:
        """By the checksum that S3 keeps, else by reading the bytes. 1 HEAD, and a GET where S3 keeps none."""
        stored = self._raw.head(key, version_id)
        if stored is None:
            return None
        if stored.sha256:
            return uid_of(stored.sha256)
        hasher = hashlib.sha256()
        _, stream = self._raw.open(key, version_id)
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
        return uid_of(hasher.hexdigest())
