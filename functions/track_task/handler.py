"""Step Functions and SageMaker status events → Task, so that even an aborted execution ends its task."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.domain.tasks import task_id_of_execution
from dataloop.gateways.objects import split_uri
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One event; events that are not about our tasks change nothing."""
    detail = event.get("detail") or {}
    if event.get("source") == "aws.states":
        follow_execution(detail)
    elif event.get("source") == "aws.sagemaker":
        note_phase(detail)
    return {}


def follow_execution(detail: dict[str, Any]) -> None:
    """FAILED, TIMED_OUT and ABORTED executions end their task, if their last state did not."""
    task_id = task_id_of_execution(str(detail.get("name") or ""))
    if task_id is None or detail.get("status") not in ("FAILED", "TIMED_OUT", "ABORTED"):
        return
    try:
        tenant = json.loads(detail.get("input") or "{}").get("tenant", "default")
    except ValueError:
        tenant = "default"
    error, cause = str(detail.get("error") or ""), str(detail.get("cause") or "")
    services.tasks.follow(tenant, task_id, str(detail.get("status")), error, cause)


def note_phase(detail: dict[str, Any]) -> None:
    """Where a training stands; the tenant is the first part of the job's output path."""
    task_id = task_id_of_execution(str(detail.get("TrainingJobName") or ""))
    output = (detail.get("OutputDataConfig") or {}).get("S3OutputPath")
    if task_id is None or not output:
        return
    _, key = split_uri(str(output))
    services.tasks.phase_of_job(key.split("/", 1)[0], task_id, str(detail.get("SecondaryStatus") or ""))
