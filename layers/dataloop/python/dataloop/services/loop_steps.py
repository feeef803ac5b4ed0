"""The steps of retrain_loop: begin, plan training, plan evaluation, compare, finish, abort. Each may run twice."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.models import Model
from dataloop.domain.promotion import Verdict, decide
from dataloop.domain.retraining import Loop
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.gateways.queues import Queue
from dataloop.repositories.models import ModelRepository
from dataloop.services.building import BuildService
from dataloop.services.clock import Clock
from dataloop.services.judging import JudgingService
from dataloop.services.looping import LoopService
from dataloop.services.releasing import ReleaseService
from dataloop.services.tracking import INTERRUPTED, TaskService
from dataloop.services.training import TrainingService

log = logging.getLogger(__name__)


class LoopSteps:
    """A run is its Task: what a step decided is kept in the task's context, and ids of sub-tasks derive from its id."""

    def __init__(
        self,
        looping: LoopService,
        building: BuildService,
        training: TrainingService,
        judging: JudgingService,
        releasing: ReleaseService,
        models: ModelRepository,
        tasks: TaskService,
        wake_queue: Queue,
        clock: Clock,
    ) -> None:
        self._looping = looping
        self._building = building
        self._training = training
        self._judging = judging
        self._releasing = releasing
        self._models = models
        self._tasks = tasks
        self._wake_queue = wake_queue
        self._clock = clock

    def begin(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Take the lock, decide again under it, freeze the draft and make its build task."""
        task, loop = self._run(tenant, task_id, "begin")
        if not self._looping.lock(loop, task):
            return {"start": False, "reason": "a run of this loop is active"}
        build_id = self._sub_id(task, "build")
        version_id = task.context.get("version_id")
        if version_id is None:  # else: we were here before. New labels may have made another draft since
            decision = self._looping.decision_under_lock(loop, bool(task.parameters.get("forced")))
            self._looping.record(loop, task, {"kind": "start", "start": decision.start, "reasons": [decision.reason]})
            if not decision.start:
                return {"start": False, "reason": decision.reason}
            version_id = self._looping.draft_of(loop).id
            # Kept before the loop's own clock starts: a replay must not be told to cool down from itself.
            task = self._tasks.note(task, context={"version_id": version_id})
        self._looping.note(loop, last_started_at=self._clock.text())
        self._building.request_build(tenant, str(version_id), task_id=build_id, parent_id=task.id)
        self._tasks.note(task, phase="build")
        return {"start": True, "reason": "", "build": _input(tenant, build_id), "build_name": f"build-{build_id}"}

    def skip(self, tenant: str, task_id: str, reason: str) -> dict[str, Any]:
        """Nothing to do: the run ends well and says why."""
        if self._tasks.read(tenant, task_id).status == "SUCCEEDED":
            return {}  # done before; only the answer was lost
        task, loop = self._run(tenant, task_id, "skip")
        self._looping.unlock(loop, task)
        self._tasks.succeed(task, {"started": False, "reason": reason})
        return {}

    def plan_training(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The challenger learns from the new version and is judged on the frozen test set."""
        task, loop = self._run(tenant, task_id, "train")
        version_id = str(task.context["version_id"])
        champion = self._champion(loop)
        warm = loop.training.get("warm_start", True) and champion is not None
        train_id = self._sub_id(task, "train")
        self._training.request(
            tenant,
            version_id,
            task_type=loop.training.get("task_type"),
            architecture=loop.training.get("architecture"),
            parameters=loop.training.get("parameters"),
            model_name=loop.release_name,
            parent_model_id=champion.id if champion and warm else None,
            test_version_id=loop.test_version_id or version_id,
            task_id=train_id,
            parent_id=task.id,
        )
        return {"train": _input(tenant, train_id), "train_name": f"train-{train_id}"}

    def plan_evaluation(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The champion must have met the same test set; a job is only needed when it has not."""
        task, loop = self._run(tenant, task_id, "evaluate")
        challenger = self._challenger(task)
        champion = self._champion(loop)
        test_id = str(challenger.test["version_id"])
        if champion is None or self._models.find_evaluation(tenant, champion.id, test_id) is not None:
            return {"needed": False}
        id = self._sub_id(task, "evaluate")
        self._judging.request_evaluation(tenant, champion.id, test_id, task_id=id, parent_id=task.id)
        return {"needed": True, "evaluate": _input(tenant, id), "evaluate_name": f"evaluate-{id}"}

    def compare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Challenger against champion on the same frozen test set; the verdict is recorded either way."""
        task, loop = self._run(tenant, task_id, "compare")
        challenger, champion = self._challenger(task), self._champion(loop)
        test_id = str(challenger.test["version_id"])
        ours = self._models.find_evaluation(tenant, challenger.id, test_id)
        theirs = self._models.find_evaluation(tenant, champion.id, test_id) if champion else None
        compression = challenger.metrics.get("compression")
        verdict = decide(loop.gate, ours.metrics if ours else {}, theirs.metrics if theirs else None, compression)
        restriction = loop.info.get("residency") or {}
        outside = self._releasing.residency_problems(challenger, restriction)
        if outside:
            verdict = Verdict(False, (*verdict.reasons, *outside))
        facts: dict[str, Any] = {
            "challenger": challenger.id,
            "champion": champion.id if champion else None,
            "test_version_id": test_id,
            "challenger_metrics": ours.metrics.get("primary") if ours else None,
            "champion_metrics": theirs.metrics.get("primary") if theirs else None,
        }
        self._looping.record(loop, task, {"kind": "promotion"} | verdict.to_json() | facts)
        self._tasks.note(task, context=dict(task.context) | {"verdict": verdict.to_json() | facts})
        answer = {"promote": verdict.promote, "reasons": list(verdict.reasons)}
        if not verdict.promote:
            return answer
        # No export: the training job made and verified the canonical ONNX, and release.collect checks its digest.
        release_id = self._sub_id(task, "release")
        self._releasing.request(
            tenant,
            challenger.id,
            name=loop.release_name,
            gate=asdict(loop.gate),
            require_approval=loop.require_approval,
            residency=restriction,
            task_id=release_id,
            parent_id=task.id,
        )
        return answer | {"release": _input(tenant, release_id), "release_name": f"release-{release_id}"}

    def finish(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The labels count as learnt, promoted or not; the lock is free; a next check is due."""
        ended = self._tasks.read(tenant, task_id)
        if ended.status == "SUCCEEDED":  # done before; the answer was lost, and perhaps the message
            self._wake_queue.send(self._wake(tenant, ended))
            return {"promoted": bool(ended.result.get("promoted"))}
        task, loop = self._run(tenant, task_id, "finish")
        challenger = self._challenger(task)
        self._looping.note(
            loop,
            trained_version_id=str(task.context["version_id"]),
            test_version_id=str(challenger.test["version_id"]),
            failures=0,
        )
        self._looping.unlock(loop, task)
        release_id = self._sub_id(task, "release")
        published = self._is_published(tenant, release_id)
        result = {
            "started": True,
            "promoted": published,
            "reasons": task.context["verdict"]["reasons"],
            "model_id": challenger.id,
            "version_id": task.context["version_id"],
            "release_id": release_id if published else None,
            "verdict": task.context["verdict"],
        }
        self._tasks.succeed(task, result)
        self._wake_queue.send(self._wake(tenant, task))
        return {"promoted": published}

    @staticmethod
    def _wake(tenant: str, task: Task) -> dict[str, str]:
        return {"tenant": tenant, "loop_id": str(task.parameters["loop_id"]), "reason": "a run ended"}

    def abort(self, tenant: str, task_id: str, code: str, message: str) -> dict[str, Any]:
        """A step failed for good: the task says why and the loop waits before it tries again."""
        self._tasks.fail(tenant, task_id, code, message)
        return {}

    def end_run(self, task: Task) -> None:
        """Whatever ended the run early: free the lock and count the failure, once."""
        try:
            loop = self._looping.get(task.tenant, str(task.parameters["loop_id"]))
        except NotFound:
            return
        if (task.error or {}).get("code") == INTERRUPTED:
            # Nobody's fault: the next check may start again at once.
            self._looping.note(loop, last_started_at=None)
        elif loop.info.get("last_failed_run") != task.id:
            # The record first, under the time the task ended: whoever repeats this writes the same one again.
            reasons = [str((task.error or {}).get("message", "")) or task.status]
            self._looping.record(loop, task, {"kind": "failure", "reasons": reasons}, at=task.updated_at)
            info = dict(loop.info) | {"last_failed_run": task.id}
            self._looping.note(loop, failures=loop.failures + 1, info=info)
        self._looping.unlock(loop, task)

    def _is_published(self, tenant: str, release_id: str) -> bool:
        try:
            return self._releasing.get(tenant, release_id).status == "PUBLISHED"
        except NotFound:
            return False

    def _run(self, tenant: str, task_id: str, phase: str) -> tuple[Task, Loop]:
        task = self._tasks.read(tenant, task_id)
        loop = self._looping.get(tenant, str(task.parameters["loop_id"]))
        if task.status == "SUCCEEDED":
            raise IllegalTransition("task", task.id, task.status, phase)
        return self._tasks.begin(task, phase), loop

    def _champion(self, loop: Loop) -> Model | None:
        return self._releasing.champion(loop.tenant, loop.release_name)

    def _challenger(self, task: Task) -> Model:
        train = self._tasks.read(task.tenant, self._sub_id(task, "train"))
        return self._models.get(task.tenant, str(train.parameters["model_id"]))

    def _sub_id(self, task: Task, kind: str) -> str:
        since: datetime = from_text(task.created_at)
        return self._clock.decided_id(since, task.id, kind)


def _input(tenant: str, task_id: str) -> dict[str, str]:
    """What every execution gets."""
    return {"tenant": tenant, "task_id": task_id}
