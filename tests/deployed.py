"""The real template, deployed by the one-machine runtime: what surface and end-to-end tests talk to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from api_sdk import answers, schemas
from tests.local.stack import LocalStack

ROOT = Path(__file__).resolve().parent.parent


class DeployedStack(LocalStack):
    """Dataloop on one machine; `url` and `key` are all a client needs."""

    def __init__(self, state_dir: Path, *arguments: str) -> None:
        super().__init__(state_dir, *arguments, template=ROOT / "template.yaml")

    @property
    def url(self) -> str:
        return self.info.url

    @property
    def key(self) -> str:
        assert self.info.key is not None
        return self.info.key

    def api(self, method: str, path: str, body: object = None, key: str | None = "") -> tuple[int, dict[str, Any]]:
        """One request to /api/v1 with JSON both ways; key None sends none. Every answer is held against its schema."""
        secret = self.key if key == "" else key
        headers = {"content-type": "application/json"} | ({"x-api-key": secret} if secret else {})
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        status, _, answer = self.http(method, f"/api/v1{path}", raw, **headers)
        found: dict[str, Any] = json.loads(answer)
        check_answer(method, f"/api/v1{path}", status, found)
        return status, found

    def step(self, name: str, /, **given: object) -> dict[str, Any]:
        """One step of the workflow function."""
        function = self.output("WorkflowStepsFunctionName")
        event = json.dumps({"step": name, "input": given}).encode()
        answer = self.client("lambda").invoke(FunctionName=function, Payload=event)
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found

    def key_of(self, tenant: str, *scopes: str) -> str:
        """A new key of a tenant."""
        return str(self.step("keys.create", tenant=tenant, name="test", scopes=list(scopes or ("admin",)))["key"])


def check_answer(method: str, path: str, status: int, body: object) -> None:
    """The answer is what docs/openapi.json promises: the route's own shape, or an error."""
    if status >= 400:
        answers.Error.model_validate(body)
        return
    where = path.split("?")[0]
    for (verb, pattern), (_, answer, expected) in schemas.ROUTES.items():
        is_same = verb == method and re.fullmatch(re.sub(r"<\w+>", "[^/]+", pattern), where)
        if is_same and where.endswith("/lookup") == pattern.endswith("/lookup"):
            assert status == expected, f"{method} {where} answered {status}, promised is {expected}"
            assert answer is not None
            answer.model_validate(body)
            return
    raise AssertionError(f"{method} {where} is no route of the schema")
