"""The one HTTP application of the process: the AWS API on one port, the deployed HTTP API at the root of the other."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ministack import app as ministack_app
from ministack.core.responses import set_request_client_ip
from ministack.services import apigateway

from dataloop_local.metering.meter import Meter

logger = logging.getLogger("dataloop.gateway")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A page on another site must not reach the API through a name that resolves to this machine (DNS rebinding).
_LOOPBACK_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_JSON = {"Content-Type": "application/json"}


class Application:
    """ASGI application for both ports; which port a request came in on decides what it is."""

    def __init__(self, gateway_port: int, meter: Meter) -> None:
        self._gateway_port = gateway_port
        self._meter = meter
        self.api_id: str | None = None
        self.ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["server"][1] == self._gateway_port:
            await self._gateway(scope, receive, send)
        else:
            await ministack_app.app(scope, receive, send)

    # -- the root gateway ---------------------------------------------------------------------------------------
    async def _gateway(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        body = await _body(receive)
        if body is None:
            return
        if _host_name(headers.get("host", "")) not in _LOOPBACK_NAMES:
            status, answer_headers, answer = _message(403, "Forbidden", "this port answers loopback names only")
        elif scope["path"].startswith("/_local/"):
            status, answer_headers, answer = self._local(scope["method"], scope["path"])
        elif self.api_id is None:
            status, answer_headers, answer = _message(503, "Unavailable", "the stack is not deployed yet")
            answer_headers["Retry-After"] = "1"
        else:
            status, answer_headers, answer = await self._execute(scope, headers, body)
        await ministack_app._send_response(
            ministack_app._with_date_header(send), status, answer_headers, answer, head=scope["method"] == "HEAD"
        )

    async def _execute(self, scope: Scope, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], Any]:
        """Hand the request to the HTTP API as if it had come to https://{api id}.execute-api.…"""
        query = scope.get("query_string", b"").decode("latin-1")
        raw_path = scope.get("raw_path") or scope["path"].encode()
        client = (scope.get("client") or ("127.0.0.1",))[0]
        set_request_client_ip(client)
        # API Gateway tells its functions how the client came; here that is plain HTTP on a loopback port.
        headers["x-forwarded-proto"] = "http"
        try:
            status, answer_headers, answer = await apigateway.handle_execute(
                self.api_id,
                "$default",
                apigateway.decode_http_api_path(raw_path.decode("ascii")),
                scope["method"],
                headers,
                body,
                parse_qs(query, keep_blank_values=True),
                raw_query_string=query,
            )
        except Exception:
            logger.exception("the gateway broke on %s %s", scope["method"], scope["path"])
            return _message(500, "InternalError", "the local gateway broke; its log has the reason")
        # A function may answer without a body (null), as a redirection does.
        return status, dict(answer_headers), b"" if answer is None else answer

    def _local(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """The runtime's own pages: health and metering."""
        if (method, path) == ("GET", "/_local/health"):
            return 200, dict(_JSON), json.dumps({"status": "ok" if self.ready else "starting"}).encode()
        if (method, path) == ("GET", "/_local/metering"):
            return 200, dict(_JSON), json.dumps(self._meter.report()).encode()
        if (method, path) == ("POST", "/_local/metering/reset"):
            self._meter.reset()
            return 204, {}, b""
        return _message(404, "NotFound", f"no page {method} {path}")


def _message(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    return status, dict(_JSON), json.dumps({"code": code, "message": message, "details": {}}).encode()


def _host_name(host: str) -> str:
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def _headers(scope: Scope) -> dict[str, str]:
    """Lower-case names; a repeated header is one comma-separated value, as API Gateway passes it on."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", []):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    return headers


async def _body(receive: Receive) -> bytes | None:
    """The whole request body; None when the client left."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
