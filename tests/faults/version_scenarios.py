"""Tags, restored versions, diffs, verifications and deletions, as the steps that somebody repeats."""

from __future__ import annotations

from typing import Any

from tests.actions import info, labelled, ready_version, trained_model
from tests.core import Core
from tests.faults.injection import Scenario
from tests.faults.scenarios import claimed

State = dict[str, Any]


def with_two_versions(core: Core) -> State:
    """Two built versions; the first one is tagged, and a draft took its members over."""
    ids = labelled(core, 4)
    first, second = ready_version(core, ids[:3], version="1"), ready_version(core, ids, version="2")
    core.services.versioning.set_tag("default", first.id, "gold")
    draft = core.services.versioning.restore("default", first.id, "3")
    trained_model(core, first.id)
    return {"first": first.id, "second": second.id, "draft": draft.id, "series": first.dataset_id}


def move_tag(core: Core, state: State) -> None:
    core.again().versioning.set_tag("default", state["second"], "gold")


def restore(core: Core, state: State) -> None:
    id = claimed(core, state, "restore", {"datasetVersion": "4"})
    core.again().versioning.restore("default", state["second"], "4", id)


def create_series(core: Core, state: State) -> None:
    core.again().curating.create_dataset("default", "plants", {}, claimed(core, state, "create_series", {}))


def request_diff(core: Core, state: State) -> None:
    id = claimed(core, state, "diff", {})
    state["task"] = core.again().comparing.request("default", state["first"], state["second"], id).id


def prepare_diff(core: Core, state: State) -> None:
    core.again().comparing.prepare("default", state["task"])


def run_diff(core: Core, state: State) -> None:
    core.again().comparing.run("default", state["task"])


def record_diff(core: Core, state: State) -> None:
    core.again().comparing.record("default", state["task"])


def request_verification(core: Core, state: State) -> None:
    state["task"] = core.again().auditing.request("default", state["first"], claimed(core, state, "verify", {})).id


def prepare_verification(core: Core, state: State) -> None:
    core.again().auditing.prepare("default", state["task"])


def run_verification(core: Core, state: State) -> None:
    core.again().auditing.run("default", state["task"])


def record_verification(core: Core, state: State) -> None:
    core.again().auditing.record("default", state["task"])


def delete_borrowed(core: Core, state: State) -> None:
    """A version whose members another one uses."""
    core.again().removing.delete_version("default", state["first"], by="key-1", force=True)


def delete_borrower(core: Core, state: State) -> None:
    """The last one that uses them."""
    core.again().removing.delete_version("default", state["draft"], by="key-1")


def delete_series(core: Core, state: State) -> None:
    core.again().removing.delete_dataset("default", state["series"], by="key-1", force=True)


def sweep(core: Core, state: State) -> None:
    now = core.clock.moment
    core.clock.move(minutes=10)
    try:
        core.again().removing.sweep("default")
    finally:
        core.clock.moment = now


def make_version(core: Core, state: State) -> None:
    """The name is free while the old dataset of that name still goes."""
    core.again().curating.create("default", info(version="1"), claimed(core, state, "create_dataset", info()))


WHOLE = (
    Scenario("tag", with_two_versions, [move_tag]),
    Scenario("restored version", with_two_versions, [restore]),
    Scenario("new dataset", with_two_versions, [create_series]),
    Scenario("diff", with_two_versions, [request_diff, prepare_diff, run_diff, record_diff]),
    Scenario(
        "verification",
        with_two_versions,
        [request_verification, prepare_verification, run_verification, record_verification],
    ),
    Scenario("deleted version", with_two_versions, [delete_borrowed, delete_borrower]),
    Scenario("deleted dataset", with_two_versions, [delete_series, make_version, sweep]),
)
SCENARIOS = [single for scenario in WHOLE for single in scenario.one_by_one()]
