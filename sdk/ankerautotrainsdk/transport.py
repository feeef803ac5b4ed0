"""JSON calls to the service: authentication, retries, and errors as exceptions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ankerautotrainsdk._version import __version__
from ankerautotrainsdk.config import Credentials
from ankerautotrainsdk.connections import Answer, ConnectionPool, NotSent, send
from ankerautotrainsdk.errors import (
    ApiError,
    ConnectionFailed,
    InvalidInput,
    RequestTimeout,
    Unauthenticated,
    error_from_answer,
)
from ankerautotrainsdk.retry import REFUSED_STATUSES, RETRY_STATUSES, RetryPolicy, retry_after_seconds

API_PREFIX = "/api/v1"
_REQUEST_ID_HEADERS = ("x-request-id", "apigw-requestid", "x-amzn-requestid")


def path(*parts: str) -> str:
    """ "/tasks/<id>" with every part escaped, so that an id can never reach another route."""
    for part in parts:
        if not isinstance(part, str) or not part or part in (".", ".."):
            raise InvalidInput(f"not a usable id or name: {part!r}", details={"value": repr(part)})
    return "/" + "/".join(quote(part, safe="") for part in parts)


class Transport:
    """One service, one key; safe to share between threads."""

    def __init__(self, credentials: Credentials, pool: ConnectionPool, retry: RetryPolicy) -> None:
        self.credentials = credentials
        self.pool = pool
        self.retry = retry
        base = credentials.url.rstrip("/")
        self._root = base.removesuffix(API_PREFIX)
        self._headers = {
            "Accept": "application/json",
            "User-Agent": f"ankerautotrainsdk/{__version__} python/{sys.version.split()[0]}",
        }
        if credentials.api_key:
            self._headers["Authorization"] = f"Bearer {credentials.api_key}"

    def get(self, route: str, query: Mapping[str, Any] | None = None) -> Any:
        """GET; query values of None are left out."""
        return self.call("GET", route, query=query)

    def post(self, route: str, body: object = None) -> Any:
        """POST of something that is the same when done twice: all registrations, which are known by their content."""
        return self.call("POST", route, body=body)

    def post_keyed(self, route: str, body: object = None) -> Any:
        """POST of something that would happen twice, such as starting a training.

        It carries an Idempotency-Key, by which the service knows a repeat and answers what the first one made.
        """
        return self.call("POST", route, body=body, headers={"Idempotency-Key": os.urandom(16).hex()})

    def post_once(self, route: str, body: object = None) -> Any:
        """POST of something that would happen twice and that the service cannot recognise, such as a rollback.

        It is sent again only when it certainly was not carried out.
        """
        return self.call("POST", route, body=body, may_repeat=False)

    def put(self, route: str, body: object = None) -> Any:
        """PUT; doing it twice is the same as once."""
        return self.call("PUT", route, body=body)

    def delete(self, route: str) -> Any:
        """DELETE; deleting twice is the same as once."""
        return self.call("DELETE", route)

    def health(self) -> Any:
        """GET /health, which needs no key and lies beside, not below, the API's prefix."""
        return self._decoded(self._with_retries("GET", f"{self._root}/health", None, None, may_repeat=True))

    def call(
        self,
        method: str,
        route: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        may_repeat: bool = True,
    ) -> Any:
        """One call with retries; the decoded JSON answer, None for an empty one.

        route: below /api/v1, already escaped. body: anything json can write.
        Raises ApiError by the service's code, ConnectionFailed when no answer came.
        """
        url = f"{self._root}{API_PREFIX}{route}"
        given = {key: value for key, value in (query or {}).items() if value is not None}
        if given:
            url = f"{url}?{urlencode(given)}"
        return self._decoded(self._with_retries(method, url, _encoded(body), headers, may_repeat=may_repeat))

    def _with_retries(
        self, method: str, url: str, body: bytes | None, extra: Mapping[str, str] | None, *, may_repeat: bool
    ) -> Answer:
        headers = {**self._headers, **(extra or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        attempt = 0
        while True:
            wait_s: float | None = None
            try:
                with send(self.pool, method, url, headers, body, may_repeat=may_repeat) as open_answer:
                    answer = open_answer.read_all()
                if answer.status not in (RETRY_STATUSES if may_repeat else REFUSED_STATUSES):
                    return answer
                wait_s = retry_after_seconds(answer.header("Retry-After"))
                if not self.retry.wait(attempt, wait_s):
                    return answer
            except ConnectionFailed as error:
                certainly_not_done = isinstance(error, NotSent)
                if not (may_repeat or certainly_not_done):
                    raise type(error)(
                        f"{error.message}; it is unknown whether the call was carried out", details=error.details
                    ) from error
                if not self.retry.wait(attempt):
                    raise _plain(error, attempt + 1) from error
            attempt += 1

    def _decoded(self, answer: Answer) -> Any:
        request_id = next((found for name in _REQUEST_ID_HEADERS if (found := answer.header(name))), None)
        try:
            content = json.loads(answer.body) if answer.body else None
        except ValueError:
            content, is_json = None, False
        else:
            is_json = True
        if 200 <= answer.status < 300 and is_json:
            return content
        if 200 <= answer.status < 400:
            # A redirect or a web page: some other server answers at this address.
            raise ApiError(
                f"{self._root} answered with something that is not the Dataloop API (HTTP {answer.status})",
                status=answer.status,
                request_id=request_id,
            )
        error = error_from_answer(answer.status, content, request_id=request_id)
        if isinstance(error, Unauthenticated) and not self.credentials.api_key:
            error.message += " (no API key was sent: pass api_key or set DATALOOP_API_KEY)"
        raise error


def _encoded(body: object) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"text that is not valid Unicode: {error}") from error
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"this cannot be written as JSON: {error}") from error


def _plain(error: ConnectionFailed, attempts: int) -> ConnectionFailed:
    """The public exception of a connection error, saying how often it was tried."""
    kind = RequestTimeout if isinstance(error, RequestTimeout) or error.code == "RequestTimeout" else ConnectionFailed
    return kind(f"{error.message} (tried {attempts} times)" if attempts > 1 else error.message, details=error.details)
