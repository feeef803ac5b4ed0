"""The two functions of the surface behind a real HTTP port: what API Gateway makes of a request, they get.

The events are those of payload format 2.0: paths come decoded, only text types come as text. Which of the two functions
is asked follows from template.yaml's own routes.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ministack.services.apigateway import decode_http_api_path

from tests.core import Core
from tests.handlers import handle
from tests.infra.template import load_project
from tests.surfaces.customvision import shapes
from tests.surfaces.customvision.rights import held_to


@dataclass
class Gateway:
    """A running port. requests: method and path of everything that was asked, in order."""

    core: Core
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of one request; target is the path with its query, as it is on the wire."""
        self.requests.append(f"{method} {target}")
        event = event_of(method, target, headers, body)
        entry = entry_of(event["rawPath"])
        if entry is None:
            return 404, {"content-type": "application/json"}, b'{"message":"Not Found"}'
        with held_to(self.core, entry):
            answer = handle(self.core, "api_customvision", event, entry)
        text = answer.get("body") or ""
        raw = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
        if answer["statusCode"] < 300 and raw:
            shapes.check(method, event["rawPath"], answer["statusCode"], json.loads(raw))
        many = {name: values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items() if values}
        return answer["statusCode"], many | (answer.get("headers") or {}), raw


def event_of(method: str, target: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The request as a payload of format 2.0."""
    parts = urlsplit(target)
    path = decode_http_api_path(parts.path)
    lower = {name.lower(): value for name, value in headers.items()}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /customvision/{version}/{side}/{proxy+}",
        "rawPath": path,
        "rawQueryString": parts.query,
        "headers": lower,
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "requestId": "request-1",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    if found:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in found.items()}
    if body:
        is_text = _is_text(lower.get("content-type", ""))
        event["isBase64Encoded"] = not is_text
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
    return event


def _is_text(content_type: str) -> bool:
    kind = content_type.split(";", 1)[0].strip().lower()
    return kind.startswith("text/") or kind in ("application/json", "application/xml", "application/javascript")


def entry_of(path: str) -> str | None:
    """Which function's entry a path leads to: routes without a greedy part win, as in API Gateway."""
    for pattern, entry in _routes():
        if pattern.fullmatch(path):
            return entry
    return None


@cache
def _routes() -> list[tuple[re.Pattern[str], str]]:
    """The template's routes of the surface, the most specific first."""
    found: list[tuple[str, str]] = []
    for resource in load_project().document["Resources"].values():
        key = str(resource.get("Properties", {}).get("RouteKey", ""))
        if resource["Type"] == "AWS::ApiGatewayV2::Route" and "/customvision/" in key:
            integration = json.dumps(resource["Properties"]["Target"])
            found.append((key.split(" ", 1)[1], _entry(integration)))
    found.sort(key=lambda route: ("+}" in route[0], -len(re.sub(r"{.*?}", "", route[0]))))
    return [(_pattern(path), entry) for path, entry in found]


def _entry(integration: str) -> str:
    return "prediction_handler" if "Predict" in integration else "handler"


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.sub(r"\\{\w+\\\+\\}", ".+", re.escape(path))
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", escaped), re.DOTALL)


@contextmanager
def serving(core: Core) -> Iterator[Gateway]:
    """A gateway on a port of its own, for as long as the block runs."""
    gateway = Gateway(core)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            status, headers, answer = gateway.call(self.command, self.path, dict(self.headers.items()), body)
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
