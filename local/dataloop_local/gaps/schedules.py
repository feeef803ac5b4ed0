"""Gap: schedules forget when they last fired.

Stock keeps the time of the last firing in memory only: after a restart every rate() schedule that is older than its
interval fires at once, and a cron() occurrence that fell into the restart is dropped.
We save and restore these times with the services' state.
Noticed by: tests/local/test_restart.py::test_schedules_go_on_after_a_restart and
tests/local/test_stock_gaps.py::test_stock_forgets_last_firing.
"""

from __future__ import annotations

from typing import Any

from ministack.services import eventbridge, scheduler

_FIELD = "dataloop_last_fired"


def install() -> None:
    _remember(eventbridge, eventbridge._rule_last_fired)
    _remember(scheduler, scheduler._schedule_last_fired)


def _remember(module: Any, last_fired: dict[tuple[str, str, str], float]) -> None:
    stock_get, stock_load = module.get_state, module.load_persisted_state

    def get_state() -> dict[str, Any]:
        return {**stock_get(), _FIELD: [[*key, fired] for key, fired in list(last_fired.items())]}

    def load(data: dict[str, Any]) -> None:
        stock_load({name: value for name, value in data.items() if name != _FIELD})
        last_fired.update({(account, region, key): fired for account, region, key, fired in data.get(_FIELD, [])})

    module.get_state, module.load_persisted_state = get_state, load
