"""Every way a call can fail, one class per outcome that a caller can act on.

    DataloopError
    ├── ConfigurationError        no url, unreadable config file                (raised before anything is sent)
    ├── LocalFileMissing          the file to upload is not there               (also a FileNotFoundError)
    ├── ConnectionFailed          no answer: refused, reset, name unknown, TLS  (also a ConnectionError)
    │   └── RequestTimeout        no answer in time                             (also a TimeoutError)
    ├── TransferError             the storage refused the bytes, or sent wrong ones
    │   └── ChecksumMismatch      what arrived is not what was promised; nothing was kept
    ├── TaskError                 waiting for a task did not end in SUCCEEDED; has .task
    │   ├── TaskFailed
    │   ├── TaskStopped
    │   └── TaskTimeout           also a TimeoutError; the task itself goes on
    └── ApiError                  the service answered with an error; one subclass per code
        ├── Unauthenticated       401   no key, wrong key, expired key
        ├── Forbidden             403   the key lacks the scope
        ├── ResidencyViolation    403   a restriction of region or security level forbids it
        ├── NotFound              404   unknown id (another tenant's id looks the same)
        ├── Conflict              409   the name is taken
        ├── IllegalTransition     409   not possible in this state, e.g. link to a built version
        ├── GateRefused           409   a quality gate said no; details has the reasons
        ├── LimitExceeded         413   too many items, too many bytes
        ├── InvalidInput          422   a field is missing or wrong; details name it
        ├── Throttled             429/503   retried first; raised when the retries are used up
        ├── Unavailable           503   retried first
        └── InternalError         500   retried first where a repeat is harmless

All carry the same fields: code, message, details, status, request_id.
"""

# The classes are named after the codes of the wire (NotFound, Conflict, …), so that a code seen in a log is the name
# to catch; hence no "Error" at their ends.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ankerautotrainsdk.results import Task


class DataloopError(Exception):
    """The base of the tree; `except DataloopError` catches everything this package raises on purpose.

    code: short name such as "NotFound"; stable, made for programs.
    message: one sentence for people.
    details: machine-readable facts, e.g. {"field": "dataId"}; may be empty.
    status: HTTP status, None when no HTTP answer is behind the error.
    request_id: the service's id of the request, to quote in a bug report; None when unknown.
    """

    default_code: ClassVar[str] = "DataloopError"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: dict[str, Any] = dict(details or {})
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by their positional arguments alone, which would drop the fields
        # when an error crosses a process pool.
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))

    def to_dict(self) -> dict[str, Any]:
        """The error in the service's own shape, plus status and request_id: made for JSON output and logs."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "status": self.status,
            "request_id": self.request_id,
        }


def _rebuild(kind: type[DataloopError], message: str, fields: dict[str, Any]) -> DataloopError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(fields)
    return error


class ConfigurationError(DataloopError):
    """The client cannot start: no url given anywhere, or a setting that cannot be read."""

    default_code = "NotConfigured"


class LocalFileMissing(DataloopError, FileNotFoundError):
    """The local file or folder that should be uploaded does not exist."""

    default_code = "LocalFileMissing"


class ConnectionFailed(DataloopError, ConnectionError):
    """No answer arrived. For calls that are not safe to repeat it is unknown whether they were carried out."""

    default_code = "ConnectionFailed"


class RequestTimeout(ConnectionFailed, TimeoutError):
    """No answer arrived within timeout_s."""

    default_code = "RequestTimeout"


class TransferError(DataloopError):
    """The object storage refused the bytes or could not deliver them; details has the storage's own code."""

    default_code = "TransferError"


class ChecksumMismatch(TransferError):
    """The bytes that arrived differ from what was promised in size or SHA-256. Nothing is left on disk."""

    default_code = "ChecksumMismatch"


class TaskError(DataloopError):
    """Waiting for a task did not end in success; .task is its last known state."""

    default_code = "TaskError"
    task: Task

    def __init__(self, message: str, task: Task, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.task = task


class TaskFailed(TaskError):
    """The task ended as FAILED; code and message are the reason the service recorded."""

    default_code = "TaskFailed"


class TaskStopped(TaskError):
    """Somebody stopped the task."""

    default_code = "TaskStopped"


class TaskTimeout(TaskError, TimeoutError):
    """The task did not end within the time the caller was ready to wait. It goes on."""

    default_code = "TaskTimeout"


class ApiError(DataloopError):
    """The service answered with an error whose code this version does not know."""

    default_code = "ApiError"


class Unauthenticated(ApiError):
    """401: no key, an unknown key or an expired key."""

    default_code = "Unauthenticated"


class Forbidden(ApiError):
    """403: the key is good, but lacks the scope for this call."""

    default_code = "Forbidden"


class ResidencyViolation(ApiError):
    """403: a restriction of region or security level does not let the data pass; details say what and why."""

    default_code = "ResidencyViolation"


class NotFound(ApiError):
    """404: there is no such thing for this tenant."""

    default_code = "NotFound"


class Conflict(ApiError):
    """409: the name is taken, or somebody else was faster."""

    default_code = "Conflict"


class IllegalTransition(ApiError):
    """409: not possible in the present state, e.g. linking to a dataset version that is built."""

    default_code = "IllegalTransition"


class GateRefused(ApiError):
    """409: a quality gate said no; details["reasons"] says why."""

    default_code = "GateRefused"


class LimitExceeded(ApiError):
    """413: too many items or bytes in one call; details name the limit."""

    default_code = "LimitExceeded"


class InvalidInput(ApiError):
    """422: a field is missing, has the wrong type or an impossible value; details name it.

    Also raised by the client itself (status None) for what can be seen without asking.
    """

    default_code = "InvalidInput"


class Throttled(ApiError):
    """429 or 503: too many calls; raised once the retries are used up."""

    default_code = "Throttled"


class Unavailable(ApiError):
    """503: the service cannot answer now; raised once the retries are used up."""

    default_code = "Unavailable"


class InternalError(ApiError):
    """500: a fault of the service; quote request_id in a report."""

    default_code = "InternalError"


_BY_CODE: dict[str, type[ApiError]] = {
    kind.default_code: kind
    for kind in (
        Unauthenticated,
        Forbidden,
        ResidencyViolation,
        NotFound,
        Conflict,
        IllegalTransition,
        GateRefused,
        LimitExceeded,
        InvalidInput,
        Throttled,
        Unavailable,
        InternalError,
    )
}
# For answers without our error shape: a gateway or proxy in between speaks plain HTTP.
_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: LimitExceeded,
    422: InvalidInput,
    429: Throttled,
    500: InternalError,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_from_answer(
    status: int | None, body: object, *, request_id: str | None = None, fallback: str = ""
) -> ApiError:
    """Turn an error body {"code","message","details"} into the exception of its code.

    status: HTTP status; None for an error that is one entry of a batch answer.
    fallback: message when the body has none (e.g. a proxy's HTML page).
    """
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    code = fields.get("code")
    code = code if isinstance(code, str) and code else None
    kind = _BY_CODE.get(code or "") or (_BY_STATUS.get(status, ApiError) if status else ApiError)
    message = fields.get("message")
    if not isinstance(message, str) or not message:
        message = fallback or (f"the service answered with HTTP status {status}" if status else "the item was refused")
    details = fields.get("details")
    return kind(
        message,
        code=code,
        details=details if isinstance(details, Mapping) else None,
        status=status,
        request_id=request_id,
    )
