"""Gap: state machines cannot run SageMaker jobs (createTrainingJob.sync, createProcessingJob.sync).

We add both to the dispatch table of Step Functions' integrations, with AWS's error names: a failed or stopped job is
States.TaskFailed with the whole job description as Cause; stopping the execution stops the job.
Noticed by: tests/local/test_workflows.py and tests/local/test_stock_gaps.py::test_stock_has_no_sagemaker_integration.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

from dataloop_local.gaps.workflow_waits import wait_for
from dataloop_local.sagemaker import service, store
from dataloop_local.sagemaker.shapes import SageMakerError


def install() -> None:
    for kind, action in ((store.TRAINING, "createTrainingJob"), (store.PROCESSING, "createProcessingJob")):
        stepfunctions._SERVICE_DISPATCH[f"arn:aws:states:::sagemaker:{action}"] = _integration(kind, action)
    stepfunctions._AWS_SDK_SERVICE_MAP["sagemaker"] = {"target_prefix": "SageMaker", "protocol": "json"}
    stepfunctions._AWS_SDK_ERROR_PREFIX["sagemaker"] = "SageMaker"


def _integration(kind: str, action: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    operation = action[0].upper() + action[1:]

    def run(resource: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = service.call(operation, request)
        except SageMakerError as error:
            code = error.code if error.code.endswith("Exception") else f"{error.code}Exception"
            raise stepfunctions._ExecutionError(f"SageMaker.{code}", error.message) from error
        if not resource.endswith(".sync"):
            return answer
        name = request[store.NAME_FIELD[kind]]
        if not wait_for(service.finished(kind, name), lambda: service.stop_job(kind, name)):
            return {}
        return _outcome(kind, name)

    return run


def _outcome(kind: str, name: str) -> dict[str, Any]:
    record = dict(store.find(kind, name) or {})
    if record.get(store.STATUS_FIELD[kind]) != "Completed":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(record))
    return record
