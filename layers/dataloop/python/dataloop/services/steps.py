"""The steps of the state machines by name: {"step": name, "input": {…}} -> a small JSON object (statemachines/README.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dataloop.domain.errors import InvalidInput
from dataloop.services.tracking import reason_of

if TYPE_CHECKING:
    from dataloop.bootstrap import Services

Input = Mapping[str, Any]
Step = Callable[["Services", str, Input], Mapping[str, Any]]


def _fail(services: Services, tenant: str, given: Input) -> Mapping[str, Any]:
    error = given.get("error") or {}
    code, message = reason_of(str(error.get("Error") or ""), str(error.get("Cause") or ""))
    task = services.tasks.fail(tenant, given["task_id"], code, message)
    return {"task_id": task.id, "status": task.status}


def _abort(services: Services, tenant: str, given: Input) -> Mapping[str, Any]:
    error = given.get("error") or {}
    code, message = reason_of(str(error.get("Error") or ""), str(error.get("Cause") or ""))
    return services.loop_steps.abort(tenant, given["task_id"], code, message)


def _refuse(services: Services, tenant: str, given: Input) -> Mapping[str, Any]:
    return services.releasing.refuse(tenant, given["release_id"], str(given.get("reason") or ""))


def _create_key(services: Services, tenant: str, given: Input) -> Mapping[str, Any]:
    key, secret = services.keyring.create(tenant, given.get("name"), given.get("scopes"), given.get("expires_in_days"))
    return {"key_id": key.id, "key": secret}


def _repair_project(services: Services, tenant: str, given: Input) -> Mapping[str, Any]:
    repaired = services.indexing.repair(tenant, given["project_id"])
    return {"images": repaired.images, "terms": repaired.terms, "counts": repaired.counts}


STEPS: Mapping[str, Step] = {
    "task.fail": _fail,
    "dataset.plan": lambda s, tenant, given: s.building.plan(tenant, given["task_id"]),
    "dataset.join": lambda s, tenant, given: s.building.join(tenant, given["task_id"], given["part_key"]),
    "dataset.reduce": lambda s, tenant, given: s.building.reduce(tenant, given["task_id"]),
    "dataset.publish": lambda s, tenant, given: s.building.publish(tenant, given["task_id"]),
    "dataset.mark_ready": lambda s, tenant, given: s.building.mark_ready(tenant, given["task_id"]),
    "import.read": lambda s, tenant, given: s.importing.read(tenant, given["task_id"]),
    "import.register": lambda s, tenant, given: s.importing.register(tenant, given["task_id"], given["part_key"]),
    "import.finish": lambda s, tenant, given: s.importing.finish(tenant, given["task_id"], int(given["attempt"])),
    "files.prepare": lambda s, tenant, given: s.file_tasks.prepare(tenant, given["task_id"]),
    "files.run": lambda s, tenant, given: s.file_tasks.run(tenant, given["task_id"]),
    "files.record": lambda s, tenant, given: s.file_tasks.record(tenant, given["task_id"]),
    "training.prepare": lambda s, tenant, given: s.training.prepare(tenant, given["task_id"]),
    "training.register_model": lambda s, tenant, given: s.training.register_model(
        tenant, given["task_id"], given["model_artifacts"]
    ),
    "evaluation.prepare": lambda s, tenant, given: s.judging.prepare_evaluation(tenant, given["task_id"]),
    "evaluation.record": lambda s, tenant, given: s.judging.record_evaluation(tenant, given["task_id"]),
    "export.prepare": lambda s, tenant, given: s.judging.prepare_export(tenant, given["task_id"]),
    "export.record": lambda s, tenant, given: s.judging.record_export(tenant, given["task_id"]),
    "analysis.prepare": lambda s, tenant, given: s.analysing.prepare(tenant, given["task_id"]),
    "analysis.record": lambda s, tenant, given: s.analysing.record(tenant, given["task_id"]),
    "release.collect": lambda s, tenant, given: s.releasing.collect(tenant, given["task_id"]),
    "release.await_approval": lambda s, tenant, given: s.releasing.await_approval(
        tenant, given["release_id"], given["task_token"]
    ),
    "release.publish": lambda s, tenant, given: s.releasing.publish(tenant, given["release_id"]),
    "release.smoke": lambda s, tenant, given: s.releasing.smoke(tenant, given["release_id"]),
    "release.mark": lambda s, tenant, given: s.releasing.mark(tenant, given["release_id"]),
    "release.refuse": _refuse,
    "release.roll_back": lambda s, tenant, given: s.releasing.roll_back(tenant, given["release_id"]),
    "iteration.plan": lambda s, tenant, given: s.freezing.plan(tenant, given["task_id"]),
    "iteration.freeze": lambda s, tenant, given: s.freezing.freeze(tenant, given["task_id"], given["part_key"]),
    "iteration.link": lambda s, tenant, given: s.freezing.link(tenant, given["task_id"]),
    "iteration.plan_training": lambda s, tenant, given: s.project_training.plan_training(tenant, given["task_id"]),
    "iteration.record": lambda s, tenant, given: s.project_training.record(tenant, given["task_id"]),
    "loop.begin": lambda s, tenant, given: s.loop_steps.begin(tenant, given["task_id"]),
    "loop.skip": lambda s, tenant, given: s.loop_steps.skip(tenant, given["task_id"], str(given.get("reason") or "")),
    "loop.plan_training": lambda s, tenant, given: s.loop_steps.plan_training(tenant, given["task_id"]),
    "loop.plan_evaluation": lambda s, tenant, given: s.loop_steps.plan_evaluation(tenant, given["task_id"]),
    "loop.compare": lambda s, tenant, given: s.loop_steps.compare(tenant, given["task_id"]),
    "loop.finish": lambda s, tenant, given: s.loop_steps.finish(tenant, given["task_id"]),
    "loop.abort": _abort,
    "erasure.plan": lambda s, tenant, given: s.erasure_steps.plan(tenant, given["task_id"]),
    "erasure.part": lambda s, tenant, given: s.erasure_steps.erase(tenant, given["task_id"], given["part_key"]),
    "erasure.settle": lambda s, tenant, given: s.erasure_steps.settle(tenant, given["task_id"]),
    "erasure.mark": lambda s, tenant, given: s.erasure_steps.mark(tenant, given["task_id"]),
    "batch.step": lambda s, tenant, given: s.project_batches.step(tenant, given["task_id"]),
    "projects.repair": _repair_project,
    "keys.create": _create_key,
}


def run_step(services: Services, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run one step. Raises InvalidInput for an unknown one, and whatever the step raises: Step Functions acts on it."""
    step = STEPS.get(str(event.get("step")))
    given = event.get("input")
    if step is None or not isinstance(given, Mapping):
        raise InvalidInput("step", "is not a step of this service", event.get("step"))
    return step(services, str(given.get("tenant") or "default"), given)
