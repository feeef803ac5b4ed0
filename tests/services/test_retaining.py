"""Retention policies: what they match, what they spare, and that they run once a day through ordinary deletions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataloop.domain.errors import Conflict, InvalidInput
from tests.actions import labelled, ready_version, release, trained_model
from tests.core import Core, account
from tests.erasing import run_deletion, stopped_bucket_clock

POLICY = {"name": "old", "older_than_days": 30, "where": {"regions": ["CN"]}, "enabled": True}


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found, stopped_bucket_clock(found):
        yield found


def usable(core: Core) -> int:
    return sum("sha256" in item for item in core.entity("RAW"))


def test_a_policy_deletes_what_is_old_and_spares_what_is_released(core: Core) -> None:
    ids = labelled(core, 4)
    release(core, trained_model(core, ready_version(core, ids).id))
    labelled(core, 3, "old")
    retaining = core.services.retaining
    policy = retaining.create("default", POLICY)
    assert retaining.dry_run("default", policy.id).matched == 0  # too young
    core.clock.move(days=31)
    labelled(core, 2, "new")
    tried = retaining.dry_run("default", policy.id)
    assert (tried.matched, tried.spared, tried.facts["to_delete"], tried.deletion_id) == (7, 4, 3, None)
    # when housekeeping comes, every hour
    assert [core.again().retaining.run_due("default") for _ in range(3)] == [1, 0, 0]
    (run,) = retaining.runs("default", policy.id)
    assert (run.dry, run.facts["to_delete"]) == (False, 3)
    deletion = core.services.erasing.get("default", str(run.deletion_id))
    assert deletion.policy_id == policy.id
    run_deletion(core, deletion.task_id)
    assert usable(core) == 6
    core.clock.move(days=1)
    assert core.again().retaining.run_due("default") == 1
    assert retaining.runs("default", policy.id)[0].facts["to_delete"] == 0


def test_a_run_is_bounded(core: Core) -> None:
    labelled(core, 3)
    core.clock.move(days=31)
    policy = core.services.retaining.create("default", POLICY | {"limit": 2})
    run = core.services.retaining.run(policy)
    assert (run.facts["to_delete"], run.is_cut, len(run.uids)) == (2, True, 2)


def test_a_policy_that_is_not_enabled_does_nothing(core: Core) -> None:
    labelled(core, 1)
    core.clock.move(days=31)
    policy = core.services.retaining.create("default", POLICY | {"enabled": False})
    assert core.services.retaining.run_due("default") == 0
    core.services.retaining.change("default", policy.id, {"enabled": True})
    assert core.services.retaining.run_due("default") == 1
    core.services.retaining.remove("default", policy.id)
    assert core.services.retaining.all("default") == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"older_than_days": 0}, "older_than_days"),
        ({"older_than_days": None}, "older_than_days"),
        ({"where": {"near": "0" * 16}}, "where.near"),
        ({"where": {"colour": "red"}}, "where"),
        ({"spare": "some"}, "spare"),
        ({"limit": 1001}, "limit"),
        ({"enabled": "yes"}, "enabled"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_policy_names_its_field(core: Core, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        core.services.retaining.create("default", POLICY | wrong)
    assert refused.value.field == field


def test_names_are_unique(core: Core) -> None:
    made = core.services.retaining.create("default", POLICY)
    assert core.services.retaining.create("default", POLICY, made.id) == made
    with pytest.raises(Conflict):
        core.services.retaining.create("default", POLICY)
