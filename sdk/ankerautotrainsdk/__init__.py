"""The Dataloop client: upload images, label, build datasets, train, release, and find out why a model is as it is.

    from ankerautotrainsdk import AnkerAutoTrainSDK

    client = AnkerAutoTrainSDK(url="http://127.0.0.1:8000")

Standard library plus one progress bar; see docs/sdk.md for every method.
"""

from ankerautotrainsdk._version import __version__
from ankerautotrainsdk.client import AnkerAutoTrainSDK
from ankerautotrainsdk.errors import (
    ApiError,
    ChecksumMismatch,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DataloopError,
    Forbidden,
    GateRefused,
    IllegalTransition,
    InternalError,
    InvalidInput,
    LimitExceeded,
    LocalFileMissing,
    NotFound,
    RequestTimeout,
    ResidencyViolation,
    TaskError,
    TaskFailed,
    TaskStopped,
    TaskTimeout,
    Throttled,
    TransferError,
    Unauthenticated,
    Unavailable,
)
from ankerautotrainsdk.results import BatchResult, Page, Record

__all__ = [
    "AnkerAutoTrainSDK",
    "ApiError",
    "BatchResult",
    "ChecksumMismatch",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "DataloopError",
    "Forbidden",
    "GateRefused",
    "IllegalTransition",
    "InternalError",
    "InvalidInput",
    "LimitExceeded",
    "LocalFileMissing",
    "NotFound",
    "Page",
    "Record",
    "RequestTimeout",
    "ResidencyViolation",
    "TaskError",
    "TaskFailed",
    "TaskStopped",
    "TaskTimeout",
    "Throttled",
    "TransferError",
    "Unauthenticated",
    "Unavailable",
    "__version__",
]
