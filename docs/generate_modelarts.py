"""`make docs`: docs/openapi-modelarts.json from the routes and the documented fields. A test fails when it differs."""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

from docs.generate import ENVIRONMENT

TARGET = Path(__file__).parent / "openapi-modelarts.json"
MODULES = ("api_modelarts.routes_datasets", "api_modelarts.routes_versions")
_INTEGER: dict[str, Any] = {"type": "integer"}
_BOOLEAN: dict[str, Any] = {"type": "boolean"}
_TEXT: dict[str, Any] = {"type": "string"}
_PLAIN: dict[str, dict[str, Any]] = {
    "Integer": _INTEGER,
    "Long": {"type": "integer", "format": "int64"},
    "String": _TEXT,
    "Boolean": _BOOLEAN,
    "Map": {"type": "object"},
    "Array of strings": {"type": "array", "items": _TEXT},
}
_OF_TASKS = {"check_running_task": _BOOLEAN, "running_task_type": _INTEGER | {"enum": list(range(8))}}
_OF_VERSIONS = {"train_evaluate_ratio": _TEXT, "version_format": _INTEGER | {"enum": [0, 1, 2]}}
# Path below the project's datasets -> its query parameters.
QUERIES: dict[str, dict[str, dict[str, Any]]] = {
    "": {
        **_OF_TASKS,
        **_OF_VERSIONS,
        "contain_versions": _BOOLEAN,
        "dataset_type": _INTEGER | {"enum": [0, 1, 3, 100, 101, 102, 200, 201, 202, 400, 600, 900]},
        "dataset_version": _TEXT | {"enum": ["v1", "v2", "all"], "default": "v1"},
        "file_preview": _BOOLEAN,
        "limit": _INTEGER | {"minimum": 1, "maximum": 100, "default": 10},
        "offset": _INTEGER | {"minimum": 0, "default": 0, "description": "Number of the page, from 0."},
        "order": _TEXT | {"enum": ["desc", "asc"], "default": "desc"},
        "search_content": _TEXT | {"maxLength": 100},
        "sort_by": _TEXT | {"enum": ["create_time", "dataset_name"], "default": "create_time"},
        "support_export": _BOOLEAN,
        "with_labels": _BOOLEAN,
        "workspace_id": _TEXT,
    },
    "/<dataset_id>": _OF_TASKS,
    "/<dataset_id>/versions": _OF_VERSIONS | {"status": _INTEGER | {"enum": list(range(5))}},
}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list_of(kind: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{kind}"}}


def _reference(kind: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{kind}"}


# (verb, path below the datasets) -> (status, answer, is there a body? docs/surfaces/modelarts.md has its fields).
ANSWERS: dict[tuple[str, str], tuple[int, dict[str, Any] | None, bool]] = {
    ("GET", ""): (200, _reference("Body"), False),
    ("POST", ""): (201, _object(dataset_id=_TEXT, import_task_id=_TEXT), True),
    ("GET", "/<dataset_id>"): (200, _reference("DatasetAndFilePreview"), False),
    ("PUT", "/<dataset_id>"): (200, _object(dataset_id=_TEXT), True),
    ("DELETE", "/<dataset_id>"): (204, None, False),
    ("GET", "/<dataset_id>/versions"): (
        200,
        _object(total_number=_INTEGER, versions=_list_of("DatasetVersion")),
        False,
    ),
    ("POST", "/<dataset_id>/versions"): (201, _object(version_id=_TEXT), True),
    ("GET", "/<dataset_id>/versions/<version_id>"): (200, _reference("DatasetVersion"), False),
    ("DELETE", "/<dataset_id>/versions/<version_id>"): (204, None, False),
    ("GET", "/<dataset_id>/data-annotations/labels"): (200, _object(labels=_list_of("Label")), False),
}
BASE = "/v2/<project_id>/datasets"


def routes() -> dict[tuple[str, str], Any]:
    """(method, path) of every route -> its function."""
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    found: dict[tuple[str, str], Any] = {}
    for name in MODULES:
        for key, functions in importlib.import_module(name).router._routes.items():
            methods = [key[1]] if isinstance(key[1], str) else list(key[1])
            for verb in methods:
                found[verb, key[0]] = functions[0] if isinstance(functions, list) else functions
    return found


def schemas() -> dict[str, Any]:
    """The documented objects."""
    fields: dict[str, dict[str, str]] = importlib.import_module("api_modelarts.objects").FIELDS
    return {kind: _object(**{name: _type(type) for name, type in each.items()}) for kind, each in fields.items()}


def _type(type: str) -> dict[str, Any]:
    if type in _PLAIN:
        return _PLAIN[type]
    return _list_of(type[1:-1]) if type.startswith("[") else _reference(type)


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    functions = routes()
    paths: dict[str, dict[str, Any]] = {}
    for (verb, below), (status, answer, has_body) in ANSWERS.items():
        function = functions[verb, BASE + below]
        queries = QUERIES.get(below, {}) if verb == "GET" else {}
        operation: dict[str, Any] = {
            "operationId": function.__name__,
            "summary": " ".join((function.__doc__ or "").split()),
            "parameters": [_parameter(name, "path", _TEXT) for name in re.findall(r"<(\w+)>", BASE + below)]
            + [_parameter(name, "query", schema) for name, schema in sorted(queries.items())],
            "responses": {
                str(status): {"description": "Success"} | ({"content": _content(answer)} if answer else {}),
                "default": {"description": "What went wrong", "content": _content(_reference("Error"))},
            },
        }
        if has_body:
            operation["requestBody"] = {"required": True, "content": _content({"type": "object"})}
        paths.setdefault(re.sub(r"<(\w+)>", r"{\1}", BASE + below), {})[verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dataloop: ModelArts datasets", "version": importlib.import_module("dataloop").__version__},
        "security": [{"token": []}, {"signature": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas() | {"Error": _object(error_code=_TEXT, error_msg=_TEXT)},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=…",
                },
            },
        },
    }


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def rendered() -> str:
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")
