"""Suggestions: a teacher model's predictions become annotations of the method `auto`, with its name and version."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataloop.catalog import task_types
from dataloop.domain.analyses import label_state, suggested_labels
from dataloop.domain.annotations import SUGGESTION, Annotation, make_annotation
from dataloop.domain.errors import InvalidInput
from dataloop.domain.models import Model
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.services.clock import Clock
from dataloop.services.gathering import GatheringService, chunks

# One call writes the edges of so many annotations.
EDGES = 25


@dataclass(frozen=True, slots=True)
class Teacher:
    """Whose suggestions they are, and of which type."""

    tenant: str
    name: str
    version: str
    annotation_type: str

    def speaks_of(self, kind: str) -> bool:
        return task_types.teaches(self.annotation_type, kind)

    def says(
        self, at: str, uid: str, labels: Iterable[Mapping[str, Any]], said: Iterable[Annotation]
    ) -> Annotation | None:
        """The statement about one image; said: all that is said of it already.

        A teacher has one word per image: the new one supersedes its last. The same word again is that very
        annotation. None when it says nothing and never said anything.
        """
        own = [each for each in said if each.is_suggestion and each.model_name == self.name]
        own = [each for each in own if self.speaks_of(each.type)]
        replaced = {each.supersedes for each in own}
        standing = sorted(
            (each for each in own if each.id not in replaced), key=lambda each: (each.created_at, each.id)
        )
        found = list(labels)
        if not standing:
            return self._statement(at, uid, found, None) if found else None
        last = standing[-1]
        again = self._statement(at, uid, found, last.supersedes)
        return last if again.id == last.id else self._statement(at, uid, found, last.id)

    def _statement(self, at: str, uid: str, labels: list[Mapping[str, Any]], supersedes: str | None) -> Annotation:
        return make_annotation(
            self.tenant,
            at,
            data_ids=[uid],
            type=self.annotation_type,
            labels=labels,
            method=SUGGESTION,
            model_name=self.name,
            model_version=self.version,
            supersedes=supersedes,
        )


class SuggestionService:
    """Registers suggestions; ids come from content, so a repeat after a crash writes what is missing and no more."""

    def __init__(
        self, annotations: AnnotationRepository, gathering: GatheringService, artifacts: Bucket, clock: Clock
    ) -> None:
        self._annotations = annotations
        self._gathering = gathering
        self._artifacts = artifacts
        self._clock = clock

    def register(
        self,
        tenant: str,
        model: Model,
        predictions_key: str,
        images_key: str,
        *,
        min_score: float,
        include_labelled: bool,
    ) -> dict[str, Any]:
        """Read the job's predictions and register those that reach min_score.

        Images that people have labelled meanwhile are left alone, unless include_labelled. Cost: per image 2 calls to
        read what is said of it, 1 to write the statement, and 1 call per 25 edges.
        """
        sizes = {row["uid"]: (row["width"], row["height"]) for row in self._rows(images_key)}
        kind = task_types.by_name(model.task_type)
        if kind is None:
            raise InvalidInput("task_type", "is unknown to this release", model.task_type)
        teacher = Teacher(tenant, model.name, model.version, kind.annotation_types[0])
        counts: Counter[str] = Counter(annotations=0, without_suggestion=0, labelled_meanwhile=0, failed=0)
        labels: Counter[str] = Counter()
        for rows in chunks(self._rows(predictions_key), EDGES):
            statements = []
            erased = self._annotations.erased_among(tenant, {row["uid"] for row in rows})
            for row in rows:
                uid = row["uid"]
                if uid in erased:
                    counts["erased"] += 1
                    continue
                if uid not in sizes:
                    raise InvalidInput("predictions.jsonl", "names an image that was not asked for", uid)
                if "predictions" not in row:  # the job could not use the image; predictions.jsonl says why
                    counts["failed"] += 1
                    continue
                said = self._gathering.said_of(tenant, uid)
                if not include_labelled and label_state(said, teacher.speaks_of) == "labelled":
                    counts["labelled_meanwhile"] += 1
                    continue
                # Every label has a probability; only the likeliest is a suggestion where an image has just one.
                likely = row["predictions"][:1] if kind.one_label else row["predictions"]
                found = suggested_labels(likely, sizes[uid], min_score)
                statement = teacher.says(self._clock.text(), uid, found, said)
                if statement is None:
                    counts["without_suggestion"] += 1
                    continue
                statements.append(statement)
                labels.update(label["label"] for label in found)
            if statements:
                self._annotations.add(statements)
                counts["annotations"] += len(statements)
        named = {"model_id": model.id, "model_name": model.name, "model_version": model.version}
        return named | dict(counts) | {"labels": dict(labels)}

    def _rows(self, key: str) -> Iterable[dict[str, Any]]:
        return (json.loads(line) for line in self._artifacts.lines(key) if line)
