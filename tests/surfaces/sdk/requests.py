"""What the SDK surface's tests share: the error shape, well-formed bodies, and every route with its tests."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.deployed import ROOT, DeployedStack

ROUTE = re.compile(r'@router\.(get|post|delete|put|patch)\("([^"]+)"\)')
CODES = {401: "Unauthenticated", 403: "Forbidden", 404: "NotFound", 413: "LimitExceeded", 422: "InvalidInput"}
NOWHERE = "01a20474-c3f3-785a-914e-aa900e000000"


def routes() -> list[tuple[str, str]]:
    """(METHOD, path) of every route that functions/api_sdk and functions/infer declare."""
    found = []
    modules = [*sorted((ROOT / "functions/api_sdk").glob("routes_*.py")), ROOT / "functions/infer/routes.py"]
    for module in modules:
        found += [(method.upper(), path) for method, path in ROUTE.findall(module.read_text("utf-8"))]
    return found


def is_error(body: Any) -> bool:
    """The one shape of every error: exactly code, message and details (design §13.5)."""
    return (
        isinstance(body, dict)
        and set(body) == {"code", "message", "details"}
        and isinstance(body["code"], str)
        and isinstance(body["message"], str)
        and bool(body["message"])
        and isinstance(body["details"], dict)
    )


def refused(stack: DeployedStack, status: int, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """The answer, which must be an error of this status in the one shape. Returns its body."""
    found, answer = stack.api(method, path, body, **more)
    assert found == status, (found, answer)
    assert is_error(answer), answer
    if status in CODES:
        assert answer["code"] == CODES[status]
    return answer


def send(stack: DeployedStack, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
    """A request byte for byte; the answer's JSON."""
    status, _, answer = stack.http(method, path, body, **headers)
    return status, json.loads(answer) if answer else None


def post_form(form: dict[str, Any], body: bytes) -> int:
    """Send a presigned form with a file; the store's status."""
    boundary = "dataloop-test-boundary"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in form["fields"].items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode() + body + b"\r\n"
    )
    data = b"".join(parts) + f"--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        form["url"], data=data, method="POST", headers={"content-type": f"multipart/form-data; boundary={boundary}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def plan(stack: DeployedStack, name: str, body: bytes, directory: str = "bad-input", **more: Any) -> dict[str, Any]:
    """The plan of one upload."""
    entry = {
        "file_name": name,
        "directory": directory,
        "size_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    } | more
    status, answer = stack.api("POST", "/uploads", {"files": [entry]})
    assert status == 200, answer
    found: dict[str, Any] = answer["results"][0]
    return found


def upload(stack: DeployedStack, name: str, body: bytes, directory: str = "bad-input") -> str:
    """Upload through the presigned form; returns the uid."""
    planned = plan(stack, name, body, directory)
    if not planned["exists"]:
        assert post_form(planned["upload"], body) in (200, 201, 204)
    return str(planned["uid"])


def annotation(*uids: str, **more: Any) -> dict[str, Any]:
    return {
        "annotationType": "detection",
        "dataId": list(uids),
        "labelInfo": [{"label": "cat", "bbox_xyxy": [1, 1, 9, 9]}],
        "labelMethod": "manual",
    } | more


def source_of(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.py")))


def quoted(path: str) -> str:
    return urllib.parse.quote(path)
