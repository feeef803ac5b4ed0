"""Status-change events on the default bus, in AWS's shape."""

from __future__ import annotations

import json
import time

from ministack.core.responses import request_scope
from ministack.services import eventbridge

from dataloop_local.sagemaker import store

_DETAIL_TYPE = {
    store.TRAINING: "SageMaker Training Job State Change",
    store.PROCESSING: "SageMaker Processing Job State Change",
    store.PACKAGE: "SageMaker Model Package State Change",
}
# EventBridge refuses entries over 256 KB; hyperparameters and inputs are what makes a description large.
_LARGE_FIELDS = ("Environment", "InputDataConfig", "ProcessingInputs")
_EVENT_MAX_BYTES = 200 * 1024
_ANNOUNCE_AGAIN_S = 900.0


def emit(kind: str, record: store.Record) -> None:
    """Put the state change on the bus. Times are milliseconds in these events, seconds in the API."""
    detail = {name: _milliseconds(name, value) for name, value in record.items()}
    text = json.dumps(detail)
    if len(text) > _EVENT_MAX_BYTES:
        text = json.dumps({name: value for name, value in detail.items() if name not in _LARGE_FIELDS})
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.sagemaker",
                    "DetailType": _DETAIL_TYPE[kind],
                    "Detail": text,
                    "Resources": [record[store.ARN_FIELD[kind]]],
                }
            ]
        },
        allow_aws_source=True,
    )


def announce_restarted() -> int:
    """Emit the event of every job that a restart ended lately; receivers see every event at least once anyway."""
    announced = 0
    for (account, region, key), record in store.records.all_items():
        kind = key.partition("/")[0]
        lately = time.time() - record.get("LastModifiedTime", 0) < _ANNOUNCE_AGAIN_S
        if record.get("FailureReason") == store.RESTART_REASON and lately:
            with request_scope(account, region):
                emit(kind, record)
            announced += 1
    return announced


def _milliseconds(name: str, value: object) -> object:
    if name.endswith("Time") and isinstance(value, float):
        return int(value * 1000)
    return value
