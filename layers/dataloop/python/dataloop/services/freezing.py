"""The steps of project_training: a workspace becomes annotations, a dataset version, a model (statemachines/README.md).

What is frozen are the rows that `freeze` reads: annotations, snapshot and counts come from them, nothing from later.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from dataloop.domain.annotations import Annotation, make_annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import MAX_LINK_IDS, DatasetVersion
from dataloop.domain.errors import InvalidInput, NotFound
from dataloop.domain.iterations import labels_of, split_of
from dataloop.domain.projects import ROWS_A_BLOCK, Image, Iteration, Project, Tag
from dataloop.domain.raw_data import RawData
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.iterations import IterationRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.building import BuildService
from dataloop.services.clock import Clock
from dataloop.services.curating import DatasetService
from dataloop.services.gathering import chunks
from dataloop.services.iterating import IterationService, iteration_of
from dataloop.services.learnt_content import LearntContent, block_digest, combined, tags_digest
from dataloop.services.projects import ProjectService
from dataloop.services.registering import ObjectNotice, RegistrationService
from dataloop.services.snapshots import BLOCKS_A_PART, Frozen, SnapshotService, folder_of
from dataloop.services.tracking import TaskService

# Annotations that are written side by side: a write waits for the network some milliseconds.
WRITERS = 8
# Annotations of one writer at a time; their edges go in calls of 25.
AT_A_TIME = 50
# An event's sequencer is larger: the record of an object that is registered before its event is replaced by it.
BEFORE_ANY_EVENT = "0"


class FreezingService:
    """Plan, freeze the parts, link and build. Every step may run twice, and a part beside itself."""

    def __init__(
        self,
        iterations: IterationRepository,
        iterating: IterationService,
        projects: ProjectService,
        content: LearntContent,
        images: ImageRepository,
        raw_data: RawDataRepository,
        registering: RegistrationService,
        annotations: AnnotationRepository,
        snapshots: SnapshotService,
        curating: DatasetService,
        building: BuildService,
        tasks: TaskService,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._iterations = iterations
        self._iterating = iterating
        self._projects = projects
        self._content = content
        self._images = images
        self._raw_data = raw_data
        self._registering = registering
        self._annotations = annotations
        self._snapshots = snapshots
        self._curating = curating
        self._building = building
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock

    def plan(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Decide which tags are learnt, under which names, and write a part for every 2,048 images."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "plan")
        # The request may have died before it wrote the iteration.
        iteration = self._iterating.begin(iteration_of(task))
        project = self._projects.get(tenant, iteration.project_id)
        root = root_of(iteration)
        if self._facts(f"{root}/plan.json") is None:  # what was decided once stays: parts may be at work by now
            learnt = set(iteration.info["learnt_tags"])
            tags = [tag for tag in self._projects.tags(project) if tag.id in learnt]
            plan = {"tags": [asdict(tag) for tag in tags], "versions": self._content.versions_digest(project, tags)}
            self._artifacts.put(f"{root}/plan.json", canonical_json(plan))
        last = self._images.last_ordinal(tenant, project.id)
        parts = -(-last // (BLOCKS_A_PART * ROWS_A_BLOCK))
        for part in range(parts):
            self._artifacts.put(f"{root}/parts/{part:05d}.json", canonical_json({"part": part}))
        self._tasks.note(task, phase="freeze", progress={"done": 0, "total": last, "unit": "image"})
        return {"bucket": self._artifacts.name, "parts_prefix": f"{root}/parts/", "parts": parts}

    def freeze(self, tenant: str, task_id: str, part_key: str) -> dict[str, Any]:
        """Freeze the images of one part: its annotations, its part of the snapshot, then what came of it.

        A part that was frozen before is left alone. Reads: 1 call a block of 256 images, 1 per 100 files. Writes: 3
        units and 1 call an annotation, 1 call per 25 edges, 5 PUTs.
        """
        task = self._tasks.read(tenant, task_id)
        iteration = self._stands(task)
        root, part = root_of(iteration), int(json.loads(self._artifacts.get(part_key))["part"])
        facts = self._facts(f"{root}/frozen/{part:05d}.json")
        if facts is not None:
            return {"images": facts["images"]}
        tags, left_out = self._tags(iteration), Counter[str]()
        images: list[Image] = []
        annotations: list[Annotation] = []
        digests: list[str] = []
        for block in range(part * BLOCKS_A_PART, (part + 1) * BLOCKS_A_PART):
            rows = sorted(self._images.block(tenant, iteration.project_id, block), key=lambda image: image.ordinal)
            images += rows
            annotations += self._annotated(iteration, rows, tags, left_out)
            digests.append(block_digest(rows, tags).hex())
        self._write(annotations)
        self._snapshots.write_part(iteration.snapshot, part, images)
        ids = "".join(f"{id}\n" for id in sorted({annotation.id for annotation in annotations}))
        self._artifacts.put(f"{root}/ids/{part:05d}.txt", ids.encode(), "text/plain")
        labels = Counter(name for annotation in annotations for name in annotation.label_names)
        facts = {
            "images": len(images),
            "annotated": len(annotations),
            "left_out": left_out,
            "labels": labels,
            "digests": digests,
        }
        # Last: a part that has it is done, and everything that it counts is there.
        self._artifacts.put(f"{root}/frozen/{part:05d}.json", canonical_json(facts))
        return {"images": len(images)}

    def _facts(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._artifacts.get(key))
        except NotFound:
            return None
        return found

    def _annotated(
        self, iteration: Iteration, images: Sequence[Image], tags: Mapping[str, Tag], left_out: Counter[str]
    ) -> Iterator[Annotation]:
        """What the tagged ones of some images say, as annotations whose ids are their content's."""
        task_type, now = str(iteration.info["task_type"]), self._clock.text()
        wanted = [image for image in images if not tags.keys().isdisjoint(image.all_tags)]
        raws = self._files(iteration.tenant, wanted)
        for image in wanted:
            raw = raws.get(image.uid)
            if raw is None or raw.facts is None or not raw.is_usable or not raw.facts.width or not raw.facts.height:
                left_out["without a sound file"] += 1
                continue
            labels = labels_of(task_type, image, tags, (raw.facts.width, raw.facts.height))
            if isinstance(labels, str):
                left_out[labels] += 1
                continue
            yield make_annotation(
                iteration.tenant, now, data_ids=[image.uid], type=task_type, labels=labels, method="manual"
            )

    def _files(self, tenant: str, images: Sequence[Image]) -> dict[str, RawData]:
        """The records of the images' files; those that are not there yet are made of the bytes at once."""
        found = self._raw_data.get_many(tenant, {image.uid for image in images}, consistent=True)
        late = [image for image in images if image.uid not in found or found[image.uid].facts is None]
        for image in late:
            self._registering.register_object(ObjectNotice(image.key, image.version_id, BEFORE_ANY_EVENT))
        return found | self._raw_data.get_many(tenant, {image.uid for image in late}, consistent=True)

    def _write(self, annotations: Sequence[Annotation]) -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(self._annotations.add, chunks(annotations, AT_A_TIME)):
                pass

    def link(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Finish the snapshot, link what was frozen to a new version of the project's dataset, and freeze that.

        Raises InvalidInput(images) when nothing can be learnt from.
        """
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "link")
        iteration = self._stands(task)
        project = self._projects.get(tenant, iteration.project_id)
        total = self._total(iteration)
        if not total["annotated"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(total["left_out"].items()))
            raise InvalidInput("images", f"no image can be learnt from ({reasons or 'there is none'})")
        frozen = self._snapshots.finish(iteration.snapshot, total["parts"])
        tags = self._tags(iteration)
        version = self._version(project, iteration, [total["labels"].get(tag.name, 0) for tag in tags.values()])
        if version.status == "DRAFT":
            for ids in chunks(self._ids(iteration), MAX_LINK_IDS):
                self._curating.add_segment(version, sorted(ids))
        self._note(iteration, version, tags, frozen, total)
        if project.dataset_id != version.dataset_id:
            self._projects.update(project, dataset_id=version.dataset_id)
        build_id = self._clock.decided_id(from_text(task.created_at), task.id, "build")
        self._building.request_build(tenant, version.id, task_id=build_id, parent_id=task.id)
        self._tasks.note(task, phase="build")
        return {"build": {"tenant": tenant, "task_id": build_id}, "build_name": f"build-{build_id}"}

    def _total(self, iteration: Iteration) -> dict[str, Any]:
        """What came of all parts together; digests in the order of the ordinals."""
        left_out, labels = Counter[str](), Counter[str]()
        digests: list[bytes] = []
        parts = annotated = 0
        for key, _ in self._artifacts.keys(f"{root_of(iteration)}/frozen/"):
            facts = json.loads(self._artifacts.get(key))
            left_out.update(facts["left_out"])
            labels.update(facts["labels"])
            digests += [bytes.fromhex(digest) for digest in facts["digests"]]
            parts, annotated = parts + 1, annotated + facts["annotated"]
        boxes = combined(digests)
        return {"parts": parts, "annotated": annotated, "left_out": left_out, "labels": labels, "boxes": boxes}

    def _ids(self, iteration: Iteration) -> Iterator[str]:
        """The annotations of all parts: memory of one part. An image is in a project once, so none comes twice."""
        for key, _ in self._artifacts.keys(f"{root_of(iteration)}/ids/"):
            yield from self._artifacts.get(key).decode().split()

    def _note(
        self,
        iteration: Iteration,
        version: DatasetVersion,
        tags: Mapping[str, Tag],
        frozen: Frozen,
        total: Mapping[str, Any],
    ) -> None:
        """What was frozen becomes part of the iteration: its tags with their counts, and digests to compare with."""
        counted = [asdict(tag) | {"image_count": frozen.tag_counts.get(tag.id, 0)} for tag in tags.values()]
        source = self._snapshots.open(iteration)
        learnt = {
            "tags": tags_digest(source, list(tags.values()), iteration.info),
            "boxes": total["boxes"],
            "versions": self._plan(iteration)["versions"],
        }
        self._iterations.note(
            iteration,
            self._clock.text(),
            version_id=version.id,
            tags=[
                {name: value for name, value in tag.items() if name not in ("tenant", "project_id")} for tag in counted
            ],
            info=dict(iteration.info) | {"learnt": learnt, "left_out": dict(total["left_out"])},
        )

    def _version(self, project: Project, iteration: Iteration, counts: Sequence[int]) -> DatasetVersion:
        """The draft of this iteration, below the project's dataset, whose name nobody else thinks of."""
        name = f"project {project.id}"
        info = {"annotationType": iteration.info["task_type"], "versionType": "train", "owner": project.name}
        return self._curating.create_version(
            project.tenant,
            name,
            f"Iteration {iteration.number}",
            split=split_of(counts, salt=project.id),
            info=info,
            version_id=self._clock.decided_id(from_text(iteration.created_at), iteration.id, "version"),
        )

    def _tags(self, iteration: Iteration) -> dict[str, Tag]:
        """The tags as they were when the freeze began, by id."""
        return {entry["id"]: Tag(**entry) for entry in self._plan(iteration)["tags"]}

    def _plan(self, iteration: Iteration) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._artifacts.get(f"{root_of(iteration)}/plan.json"))
        return found

    def _stands(self, task: Task) -> Iteration:
        """The iteration of a task. Raises NotFound when it was deleted."""
        given = iteration_of(task)
        found = self._iterations.find(task.tenant, given.project_id, given.id)
        if found is None or found.status == "DELETING":
            raise NotFound("iteration", given.id)
        return found


def root_of(iteration: Iteration) -> str:
    """Where a freeze keeps what passes between its steps; it goes with the iteration."""
    return f"{folder_of(iteration.tenant, iteration.project_id, iteration.id)}/freeze"
