"""At every AWS call of every scenario: an error, a lost answer, a throttle, a death. The repeat ends in the same state."""

from __future__ import annotations

import pytest

from tests.core import account
from tests.faults import (
    export_scenarios,
    image_scenarios,
    import_scenarios,
    iteration_scenarios,
    project_scenarios,
    search_scenarios,
    snapshot_scenarios,
    version_scenarios,
)
from tests.faults.injection import FAULTS, Scenario, World
from tests.faults.scenarios import SCENARIOS

SCENARIOS = [
    *SCENARIOS,
    *export_scenarios.SCENARIOS,
    *image_scenarios.SCENARIOS,
    *import_scenarios.SCENARIOS,
    *iteration_scenarios.SCENARIOS,
    *search_scenarios.SCENARIOS,
    *version_scenarios.SCENARIOS,
    *project_scenarios.SCENARIOS,
    *snapshot_scenarios.SCENARIOS,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_a_fault_at_any_call_changes_nothing_in_the_end(scenario: Scenario) -> None:
    with account() as core:
        world = World(core, scenario)
        # given the calls of an undisturbed run and the state it ends in
        calls, wanted = world.run()
        assert calls
        # when each of them is hit by each fault, and whoever is in charge repeats what failed
        differences = []
        for at in range(len(calls)):
            for fault in FAULTS:
                _, found = world.run(at, fault)
                if found != wanted:
                    lost, extra = wanted - found, found - wanted
                    differences.append(
                        f"{fault} at call {at} ({calls[at]}): lost {list(lost)[:2]}, extra {list(extra)[:2]}"
                    )
        # then the state is the same: nothing lost, nothing doubled
        assert not differences, "\n".join(differences[:5])
