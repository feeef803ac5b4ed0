"""`make docs`: docs/openapi.json from the routes and their schemas. A test fails when the committed file differs."""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

TARGET = Path(__file__).parent / "openapi.json"
SDK = (
    "system",
    "data",
    "datasets",
    "tasks",
    "models",
    "analyses",
    "loops",
    "versions",
    "search",
    "files",
    "imports",
    "deletions",
)
# Two functions serve /api/v1.
MODULES = (*(f"api_sdk.routes_{name}" for name in SDK), "infer.routes")
QUERIES = {
    "limit": "Items a page, 1 to 1000 (default 100).",
    "cursor": "Where to go on: the cursor of the page before.",
    "day": "yyyy-mm-dd, UTC (default: today).",
    "kind": "One kind of task.",
    "name": "One name: of a release, of a dataset.",
    "force": "true: also when models learnt from it (scope admin).",
    "dataset_name": "Name of the dataset.",
    "dataset_version": "Version of the dataset.",
}
# Enough for the handlers to be imported; nothing is called.
ENVIRONMENT = {
    "DATALOOP_STAGE": "docs",
    "DATALOOP_TABLE": "table",
    "DATALOOP_ONCE_TABLE": "once",
    "DATALOOP_RAW_BUCKET": "raw",
    "DATALOOP_ARTIFACTS_BUCKET": "artifacts",
    "DATALOOP_REGION": "us-east-1",
}


def routes() -> dict[tuple[str, str], Any]:
    """(method, path) of every route of the SDK surface -> its function."""
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    found: dict[tuple[str, str], Any] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for key, functions in module.router._routes.items():
            path, method = key[0], key[1]
            methods = [method] if isinstance(method, str) else list(method)
            for verb in methods:
                found[verb, path] = functions[0] if isinstance(functions, list) else functions
    return found


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    functions = routes()
    schemas = importlib.import_module("api_sdk.schemas")
    models: set[type[BaseModel]] = {schemas.answers.Error}
    for request, answer, _ in schemas.ROUTES.values():
        models |= {model for model in (request, answer) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), (request, answer, status) in schemas.ROUTES.items():
        function = functions[method, path]
        text = (function.__doc__ or "").strip()
        operation: dict[str, Any] = {
            "operationId": function.__name__,
            "summary": " ".join(text.split()),
            "parameters": _parameters(path, function),
            "responses": _responses(answer, status),
        }
        if request is not None:
            operation["requestBody"] = {"required": True, "content": _content(request)}
        if path == "/health":
            operation["security"] = []
        paths.setdefault(re.sub(r"<(\w+)>", r"{\1}", path), {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dataloop: the SDK's HTTP API", "version": importlib.import_module("dataloop").__version__},
        "security": [{"bearer": []}, {"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _parameters(path: str, function: Any) -> list[dict[str, Any]]:
    """Path parameters from the path, query parameters from the names that the function's code reads."""
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", path)
    ]
    code = function.__code__
    names = [text for text in code.co_consts if text in QUERIES] if "query" in code.co_names else []
    if "page" in code.co_names:
        names += ["limit", "cursor"]
    found += [
        {"name": name, "in": "query", "description": QUERIES[name], "schema": {"type": "string"}}
        for name in dict.fromkeys(names)
    ]
    return found


def _responses(answer: type[BaseModel] | None, status: int) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Redirect to the file" if answer is None else "Success"}
    if answer is not None:
        success["content"] = _content(answer)
    error = {"description": "What went wrong (docs/errors.md)", "content": {"application/json": _reference("Error")}}
    return {str(status): success, "default": error}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": _reference(model.__name__)}


def _reference(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def rendered() -> str:
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")
