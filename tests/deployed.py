"""The real template, deployed by the one-machine runtime: what surface and end-to-end tests talk to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        """One request to /api/v1 with JSON both ways; key None sends none."""
        secret = self.key if key == "" else key
        headers = {"content-type": "application/json"} | ({"x-api-key": secret} if secret else {})
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        status, _, answer = self.http(method, f"/api/v1{path}", raw, **headers)
        return status, json.loads(answer)

    def step(self, name: str, **given: object) -> dict[str, Any]:
        """One step of the workflow function."""
        function = self.output("WorkflowStepsFunctionName")
        event = json.dumps({"step": name, "input": given}).encode()
        answer = self.client("lambda").invoke(FunctionName=function, Payload=event)
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found

    def key_of(self, tenant: str, *scopes: str) -> str:
        """A new key of a tenant."""
        return str(self.step("keys.create", tenant=tenant, name="test", scopes=list(scopes or ("admin",)))["key"])
