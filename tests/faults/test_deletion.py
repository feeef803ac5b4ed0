"""A deletion whose process dies, or whose call fails, at calls all along its steps: repeated, it leaves nothing behind.

The worlds of `test_every_call_site.py` restore tables and added files; a deletion removes files for good, so every fault
gets an image of its own here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from dataloop.domain.erasure import QUIET_S, is_sealed
from dataloop.domain.errors import Unavailable
from tests.actions import image, info, run_build
from tests.core import Core, account
from tests.erasing import part_keys, receipt_of, stopped_bucket_clock, traces
from tests.faults.injection import FAULTS, Death, Injector
from tests.pictures import picture

Call = Callable[[], Any]
# A whole deletion for each fault takes seconds: of the long steps, calls at even distances are hit. The state machine
# of tests/properties/test_erasure.py dies at random ones.
FAULTS_A_STEP = 5
STEPS = ("request", "plan", "erase", "settle", "verify", "mark")


@pytest.mark.parametrize("name", STEPS)
def test_a_fault_at_a_call_of_a_deletion_leaves_nothing(name: str) -> None:
    with account() as core, stopped_bucket_clock(core):
        calls = run(core, "undisturbed", name, -1, "")
        assert calls
        for at in range(0, calls, max(1, calls // FAULTS_A_STEP)):
            run(core, f"{name}-{at}", name, at, FAULTS[at % len(FAULTS)])


def run(core: Core, label: str, name: str, at: int, fault: str) -> int:
    """One image from upload to receipt; returns how many calls the step made."""
    ids = [image(core, f"{label}-{number}") for number in range(2)]
    uid = core.services.annotating.get("default", ids[0]).data_ids[0]
    made = core.services.curating.create("default", info(f"set-{label}"))
    core.services.curating.link("default", made.id, ids)
    run_build(core, core.services.building.request_build("default", made.id).id)
    digest = core.services.curating.get("default", made.id).digest
    core.clock.move(seconds=2)
    faulty = Faulty(core, name, at, fault)
    deletion, task = faulty("request", lambda: core.again().erasing.request("default", [uid], "a fault test"))
    steps = core.again().erasure_steps
    plan = faulty("plan", lambda: steps.plan("default", task.id))
    for key in part_keys(core, plan):
        faulty("erase", lambda key=key: core.again().erasure_steps.erase("default", task.id, key))
    core.clock.move(seconds=QUIET_S + 1)
    plan = faulty("settle", lambda: core.again().erasure_steps.settle("default", task.id))
    for key in part_keys(core, plan):
        faulty("verify", lambda key=key: core.again().erasure_steps.erase("default", task.id, key))
    faulty("mark", lambda: core.again().erasure_steps.mark("default", task.id))
    assert traces(core, uid, picture() + f"d/{label}-0.jpg".encode()) == []
    receipt = receipt_of(core, deletion.id)
    assert is_sealed(receipt)
    assert len(receipt["removed"]["object_versions"]) == 1
    assert [entry["annotation_id"] for entry in receipt["removed"]["annotations"]] == [ids[0]]
    assert [entry["digest_after"] for entry in receipt["removed"]["versions"]] == [digest]
    assert core.services.curating.get("default", made.id).erased == 1
    assert core.services.tasks.read("default", task.id).status == "SUCCEEDED"
    return faulty.calls


class Faulty:
    """Makes the calls of a deletion; the chosen one of the chosen step fails, and the step is repeated."""

    def __init__(self, core: Core, name: str, at: int, fault: str) -> None:
        self._core, self._name, self._at, self._fault = core, name, at, fault
        self.calls = 0

    def __call__(self, name: str, call: Call) -> Any:
        if name != self._name:
            return call()
        with Injector(self._core, self._at - self.calls, self._fault) as injector:
            with contextlib.suppress(Unavailable, Death):
                answer = call()
                self.calls += len(injector.calls)
                return answer
            self.calls += len(injector.calls)
        return call()
