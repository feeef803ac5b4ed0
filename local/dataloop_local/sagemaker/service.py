"""The SageMaker API: one function an operation, in the shape ministack expects of a service module."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from dataloop_local.sagemaker import jobs as job_runner
from dataloop_local.sagemaker import packages, processing, store, training
from dataloop_local.sagemaker.shapes import SageMakerError, validate

Request = dict[str, Any]

# Set by gaps/sagemaker_service.py before the first request.
runner: job_runner.Jobs | None = None

# ministack's contract for a service module.
get_state = store.get_state
load_persisted_state = store.load_persisted_state
reset = store.reset

_LIST_PAGE = 100


def jobs() -> job_runner.Jobs:
    if runner is None:
        raise SageMakerError("InternalFailure", "the local SageMaker is not ready")
    return runner


def create_training_job(request: Request) -> Request:
    training.check(request)
    record = _new_job(store.TRAINING, request)
    record["ModelArtifacts"] = {"S3ModelArtifacts": ""}
    job_runner.first_transition(record)
    return _start(store.TRAINING, record)


def create_processing_job(request: Request) -> Request:
    processing.check(request)
    return _start(store.PROCESSING, _new_job(store.PROCESSING, request))


def _new_job(kind: str, request: Request) -> store.Record:
    name = request[store.NAME_FIELD[kind]]
    return {
        **{key: value for key, value in request.items() if key != "Tags"},
        store.ARN_FIELD[kind]: store.arn(kind, name),
        store.STATUS_FIELD[kind]: "InProgress",
        "CreationTime": time.time(),
    }


def _start(kind: str, record: store.Record) -> Request:
    name, arn = record[store.NAME_FIELD[kind]], record[store.ARN_FIELD[kind]]
    if not store.create(kind, name, record):
        raise SageMakerError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, "
            f"and a {kind.replace('-', ' ')} with this name already exists ({arn})",
        )
    jobs().start(kind, record)
    return {store.ARN_FIELD[kind]: arn}


def _describe(kind: str) -> Callable[[Request], Request]:
    return lambda request: dict(_find(kind, request[store.NAME_FIELD[kind]]))


def _stop(kind: str) -> Callable[[Request], Request]:
    def stop(request: Request) -> Request:
        record = _find(kind, request[store.NAME_FIELD[kind]])
        if record[store.STATUS_FIELD[kind]] in store.ENDED:
            raise SageMakerError(
                "ValidationException",
                f"The request was rejected because the job is in status {record[store.STATUS_FIELD[kind]]}.",
            )
        jobs().stop(kind, record)
        return {}

    return stop


def _list(kind: str, answer_field: str) -> Callable[[Request], Request]:
    fields = (
        store.NAME_FIELD[kind],
        store.ARN_FIELD[kind],
        "CreationTime",
        "LastModifiedTime",
        "TrainingEndTime",
        "ProcessingEndTime",
        store.STATUS_FIELD[kind],
    )

    def list_jobs(request: Request) -> Request:
        found = [
            record
            for record in store.all_of(kind)
            if request.get("NameContains", "").lower() in record[store.NAME_FIELD[kind]].lower()
            and request.get("StatusEquals") in (None, record[store.STATUS_FIELD[kind]])
        ]
        found.sort(key=lambda record: record["CreationTime"], reverse=request.get("SortOrder") != "Ascending")
        first = int(request.get("NextToken") or 0)
        after = first + request.get("MaxResults", _LIST_PAGE)
        page = [{name: record[name] for name in fields if name in record} for record in found[first:after]]
        return {answer_field: page, **({"NextToken": str(after)} if after < len(found) else {})}

    return list_jobs


def _find(kind: str, name: str) -> store.Record:
    record = store.find(kind, name)
    if record is None:
        raise SageMakerError("ValidationException", "Requested resource not found.")
    return record


OPERATIONS: dict[str, Callable[[Request], Request]] = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": _describe(store.TRAINING),
    "StopTrainingJob": _stop(store.TRAINING),
    "ListTrainingJobs": _list(store.TRAINING, "TrainingJobSummaries"),
    "CreateProcessingJob": create_processing_job,
    "DescribeProcessingJob": _describe(store.PROCESSING),
    "StopProcessingJob": _stop(store.PROCESSING),
    "ListProcessingJobs": _list(store.PROCESSING, "ProcessingJobSummaries"),
    "CreateModelPackageGroup": packages.create_group,
    "DescribeModelPackageGroup": packages.describe_group,
    "DeleteModelPackageGroup": packages.delete_group,
    "ListModelPackageGroups": packages.list_groups,
    "CreateModelPackage": packages.create_package,
    "DescribeModelPackage": packages.describe_package,
    "UpdateModelPackage": packages.update_package,
    "DeleteModelPackage": packages.delete_package,
    "ListModelPackages": packages.list_packages,
}


def call(operation: str, request: Request) -> Request:
    """Run one operation under the caller's account and region. Raises SageMakerError."""
    function = OPERATIONS.get(operation)
    if function is None:
        raise SageMakerError("UnknownOperationException", f"{operation} is not available on one machine")
    validate(operation, request)
    return function(request)


def finished(kind: str, name: str) -> threading.Event:
    return jobs().ended(kind, _find(kind, name))


def stop_job(kind: str, name: str) -> None:
    """Stop a job that may have ended in the meantime."""
    jobs().stop(kind, _find(kind, name))


async def handle_request(
    method: str, path: str, headers: dict[str, Any], body: bytes, query: dict[str, Any]
) -> tuple[Any, ...]:
    """ministack's entry point: JSON in, JSON out (protocol json 1.1)."""
    del method, path, query
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    # A fresh dictionary each time: ministack adds headers to it.
    answer_headers = {"Content-Type": "application/x-amz-json-1.1"}
    try:
        answer = call(operation, json.loads(body or b"{}"))
    except ValueError:
        return 400, answer_headers, json.dumps({"__type": "SerializationException"}).encode()
    except SageMakerError as error:
        return 400, answer_headers, json.dumps({"__type": error.code, "message": error.message}).encode()
    return 200, answer_headers, json.dumps(answer).encode()
