"""The records of the local SageMaker: jobs, model packages and their groups; every change is logged before it counts."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

TRAINING = "training-job"
PROCESSING = "processing-job"
PACKAGE = "model-package"
GROUP = "model-package-group"

RESTART_REASON = "InternalServerError: the local runtime restarted while the job was running"

Record = dict[str, Any]

# (kind, name) -> record. One dictionary a process, as in every ministack service.
records = AccountRegionScopedDict()
_lock = threading.RLock()
_log: Callable[[dict[str, Any]], None] | None = None

STATUS_FIELD = {TRAINING: "TrainingJobStatus", PROCESSING: "ProcessingJobStatus"}
NAME_FIELD = {TRAINING: "TrainingJobName", PROCESSING: "ProcessingJobName"}
ARN_FIELD = {
    TRAINING: "TrainingJobArn",
    PROCESSING: "ProcessingJobArn",
    PACKAGE: "ModelPackageArn",
    GROUP: "ModelPackageGroupArn",
}
ENDED = {"Completed", "Failed", "Stopped"}


def log_with(append: Callable[[dict[str, Any]], None]) -> None:
    """Send every change to the write-ahead log from now on."""
    global _log
    _log = append


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{get_region()}:{get_account_id()}:{kind}/{name}"


def find(kind: str, name: str) -> Record | None:
    record: Record | None = records.get(f"{kind}/{name}")
    return record


def all_of(kind: str) -> list[Record]:
    return [record for key, record in records.items() if key.startswith(f"{kind}/")]


def create(kind: str, name: str, record: Record) -> bool:
    """Add a record; False when the name is taken (names are unique for ever, as on AWS)."""
    with _lock:
        if find(kind, name) is not None:
            return False
        records[f"{kind}/{name}"] = record
        save(kind, name, record)
        return True


def save(kind: str, name: str, record: Record) -> None:
    """Make the record's present content durable."""
    with _lock:
        record["LastModifiedTime"] = time.time()
        if _log is not None:
            _log({"sagemaker": [get_account_id(), get_region(), f"{kind}/{name}", dict(record)]})


def delete(kind: str, name: str) -> None:
    """Forget a record for good."""
    with _lock:
        records.pop(f"{kind}/{name}", None)
        if _log is not None:
            _log({"sagemaker": [get_account_id(), get_region(), f"{kind}/{name}", None]})


def restore(recovered: list[list[Any]]) -> None:
    """Apply what the log says, in its order, and end jobs that were running when the process died."""
    for account, region, key, record in recovered:
        if record is None:
            records.pop_scoped(account, region, key, None)
        else:
            records.set_scoped(account, region, key, record)
    for (_, _, key), record in records.all_items():
        kind = key.partition("/")[0]
        field = STATUS_FIELD.get(kind)
        if field is not None and record[field] not in ENDED:
            record[field] = "Failed"
            record["FailureReason"] = RESTART_REASON
            if kind == TRAINING:
                record["SecondaryStatus"] = "Failed"
                record["TrainingEndTime"] = record["LastModifiedTime"] = time.time()
            else:
                record["ProcessingEndTime"] = record["LastModifiedTime"] = time.time()


def get_state() -> dict[str, Any]:
    """For ministack's save: the same contract as its own services."""
    return {"records": copy.deepcopy(records)}


def load_persisted_state(data: dict[str, Any]) -> None:
    records.update(data.get("records", {}))


def reset() -> None:
    records.clear()
