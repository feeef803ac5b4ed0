"""Every gap that is filled, in the order that matters where one builds on another."""

from __future__ import annotations

from dataclasses import dataclass

from dataloop_local.durability.keeper import Keeper
from dataloop_local.gaps import (
    callback_errors,
    dynamodb_durable,
    execution_names,
    executions_durable,
    lambda_environment,
    lambda_errors,
    lambda_latency,
    lambda_limits,
    lambda_logs,
    nested_executions,
    queues_durable,
    s3_checksums,
    s3_durable,
    s3_events,
    s3_ranges,
    s3_signature_v2,
    sagemaker_integration,
    sagemaker_service,
    schedules,
    stream_consumers,
    workflow_waits,
)
from dataloop_local.sagemaker.jobs import Jobs
from dataloop_local.settings import Settings


@dataclass(frozen=True)
class Installation:
    """What the gaps need to know of the runtime."""

    settings: Settings
    keeper: Keeper
    jobs: Jobs
    endpoint_url: str


def install_all(runtime: Installation) -> None:
    settings = runtime.settings
    dynamodb_durable.install(runtime.keeper)
    queues_durable.install(runtime.keeper)
    stream_consumers.install(runtime.keeper)
    s3_durable.install(fsync=settings.fsync)
    s3_checksums.install()
    s3_ranges.install()
    s3_signature_v2.install()
    s3_events.install()
    unpacked = lambda_errors.install(settings.code_dir)
    lambda_environment.install(unpacked, {"AWS_ENDPOINT_URL": runtime.endpoint_url})
    lambda_limits.install(environments=settings.environments_per_function, wait_s=settings.environment_wait_s)
    lambda_latency.install()
    lambda_logs.install()
    workflow_waits.install()
    executions_durable.install(runtime.keeper)
    nested_executions.install()
    execution_names.install()
    callback_errors.install()
    sagemaker_service.install(runtime.keeper, runtime.jobs)
    sagemaker_integration.install()
    schedules.install()
