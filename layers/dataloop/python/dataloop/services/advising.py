"""Which parameters to train a version with, and why: facts are read from the version, rules are pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from statistics import median_low, quantiles
from typing import Any

from dataloop.catalog import instances, task_types
from dataloop.domain.analyses import check_whole
from dataloop.domain.annotations import SUGGESTION
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import InvalidInput
from dataloop.domain.recommendation import Facts, recommend
from dataloop.gateways.objects import Bucket
from dataloop.services.training import TrainingService
from dataloop.settings import Settings

# Rows are in order of uids, which are digests: the first ones are a sample, read within a request's time.
SAMPLE_ROWS = 2_000


class AdviceService:
    """`advise` starts nothing and keeps nothing."""

    def __init__(self, training: TrainingService, artifacts: Bucket, settings: Settings) -> None:
        self._training = training
        self._artifacts = artifacts
        self._settings = settings

    def advise(self, tenant: str, version_id: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with reasons for a READY version; wish: task_type, instance, batch_size, parent_model_id.

        instance: a SageMaker instance type, by default the one this deployment trains on. Cost: 1 read, 1 GET.
        Raises NotFound, IllegalTransition (not built), InvalidInput.
        """
        version, kind = self._training.trainable(tenant, version_id, wish.get("task_type"))
        machine = self._instance(wish.get("instance"))
        batch = wish.get("batch_size")
        parent = wish.get("parent_model_id")
        if parent is not None:
            self._training.parent(tenant, parent)
        facts = Facts(
            task_type=kind,
            validation_images=int(version.report["counts"]["val"]),
            memory_bytes=machine.memory_bytes if machine else None,
            gpus=machine.gpus if machine else 0,
            is_warm=parent is not None,
            batch_size=None if batch is None else check_whole(batch, "batch_size", 1, 1024),
            **self._learnt_from(version, kind),
        )
        found = recommend(facts)
        return {
            "task_type": kind,
            "instance": machine.name if machine else None,
            "parameters": dict(found.parameters),
            "reasons": [asdict(reason) for reason in found.reasons],
            "steps_per_epoch": found.steps_per_epoch,
            "steps": found.steps,
        }

    def _instance(self, wished: object) -> instances.Instance | None:
        found = instances.by_name(self._settings.training_instance if wished is None else wished)
        if found is None and wished is not None:
            names = ", ".join(entry.name for entry in instances.INSTANCES)
            raise InvalidInput("instance", f"is not one whose memory is known here: {names}", wished)
        return found

    def _learnt_from(self, version: DatasetVersion, kind: str) -> dict[str, Any]:
        """images, labels, longest_side and object_side of the training split, from its first rows."""
        images = int(version.report["counts"]["train"])
        lines = self._artifacts.lines(f"{version.manifest_prefix}/train.jsonl") if images else iter(())
        rows = [json.loads(line) for line in islice(lines, SAMPLE_ROWS)]
        labels: Counter[str] = Counter()
        sides: list[float] = []
        for row in rows:
            found = list(_labels(row))
            labels.update({label["label"] for label in found})
            sides += [_side(label["box"], row) for label in found if label.get("box")]
        share = images / len(rows) if rows else 1.0
        type_ = task_types.by_name(kind)
        return {
            "images": images,
            "labels": {name: round(count * share) for name, count in sorted(labels.items())},
            "longest_side": median_low([max(row["width"], row["height"]) for row in rows]) if rows else None,
            "object_side": _smallest(sides) if type_ is not None and type_.needs != "nothing" else None,
        }


def _labels(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What an image shows as a training sees it: people's word where there is any, else suggestions."""
    people = [entry for entry in row["annotations"] if entry["method"] != SUGGESTION]
    for annotation in people or row["annotations"]:
        yield from annotation["labels"]


def _side(box: Sequence[float], row: Mapping[str, Any]) -> float:
    """The side of a square as large as the box, as a share of the image's longer side."""
    area = box[2] * row["width"] * box[3] * row["height"]
    return float(area**0.5 / max(row["width"], row["height"]))


def _smallest(sides: Sequence[float]) -> float | None:
    """The 10th percentile."""
    if not sides:
        return None
    return sides[0] if len(sides) == 1 else max(1e-6, quantiles(sides, n=10, method="inclusive")[0])
