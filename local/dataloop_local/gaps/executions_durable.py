"""Gap: executions started since the last save are forgotten by kill -9, and those that were running end in silence.

Stock saves executions at a clean stop only; one that was RUNNING comes back FAILED with no status-change event, so
nothing tells the Task that waits for it.
We log an execution at every status change, before StartExecution is answered; after a restart every execution that was
RUNNING is FAILED (States.Runtime, "local runtime restarted") and its event is put on the bus once the stack answers.
Noticed by: tests/local/test_durability.py::test_running_executions_come_back_failed_and_say_so and
tests/local/test_stock_gaps.py::test_stock_restores_executions_silently.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from ministack.core.responses import now_iso, request_scope
from ministack.services import stepfunctions

from dataloop_local.durability.keeper import Keeper

RESTART_ERROR = "States.Runtime"
RESTART_CAUSE = "local runtime restarted"
_STOCK_RESTART_ERROR = "States.ServiceRestart"
# An announcement that a second crash swallowed is made again for so long; its receiver sees every event at least once.
_ANNOUNCE_AGAIN_S = 900.0


def install(keeper: Keeper) -> None:
    stock_emit = stepfunctions._emit_execution_status_event

    def emit(execution: dict[str, Any]) -> None:
        region, account = execution["executionArn"].split(":")[3:5]
        # The history may be megabytes and is not needed to tell what became of the execution.
        keeper.log.append({"execution": [account, region, {**execution, "events": []}]})
        stock_emit(execution)

    stepfunctions._emit_execution_status_event = emit


def restore(keeper: Keeper) -> None:
    """Merge what the log says over what the last save said, and end what was running. Call when services have loaded."""
    for arn, (account, region, logged) in keeper.recovered_executions.items():
        saved = stepfunctions._executions.get_scoped(account, region, arn)
        if saved is None:
            stepfunctions._executions.set_scoped(account, region, arn, logged)
        elif logged["status"] != "RUNNING":
            saved.update({key: value for key, value in logged.items() if key != "events"})
    for execution in stepfunctions._executions.all_values():
        if execution["status"] == "RUNNING" or execution.get("error") == _STOCK_RESTART_ERROR:
            execution.update(
                status="FAILED",
                error=RESTART_ERROR,
                cause=RESTART_CAUSE,
                stopDate=execution.get("stopDate") or now_iso(),
            )


def announce() -> int:
    """Emit the status-change event of every execution that the restart ended. Returns how many."""
    announced = 0
    for (account, region, _), execution in list(stepfunctions._executions.all_items()):
        ended_by_restart = execution.get("cause") == RESTART_CAUSE and "mapRunArn" not in execution
        if ended_by_restart and _age_s(execution["stopDate"]) < _ANNOUNCE_AGAIN_S:
            with request_scope(account, region):
                stepfunctions._emit_execution_status_event(execution)
            announced += 1
    return announced


def _age_s(stamp: str) -> float:
    return time.time() - datetime.fromisoformat(stamp).timestamp()
