"""Retraining without a call: absorb new labels, decide, and the steps of retrain_loop (design §6.4)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from dataloop.catalog.task_types import teaches
from dataloop.domain.annotations import Annotation
from dataloop.domain.datasets import DatasetVersion, Segment, check_name
from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from dataloop.domain.promotion import make_gate
from dataloop.domain.residency import Residency
from dataloop.domain.retraining import Decision, Evidence, Loop, Thresholds, decide, make_query, make_thresholds
from dataloop.domain.splits import SplitPolicy
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text, to_text
from dataloop.domain.training_parameters import check_parameters
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.loops import LoopRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.curating import DatasetService
from dataloop.services.releasing import ReleaseService
from dataloop.services.split_lists import read_policy
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# Longer than any run: eight days of waiting for spot capacity, seven for an approval. A lock whose run has ended is taken
# over at once, so this only bounds what nobody foresaw.
LOCK_SECONDS = 30 * 24 * 3600
TRAINING_FIELDS = ("task_type", "architecture", "parameters", "warm_start")


class LoopService:
    """Events only wake the check; what is new is counted from the segments themselves, so nothing can drift."""

    def __init__(
        self,
        loops: LoopRepository,
        datasets: DatasetRepository,
        curating: DatasetService,
        annotations: AnnotationRepository,
        raw_data: RawDataRepository,
        releases: ReleaseService,
        tasks: TaskService,
        artifacts: Bucket,
        clock: Clock,
        defaults: Thresholds,
        residency: Residency,
    ) -> None:
        self._loops = loops
        self._datasets = datasets
        self._curating = curating
        self._annotations = annotations
        self._raw_data = raw_data
        self._releases = releases
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock
        self._defaults = defaults
        self._residency = residency

    def create(self, tenant: str, body: object, loop_id: str | None = None) -> Loop:
        """A standing order in the client's words. Raises InvalidInput, Conflict (name taken).

        Its past is the champion of the release name, if there is one: that model's dataset version counts as learnt,
        and its test split becomes the frozen test set.
        """
        if not isinstance(body, Mapping):
            raise InvalidInput("loop", "must be an object")
        name = check_name(body.get("name"), "name")
        dataset_name = check_name(body.get("dataset_name"), "dataset_name")
        release_name = check_name(body.get("release_name", name), "release_name")
        training = body.get("training") or {}
        if not isinstance(training, Mapping) or set(training) - set(TRAINING_FIELDS):
            raise InvalidInput(
                "training", f"must be an object with fields out of {', '.join(TRAINING_FIELDS)}", training
            )
        check_parameters(training.get("parameters"))
        require_approval = body.get("require_approval", False)
        if not isinstance(require_approval, bool):
            raise InvalidInput("require_approval", "must be true or false", require_approval)
        split = read_policy(self._artifacts, tenant, body.get("split"), salt=dataset_name)
        learnt = self._learnt(tenant, dataset_name, release_name)
        dataset = self._datasets.find_dataset(tenant, dataset_name)
        query = make_query(body.get("query"))
        # What its versions are about decides what is trained from them.
        learnt_type = learnt.info.get("annotationType") if learnt else None
        annotation_type = body.get("annotation_type") or learnt_type or query.annotation_type
        loop = Loop(
            tenant=tenant,
            id=loop_id or self._clock.new_id(),
            name=name,
            dataset_id=dataset.id if dataset else "",
            dataset_name=dataset_name,
            query=query,
            thresholds=make_thresholds(body.get("thresholds"), self._defaults),
            gate=make_gate(body.get("gate")),
            training=dict(training),
            release_name=release_name,
            created_at=self._clock.text(),
            require_approval=require_approval,
            test_version_id=learnt.id if learnt else None,
            trained_version_id=learnt.id if learnt else None,
            info={
                "split": asdict(learnt.split if learnt else split),
                "annotationType": annotation_type,
                "residency": self._residency.check(body.get("residency"), "residency"),
            },
        )
        return self._loops.create(loop)

    def _learnt(self, tenant: str, dataset_name: str, release_name: str) -> DatasetVersion | None:
        champion = self._releases.champion(tenant, release_name)
        if champion is None or champion.dataset["name"] != dataset_name:
            return None
        return self._datasets.get_version(tenant, str(champion.dataset["version_id"]))

    def get(self, tenant: str, loop_id: str) -> Loop:
        """Raises NotFound."""
        return self._loops.get(tenant, loop_id)

    def of_tenant(self, tenant: str) -> list[Loop]:
        return self._loops.of_tenant(tenant)

    def decisions(self, tenant: str, loop_id: str) -> list[dict[str, Any]]:
        """The newest decisions with their reasons."""
        return self._loops.decisions(tenant, loop_id)

    def absorb(self, tenant: str, annotation_ids: Sequence[str]) -> list[Loop]:
        """Append the matching annotations to each loop's draft; returns the loops that took some.

        At-least-once is enough: a draft's membership is a set.
        """
        loops = self._loops.of_tenant(tenant)
        if not loops:
            return []
        annotations = list(self._annotations.get_many(tenant, annotation_ids, consistent=True).values())
        raws: Mapping[str, Any] = {}
        if any(loop.query.needs_metadata for loop in loops):
            raws = self._raw_data.get_many(tenant, {uid for entry in annotations for uid in entry.data_ids})
        touched = []
        has_suggestions = any(entry.is_suggestion for entry in annotations)
        for loop in loops:
            champion = self._releases.champion(tenant, loop.release_name) if has_suggestions else None
            name = champion.name if champion else None
            ids = sorted(entry.id for entry in annotations if self._matches(loop, entry, raws, name))
            if ids:
                self._append(loop, ids)
                touched.append(loop)
        return touched

    def absorb_files(self, tenant: str, uids: Sequence[str]) -> list[Loop]:
        """Raw data was completed: annotations that came before their metadata may match only now."""
        if not any(loop.query.needs_metadata for loop in self._loops.of_tenant(tenant)):
            return []
        ids = {id for uid in uids for id in self._raw_data.annotation_ids(tenant, uid)}
        return self.absorb(tenant, sorted(ids)) if ids else []

    @staticmethod
    def _matches(loop: Loop, annotation: Annotation, raws: Mapping[str, Any], champion: str | None) -> bool:
        return any(loop.learns_from(annotation, raws.get(uid), teaches, champion) for uid in annotation.data_ids)

    def _append(self, loop: Loop, ids: Sequence[str]) -> None:
        """Link into the draft; when the draft is frozen meanwhile, into the next one."""
        for _ in range(5):
            draft = self._draft(loop)
            try:
                self._curating.add_segment(draft, ids)
                return
            except IllegalTransition:
                loop = self._loops.get(loop.tenant, loop.id)
        raise Conflict("draft of loop", loop.name)

    def _draft(self, loop: Loop) -> DatasetVersion:
        """The version that new annotations go to, made when there is none; it starts with all that the last one had."""
        last = self._datasets.get_version(loop.tenant, loop.draft_version_id) if loop.draft_version_id else None
        if last is not None and last.status == "DRAFT":
            return last
        number = loop.draft_number + 1
        before_id = loop.draft_version_id or loop.trained_version_id
        id = self._clock.decided_id(from_text(loop.created_at), "draft", loop.id, number)
        draft = self._make_draft(loop, number, id, before_id)
        self._carry_over(loop, draft, before_id)
        stands = self._loops.set_draft(loop, draft.id, number)
        found = self._datasets.get_version(loop.tenant, str(stands.draft_version_id))
        return found or draft

    def _make_draft(self, loop: Loop, number: int, id: str, before_id: str | None) -> DatasetVersion:
        split = SplitPolicy(**loop.info["split"])
        info = {"annotationType": loop.info.get("annotationType") or "", "versionType": "train", "owner": loop.name}
        version = f"auto-{number}"
        for suffix in ("", *(f"-{letter}" for letter in "bcdefgh")):
            try:
                return self._curating.create_version(
                    loop.tenant,
                    loop.dataset_name,
                    version + suffix,
                    split=split,
                    info=info,
                    version_id=id,
                    base_version_id=before_id,
                    residency=loop.info.get("residency"),
                )
            except Conflict:
                continue  # a person took this version's name
        raise Conflict("dataset version", f"{loop.dataset_name} {version}")

    def _carry_over(self, loop: Loop, draft: DatasetVersion, before_id: str | None) -> None:
        """The members so far: one base segment of what was learnt, and the segments that no model has learnt."""
        if before_id is None:
            return
        learnt = self._datasets.get_version(loop.tenant, loop.trained_version_id) if loop.trained_version_id else None
        if learnt is not None and learnt.manifest_prefix:
            self._datasets.add_segment(loop.tenant, self._base_segment(draft, learnt))
        if before_id != loop.trained_version_id:
            for segment in self._datasets.segments(loop.tenant, before_id):
                if not segment.is_base:
                    self._datasets.add_segment(loop.tenant, replace(segment, version_id=draft.id))

    def _base_segment(self, draft: DatasetVersion, learnt: DatasetVersion) -> Segment:
        return Segment(
            version_id=draft.id,
            id=f"base-{learnt.id}",
            key=f"{learnt.manifest_prefix}/members.txt",
            count=sum(learnt.report.get("counts", {}).values()),
            created_at=learnt.created_at,
            is_base=True,
        )

    def evidence(self, loop: Loop, now: datetime) -> Evidence:
        """Count what the draft holds that the last trained version does not. Reads the segments in S3."""
        new: dict[str, str] = {}
        if loop.draft_version_id:
            for segment in self._datasets.segments(loop.tenant, loop.draft_version_id):
                if not segment.is_base:
                    for line in self._artifacts.lines(segment.key):
                        id = line.decode()
                        new[id] = min(new.get(id, segment.created_at), segment.created_at)
        learnt = self._datasets.get_version(loop.tenant, loop.trained_version_id) if loop.trained_version_id else None
        size = 0
        if learnt is not None and learnt.manifest_prefix:
            for line in self._artifacts.lines(f"{learnt.manifest_prefix}/members.txt"):
                size += 1
                new.pop(line.decode(), None)
        return Evidence(
            new_labelled=len(new),
            last_train_size=size,
            oldest_unlearnt=from_text(min(new.values())) if new else None,
            last_start=from_text(loop.last_started_at) if loop.last_started_at else None,
            active_loop=self._running(loop, now) is not None,
            failures=loop.failures,
        )

    def _at_most(self, loop: Loop, now: datetime) -> Evidence:
        """The most that could be new, from the segments' counts alone: 1–2 calls instead of reading every segment.

        The policy is monotone in what is new, so when it waits on this it would wait on the truth.
        """
        segments = list(self._datasets.segments(loop.tenant, loop.draft_version_id)) if loop.draft_version_id else []
        new = [segment for segment in segments if not segment.is_base]
        return Evidence(
            new_labelled=sum(segment.count for segment in new),
            last_train_size=0,
            oldest_unlearnt=from_text(min(segment.created_at for segment in new)) if new else None,
            last_start=from_text(loop.last_started_at) if loop.last_started_at else None,
            active_loop=self._running(loop, now) is not None,
            failures=loop.failures,
        )

    def _running(self, loop: Loop, now: datetime) -> str | None:
        """The task of the run that holds the lock, unless that run has ended without giving it back."""
        owner = self._loops.lock_owner(loop.tenant, f"loop#{loop.id}", now)
        try:
            return None if owner is None or self._tasks.read(loop.tenant, owner).is_ended else owner
        except NotFound:
            return None

    def consider(
        self, tenant: str, loop_id: str, forced: bool = False, exact: bool = False
    ) -> tuple[Decision, Task | None]:
        """Decide, and start a run when the policy says so. Everybody who decides so at once starts the same run."""
        loop = self._loops.get(tenant, loop_id)
        now = self._clock.now()
        decision = decide(now, loop.thresholds, self._at_most(loop, now), forced)
        if decision.start or exact:
            decision = decide(now, loop.thresholds, self.evidence(loop, now), forced)
        if not decision.start:
            return decision, None
        id = self._run_id(loop)
        parameters = {"loop_id": loop.id, "loop_name": loop.name, "forced": forced}
        task = self._tasks.create(tenant, "loop", f"Loop#{loop.id}", parameters, id=id)
        return decision, self._tasks.start(task)

    def _run_id(self, loop: Loop) -> str:
        """Everybody who starts a run of this draft now gives it the same id; a run that has ended has used its id up."""
        for attempt in range(1000):
            facts = ("run", loop.id, loop.draft_version_id, loop.failures, attempt)
            id = self._clock.decided_id(from_text(loop.created_at), *facts)
            try:
                if not self._tasks.read(loop.tenant, id).is_ended:
                    return id
            except NotFound:
                return id
        raise Conflict("run of loop", loop.name)

    def run_once(self, tenant: str, loop_id: str, forced: bool) -> Task:
        """A client's start. Raises IllegalTransition with the policy's reason when it says wait."""
        decision, task = self.consider(tenant, loop_id, forced, exact=True)
        if task is None:
            raise IllegalTransition("loop", loop_id, f"waiting ({decision.reason})", "a run")
        return task

    def wake(self, tenant: str) -> list[tuple[str, Decision]]:
        """The safety net: consider every loop of a tenant."""
        return [(loop.id, self.consider(tenant, loop.id)[0]) for loop in self._loops.of_tenant(tenant)]

    def lock(self, loop: Loop, task: Task) -> bool:
        """One run at a time; the lock belongs to the run's task. The lock of a run that has ended is taken over."""
        what, now = f"loop#{loop.id}", self._clock.now()
        owner = self._loops.lock_owner(loop.tenant, what, now)
        if owner is not None and owner != task.id and self._running(loop, now) is None:
            self._loops.unlock(loop.tenant, what, owner)
        return self._loops.lock(loop.tenant, what, task.id, now, LOCK_SECONDS)

    def unlock(self, loop: Loop, task: Task) -> None:
        self._loops.unlock(loop.tenant, f"loop#{loop.id}", task.id)

    def decision_under_lock(self, loop: Loop, forced: bool) -> Decision:
        """The same decision again, now that nobody else can start; our own lock does not count as an active run."""
        now = self._clock.now()
        facts = asdict(self.evidence(loop, now)) | {"active_loop": False}
        return decide(now, loop.thresholds, Evidence(**facts), forced)

    def record(self, loop: Loop, task: Task, facts: Mapping[str, Any], at: str | None = None) -> None:
        """Keep a decision with its reasons; at: when it was made, if not now."""
        self._loops.record(loop.tenant, loop.id, at or to_text(self._clock.now()), task.id, facts)

    def note(self, loop: Loop, **changes: object) -> Loop:
        return self._loops.note(loop, **changes)

    def draft_of(self, loop: Loop) -> DatasetVersion:
        """The draft that a run freezes. Raises NotFound when nothing was ever absorbed."""
        version = self._datasets.get_version(loop.tenant, loop.draft_version_id) if loop.draft_version_id else None
        if version is None:
            raise NotFound("draft of loop", loop.name)
        return version
