"""Releases: gate, optional approval, one pointer per name, roll back to the one before (design §6.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from dataloop.domain import promotion
from dataloop.domain.errors import GateRefused, IllegalTransition, InvalidInput, NotFound
from dataloop.domain.models import Model, Release, ReleasePointer
from dataloop.domain.residency import EVERYTHING, Clearance, Residency
from dataloop.domain.tasks import Task
from dataloop.gateways.machines import Machines
from dataloop.gateways.model_registry import ModelRegistry
from dataloop.gateways.objects import Bucket
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository
from dataloop.services.clock import Clock
from dataloop.services.tracking import TaskService


class ReleaseService:
    """Publishing is one conditional write of the pointer, so rolling back is another."""

    def __init__(
        self,
        releases: ReleaseRepository,
        models: ModelRepository,
        tasks: TaskService,
        machines: Machines,
        registry: ModelRegistry,
        artifacts: Bucket,
        clock: Clock,
        residency: Residency,
    ) -> None:
        self._residency = residency
        self._releases = releases
        self._models = models
        self._tasks = tasks
        self._machines = machines
        self._registry = registry
        self._artifacts = artifacts
        self._clock = clock

    def request(
        self,
        tenant: str,
        model_id: str,
        *,
        name: object = None,
        gate: object = None,
        require_approval: object = False,
        force: object = False,
        residency: object = None,
        clearance: Clearance = EVERYTHING,
        task_id: str | None = None,
        parent_id: str | None = None,
    ) -> Task:
        """Offer a model under a release name (default: the model's name). Raises NotFound, IllegalTransition.

        force: publish although the gate refuses; the verdict is recorded all the same. residency: where this release
        goes, only models of this data may go; no force changes that. clearance: the caller's. Raises ResidencyViolation.
        """
        model = self._models.get(tenant, model_id)
        if model.status != "COMPLETED":
            raise IllegalTransition("model", model_id, model.status, "release")
        name = model.name if name is None else name
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise InvalidInput("name", "must be a text of 1 to 200 characters", name)
        for field, value in (("require_approval", require_approval), ("force", force)):
            if not isinstance(value, bool):
                raise InvalidInput(field, "must be true or false", value)
        checked = promotion.make_gate(gate)
        restriction = self._residency.check(residency, "residency")
        clearance.within(self._residency.clearance(restriction)).require_holdings(model.holdings, f"model {model_id}")
        id = task_id or self._clock.new_id()
        wish = {"model_id": model_id, "name": name, "release_id": id, "force": force}
        task = self._tasks.create(tenant, "release", f"Model#{model_id}", wish, id=id, parent_id=parent_id)
        self._releases.create(
            Release(
                tenant=tenant,
                id=id,
                name=name,
                model_id=model_id,
                status="DRAFT",
                created_at=task.created_at,
                task_id=task.id,
                gate=asdict(checked),
                require_approval=bool(require_approval),
                residency=restriction,
            )
        )
        return task if parent_id else self._tasks.start(task)

    def collect(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Is everything there, unchanged, and good enough? The verdict is kept with the release."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "gate")
        release = self._releases.get(tenant, str(task.parameters["release_id"]))
        model = self._models.get(tenant, release.model_id)
        self._verify_checksums(model)
        verdict = self.judge(release, model)
        forced = bool(task.parameters.get("force"))
        outside = self.residency_problems(model, release.residency)
        passed = (verdict.promote or forced) and not outside
        reasons = [*verdict.reasons, "published by force"] if forced and not verdict.promote else list(verdict.reasons)
        reasons += outside
        self._note(release, verdict={"promote": passed, "reasons": reasons, "gate": dict(release.gate)})
        return {
            "release_id": release.id,
            "gate_passed": passed,
            "needs_approval": release.require_approval,
            "reason": _as_text(reasons),
        }

    def residency_problems(self, model: Model, restriction: Mapping[str, Any]) -> list[str]:
        """What of the data a model saw a release with this restriction may not hold."""
        return [
            f"residency: {problem}" for problem in self._residency.clearance(restriction).problems_of(model.holdings)
        ]

    def judge(self, release: Release, model: Model) -> promotion.Verdict:
        """The gate, against the champion where both were judged on the same test set."""
        gate = promotion.Gate(**release.gate)
        test_id = str(model.test["version_id"])
        ours = self._models.find_evaluation(release.tenant, model.id, test_id)
        metrics = ours.metrics if ours else model.metrics
        champion = self.champion(release.tenant, release.name)
        compression = model.metrics.get("compression")
        if champion is None or champion.id == model.id:
            return promotion.decide(gate, metrics, None, compression)
        theirs = self._models.find_evaluation(release.tenant, champion.id, test_id)
        if theirs is None:
            alone = promotion.decide(gate, metrics, None, compression)
            return promotion.Verdict(alone.promote, (*alone.reasons, "the champion was not judged on this test set"))
        return promotion.decide(gate, metrics, theirs.metrics, compression)

    def champion(self, tenant: str, name: str) -> Model | None:
        """The model a release name stands for now."""
        pointer = self._releases.pointer(tenant, name)
        return self._models.get(tenant, pointer.model_id) if pointer else None

    def _verify_checksums(self, model: Model) -> None:
        """The ONNX artefact must be the one the job verified. Raises GateRefused."""
        described = json.loads(self._artifacts.get(f"{model.prefix}/model.json"))
        found = hashlib.sha256(self._artifacts.get(f"{model.prefix}/model.onnx")).hexdigest()
        if found != described["onnx"]["sha256"]:
            raise GateRefused([f"model.onnx has digest {found}, the training job wrote {described['onnx']['sha256']}"])

    def await_approval(self, tenant: str, release_id: str, task_token: str) -> dict[str, Any]:
        """Keep the token with which `approve` or `reject` lets the execution go on."""
        release = self._releases.get(tenant, release_id)
        self._releases.move(release, "AWAITING_APPROVAL", self._clock.text(), approval_token=task_token)
        self._tasks.note(self._tasks.read(tenant, release.task_id), phase="awaiting approval")
        return {"release_id": release_id}

    def approve(self, tenant: str, release_id: str, comment: object = "") -> Release:
        """Raises NotFound, IllegalTransition when nobody waits for it."""
        release = self._waiting(tenant, release_id)
        self._note(release, comment=_comment(comment))
        self._machines.answer(str(release.approval_token), {"approved": True})
        return self._releases.get(tenant, release_id)

    def reject(self, tenant: str, release_id: str, comment: object = "") -> Release:
        """Raises NotFound, IllegalTransition when nobody waits for it."""
        release = self._waiting(tenant, release_id)
        text = _comment(comment)
        self._note(release, comment=text)
        self._machines.refuse(str(release.approval_token), "ReleaseRejected", text or "rejected without a comment")
        return self._releases.get(tenant, release_id)

    def _waiting(self, tenant: str, release_id: str) -> Release:
        release = self._releases.get(tenant, release_id)
        if release.status != "AWAITING_APPROVAL" or not release.approval_token:
            raise IllegalTransition("release", release_id, release.status, "approval")
        return release

    def publish(self, tenant: str, release_id: str) -> dict[str, Any]:
        """Move the pointer, if it still stands where we looked. A replay finds the move done and changes nothing."""
        release = self._releases.get(tenant, release_id)
        now = self._clock.text()
        pointer = self._releases.pointer(tenant, release.name)
        release = self._releases.move(release, "PUBLISHING", now)
        if pointer is None or pointer.release_id != release_id:
            pointer = self._releases.move_pointer(
                ReleasePointer(
                    tenant=tenant,
                    name=release.name,
                    release_id=release_id,
                    model_id=release.model_id,
                    previous_release_id=pointer.release_id if pointer else None,
                    revision=pointer.revision + 1 if pointer else 1,
                    updated_at=now,
                )
            )
        self._note(release, previous_release_id=pointer.previous_release_id, number=pointer.revision)
        return {"release_id": release_id, "revision": pointer.revision}

    def smoke(self, tenant: str, release_id: str) -> dict[str, Any]:
        """Follow the pointer as a device would: the artefact must be there and unchanged. Raises GateRefused."""
        release = self._releases.get(tenant, release_id)
        pointer = self._releases.pointer(tenant, release.name)
        if pointer is None or pointer.release_id != release_id:
            raise GateRefused(["another release was published meanwhile"])
        self._verify_checksums(self._models.get(tenant, pointer.model_id))
        return {"release_id": release_id}

    def mark(self, tenant: str, release_id: str) -> dict[str, Any]:
        """PUBLISHED; the model package is approved in the registry."""
        release = self._releases.get(tenant, release_id)
        model = self._models.get(tenant, release.model_id)
        if model.model_package_arn:
            self._registry.approve(model.model_package_arn)
        release = self._releases.move(release, "PUBLISHED", self._clock.text())
        result = {"release_id": release.id, "name": release.name, "model_id": release.model_id, "published": True}
        self._tasks.succeed(self._tasks.read(tenant, release.task_id), result | {"verdict": dict(release.verdict)})
        return {"release_id": release.id}

    def refuse(self, tenant: str, release_id: str, reason: str) -> dict[str, Any]:
        """The gate or a person said no: an answer, not an accident, so the task succeeds and says so."""
        release = self._releases.get(tenant, release_id)
        verdict = dict(release.verdict) | {"promote": False}
        reasons = list(verdict.get("reasons", []))
        # The gate's own answer comes back as one text; only what somebody else said is new.
        if reason and reason not in reasons and reason != _as_text(reasons):
            verdict["reasons"] = [*reasons, reason]
        self._releases.move(release, "FAILED", self._clock.text(), verdict=verdict)
        result = {"release_id": release_id, "name": release.name, "published": False, "verdict": verdict}
        self._tasks.succeed(self._tasks.read(tenant, release.task_id), result)
        return {"release_id": release_id}

    def roll_back(self, tenant: str, release_id: str) -> dict[str, Any]:
        """Give the pointer back to the release before this one."""
        release = self._releases.get(tenant, release_id)
        self._restore(tenant, release)
        return {"release_id": release_id}

    def roll_back_name(self, tenant: str, name: str, request_id: str | None = None) -> Release:
        """A client's rollback: the release before the current one is current again. Raises NotFound, IllegalTransition.

        request_id: the same for every repeat of one request, which goes back one step however often it comes.
        """
        pointer = self._releases.pointer(tenant, name)
        if pointer is None:
            raise NotFound("release", name)
        if request_id is not None and pointer.moved_by == request_id:
            left = self._releases.get(tenant, str(pointer.left_release_id))
            self._releases.move(left, "ROLLED_BACK", self._clock.text())
            return self._releases.get(tenant, pointer.release_id)
        if pointer.previous_release_id is None:
            raise IllegalTransition("release", name, "the first of its name", "rolling back")
        return self._restore(tenant, self._releases.get(tenant, pointer.release_id), request_id)

    def _restore(self, tenant: str, release: Release, request_id: str | None = None) -> Release:
        pointer = self._releases.pointer(tenant, release.name)
        now = self._clock.text()
        before = release
        if pointer is not None and pointer.release_id == release.id and pointer.previous_release_id:
            before = self._releases.get(tenant, pointer.previous_release_id)
            self._releases.move_pointer(
                ReleasePointer(
                    tenant=tenant,
                    name=release.name,
                    release_id=before.id,
                    model_id=before.model_id,
                    previous_release_id=before.previous_release_id,
                    revision=pointer.revision + 1,
                    updated_at=now,
                    moved_by=request_id,
                    left_release_id=release.id,
                )
            )
        elif pointer is not None and pointer.release_id == release.id:
            self._releases.remove_pointer(pointer)  # it was the first of its name: the name stands for nothing again
        self._releases.move(release, "ROLLED_BACK", now)
        return before

    def get(self, tenant: str, release_id: str) -> Release:
        """Raises NotFound."""
        return self._releases.get(tenant, release_id)

    def current(self, tenant: str, name: str) -> Release:
        """What a name stands for now. Raises NotFound."""
        pointer = self._releases.pointer(tenant, name)
        if pointer is None:
            raise NotFound("release", name)
        return self._releases.get(tenant, pointer.release_id)

    def page(self, tenant: str, name: str | None, limit: int, cursor: str | None) -> tuple[list[Release], str | None]:
        """Newest first."""
        return self._releases.page(tenant, limit=limit, cursor=cursor, name=name)

    def _note(self, release: Release, **changes: object) -> Release:
        return self._releases.note(release, self._clock.text(), **changes)

    def end_release(self, task: Task) -> None:
        try:
            release = self._releases.get(task.tenant, str(task.parameters["release_id"]))
            self._releases.move(release, "FAILED", self._clock.text())
        except (IllegalTransition, NotFound):
            return


def _comment(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1000:
        raise InvalidInput("comment", "must be a text of at most 1000 characters")
    return value


def _as_text(reasons: Iterable[str]) -> str:
    """Reasons as the release machine carries them from the gate to the refusal."""
    return "; ".join(reasons)
