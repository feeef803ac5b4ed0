"""Requests to the ModelArts handler in this process, as the HTTP API passes them on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.core import Core
from tests.handlers import handle

PROJECT = "0123456789abcdef0123456789abcdef"


@dataclass
class Surface:
    """A tenant's key for one of Huawei's project ids, over a test's own account."""

    core: Core
    token: str
    project: str = PROJECT

    def __call__(
        self, method: str, path: str = "", body: object = None, *, query: object = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """(status, body) of /v2/{project_id}/datasets{path}."""
        text = query if isinstance(query, str) else urlencode(query)  # type: ignore[arg-type]
        given = {"host": "api.example.com"} | ({"x-auth-token": self.token} if self.token else {}) | headers
        raw = body if isinstance(body, str) else None if body is None else json.dumps(body)
        answer = handle(self.core, "api_modelarts", event(method, self.path(path), text, given, raw))
        return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else {}

    def path(self, path: str = "") -> str:
        return f"/v2/{self.project}/datasets{path}"

    def list(self, **query: object) -> list[dict[str, Any]]:
        status, answer = self("GET", query=query)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["datasets"]
        return found

    def create(self, name: str, type: int = 1, **fields: object) -> str:
        status, answer = self("POST", body={"dataset_name": name, "dataset_type": type, **fields})
        assert status == 201, answer
        return str(answer["dataset_id"])


def surface(core: Core, tenant: str = "default", *scopes: str, project: str = PROJECT) -> Surface:
    _, token = core.services.keyring.create(tenant, "test", list(scopes or ("admin",)), projects=[project])
    return Surface(core, token, project)


def event(method: str, path: str, query: str, headers: dict[str, str], body: str | None) -> dict[str, Any]:
    """Payload format 2.0."""
    parsed: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /v2/{project_id}/datasets",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "requestId": "request-1",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if query:
        parsed["queryStringParameters"] = _parsed(query)
    if body is not None:
        parsed["body"] = body
    return parsed


def _parsed(query: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}
