"""The end of a deletion: what it touched is marked, what follows is proposed, and the receipt is issued."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.erasure import (
    RECEIPT_FORMAT,
    REMAINS,
    Deletion,
    Touch,
    sealed,
    touched_models,
    train_command,
)
from dataloop.domain.errors import NotFound
from dataloop.domain.models import Model, Release, ReleasePointer
from dataloop.gateways.objects import Bucket
from dataloop.repositories.erasures import ErasureRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository
from dataloop.services.clock import Clock

PAGE = 200


class ReceiptWriter:
    """A receipt is written once: a repeat finds it and says the same."""

    def __init__(
        self,
        erasures: ErasureRepository,
        models: ModelRepository,
        releases: ReleaseRepository,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._erasures = erasures
        self._models = models
        self._releases = releases
        self._artifacts = artifacts
        self._clock = clock

    def issue(self, deletion: Deletion, uids: Sequence[str], results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Mark models and releases, then write the receipt. Cost: all models of the tenant are listed."""
        key = f"{deletion.prefix}/receipt.json"
        try:
            earlier: dict[str, Any] = json.loads(self._artifacts.get(key))
        except NotFound:
            pass
        else:
            return earlier
        removed = merged(results)
        touches = touched_models(self._all_models(deletion.tenant), _erased_by_version(removed["versions"]))
        releases = [
            (touch, release)
            for touch in touches
            for release in self._releases.of_model(deletion.tenant, touch.model.id)
        ]
        for touch in touches:
            self._erasures.touch_model(touch.model, deletion.id, _facts(deletion, touch))
        for touch, release in releases:
            self._erasures.touch_release(release, deletion.id, _facts(deletion, touch))
        verified = removed.pop("verified")
        receipt = sealed(
            {
                "format": RECEIPT_FORMAT,
                "deletion_id": deletion.id,
                "tenant": deletion.tenant,
                "reason": deletion.reason,
                "requested_by": deletion.requested_by,
                "policy_id": deletion.policy_id,
                "late_of": deletion.late_of,
                "requested_at": deletion.created_at,
                "marked_at": deletion.marked_at,
                "finished_at": self._clock.text(),
                "images": list(uids),
                "unknown": list(deletion.unknown),
                "erased_before": dict(deletion.already),
                "removed": removed,
                "verified": verified,
                "models": [_model_entry(touch) for touch in touches],
                "releases": [
                    {
                        "release_id": release.id,
                        "name": release.name,
                        "number": release.number,
                        "model_id": touch.model.id,
                    }
                    for touch, release in releases
                ],
                "proposals": self._proposals(deletion.tenant, touches, [release for _, release in releases]),
                "remains": [{"what": what, "why": why, "until": until} for what, why, until in REMAINS],
            }
        )
        self._artifacts.put(key, canonical_json(receipt))
        return receipt

    @staticmethod
    def summary(receipt: Mapping[str, Any]) -> dict[str, int]:
        """The numbers of a receipt."""
        removed = receipt["removed"]
        return {
            "images": len(receipt["images"]),
            "object_versions": len(removed["object_versions"]),
            "annotations": len(removed["annotations"]),
            "versions": len(removed["versions"]),
            "copies": sum(len(entry["rewritten"]) + len(entry["removed"]) for entry in removed["copies"]),
            "models": len(receipt["models"]),
            "proposals": len(receipt["proposals"]),
        }

    def _all_models(self, tenant: str) -> list[Model]:
        found: list[Model] = []
        cursor: str | None = None
        while True:
            page, cursor = self._models.page(tenant, limit=PAGE, cursor=cursor)
            found += page
            if cursor is None:
                return found

    def _proposals(self, tenant: str, touches: Sequence[Touch], releases: Sequence[Release]) -> list[dict[str, Any]]:
        """Roll back to the newest release whose model never saw the images; train again on what is left; judge again."""
        learnt = {touch.model.id: touch for touch in touches if touch.how != "judged"}
        found: list[dict[str, Any]] = []
        for name in sorted({release.name for release in releases if release.model_id in learnt}):
            pointer = self._releases.pointer(tenant, name)
            if pointer is not None and pointer.model_id in learnt:
                found.append(self._roll_back(tenant, name, pointer, set(learnt)))
        for touch in touches:
            if touch.model.status != "COMPLETED":
                continue
            if touch.how == "judged":
                command = f"dataloop evaluate {touch.model.id} {touch.version_id}"
                what = {"action": "evaluate", "why": "its numbers were measured on deleted images, too"}
            else:
                command = train_command(touch)
                what = {"action": "retrain", "why": f"it {touch.how} from deleted images"}
            found.append({**what, "model_id": touch.model.id, "command": command})
        return found

    def _roll_back(self, tenant: str, name: str, pointer: ReleasePointer, learnt: set[str]) -> dict[str, Any]:
        """The newest release of a name by a model that never saw the images, if there is one."""
        proposal = {"action": "roll_back", "release": name, "from_release_id": pointer.release_id}
        published, _ = self._releases.page(tenant, limit=PAGE, cursor=None, name=name)
        clean = [entry for entry in published if entry.status == "PUBLISHED" and entry.model_id not in learnt]
        if not clean:
            why = "no earlier release of this name is by a model that never saw the images: train again"
            return proposal | {"to_release_id": None, "model_id": None, "command": None, "why": why}
        to = clean[0]
        is_next = to.id == pointer.previous_release_id
        command = f"dataloop rollback {name}" if is_next else f"dataloop release {to.model_id} --name {name}"
        why = "the newest release by a model that never saw the images"
        return proposal | {"to_release_id": to.id, "model_id": to.model_id, "command": command, "why": why}


def merged(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all parts of both passes did, each thing once."""
    objects: dict[tuple[str, str], Any] = {}
    annotations: dict[tuple[str, str], Any] = {}
    versions: dict[str, Any] = {}
    copies: dict[str, Any] = {}
    verified: dict[str, int] = {}
    tasks = queries = 0
    for done in results:
        for uid, facts in done.get("records", {}).items():
            for place in facts["objects"]:
                objects[place["key"], place["version_id"]] = place | {"uid": uid}
            annotations |= {(id, uid): {"annotation_id": id, "uid": uid} for id in facts["annotations"]}
        for entry in done.get("changed", []):
            if "version_id" in entry:
                versions[entry["version_id"]] = entry
            else:
                known = copies.setdefault(entry["prefix"], {"rewritten": set(), "removed": set(), "old": 0})
                known["rewritten"] |= set(entry["rewritten"])
                known["removed"] |= set(entry["removed"])
                known["old"] += entry["old_versions_removed"]
        tasks += done.get("tasks", 0)
        queries += done.get("queries", 0)
        for name, count in done.get("verified", {}).items():
            verified[name] = verified.get(name, 0) + count
    return {
        "object_versions": [objects[place] for place in sorted(objects)],
        "annotations": [annotations[id] for id in sorted(annotations)],
        "versions": [versions[id] for id in sorted(versions)],
        "copies": [
            {
                "prefix": prefix,
                "rewritten": sorted(entry["rewritten"]),
                "removed": sorted(entry["removed"]),
                "old_versions_removed": entry["old"],
            }
            for prefix, entry in sorted(copies.items())
        ],
        "tasks_rewritten": tasks,
        "queries_removed": queries,
        "verified": verified,
    }


def _erased_by_version(versions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    return {entry["version_id"]: {split: len(uids) for split, uids in entry["images"].items()} for entry in versions}


def _facts(deletion: Deletion, touch: Touch) -> dict[str, Any]:
    return {"how": touch.how, "splits": dict(touch.splits), "version_id": touch.version_id, "at": deletion.marked_at}


def _model_entry(touch: Touch) -> dict[str, Any]:
    model = touch.model
    named = {"model_id": model.id, "name": model.name, "version": model.version}
    return named | {"how": touch.how, "dataset_id": touch.version_id, "splits": dict(touch.splits)}
