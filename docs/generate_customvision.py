"""`make docs`: docs/openapi-customvision.json, and the table of operations and their tests in the surface's page.

What can be asked comes from the installed client (docs/customvision_client.py), what is served from the routes. A test
fails when either file differs, and when an operation has no route or no test.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

from docs.customvision_client import Operation, Parameter, enums, models, operations
from docs.generate import ENVIRONMENT
from tests.surfaces.customvision.coverage import covering_tests

HERE = Path(__file__).parent
TARGET = HERE / "openapi-customvision.json"
PAGE = HERE / "surfaces/customvision.md"
BEGIN, END = "<!-- operations: made by make docs -->", "<!-- end of operations -->"
_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "iso-8601": {"type": "string", "format": "date-time"},
    "bytearray": {"type": "string", "contentEncoding": "base64"},
    "object": {},
}
_LIMITS = {"max_items": "maxItems", "maximum": "maximum", "minimum": "minimum"}
# Parameters and fields whose words are an enumeration of the client.
_WORDS = {
    "classificationType": "Classifier",
    "taggingStatus": "TaggingStatus",
    "orderBy": "OrderBy",
    "sortBy": "SortBy",
    "platform": "ExportPlatform",
    "flavor": "ExportFlavor",
    "trainingType": "TrainingType",
}


def routes() -> dict[tuple[str, str], Any]:
    """(verb, path below the base, its parameters as {}) of every route -> its function."""
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    modules = [
        module
        for name in ("handler", "prediction_handler")
        for module in importlib.import_module(f"api_customvision.{name}").MODULES
    ]
    found: dict[tuple[str, str], Any] = {}
    for module in modules:
        for key, functions in module.router._routes.items():
            verbs = [key[1]] if isinstance(key[1], str) else list(key[1])
            for verb in verbs:
                found[verb, re.sub(r"<\w+>", "{}", key[0])] = functions[0] if isinstance(functions, list) else functions
    return found


def spelt(operation: Operation) -> tuple[str, str]:
    """The operation as `routes` has it."""
    return operation.verb, re.sub(r"{\w+}", "{}", f"/{operation.side}{operation.path}")


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    functions = routes()
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations():
        summary = " ".join((functions[spelt(operation)].__doc__ or "").split())
        paths.setdefault(operation.full_path, {})[operation.verb.lower()] = _operation(operation, summary)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dataloop: Azure Custom Vision", "version": importlib.import_module("dataloop").__version__},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "training": {"type": "apiKey", "in": "header", "name": "Training-Key"},
                "prediction": {"type": "apiKey", "in": "header", "name": "Prediction-Key"},
            },
        },
    }


def _operation(operation: Operation, summary: str) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success"}
    if operation.answer:
        success["content"] = _content(_type(operation.answer))
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary,
        "security": [{operation.side: []}],
        "parameters": [_parameter(name) for name in re.findall(r"{(\w+)}", operation.path)]
        + [_query(parameter) for parameter in operation.query],
        "responses": {str(status): success for status in operation.statuses}
        | {"default": {"description": "What went wrong", "content": _content(_type("CustomVisionError"))}},
    }
    if operation.body == "multipart":
        image = {"type": "object", "properties": {"imageData": {"type": "string", "format": "binary"}}}
        kinds = {"multipart/form-data": image, "application/octet-stream": {"type": "string", "format": "binary"}}
        found["requestBody"] = {"required": True, "content": {kind: {"schema": each} for kind, each in kinds.items()}}
    elif operation.body:
        found["requestBody"] = {"required": False, "content": _content(_type(operation.body))}
    return found


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _PLAIN["str"]}


def _query(parameter: Parameter) -> dict[str, Any]:
    schema = _worded(parameter.name, parameter.type)
    schema |= {_LIMITS[name]: value for name, value in parameter.limits.items()}
    found = {"name": parameter.name, "in": "query", "required": parameter.is_required, "schema": schema}
    return found | ({"style": "form", "explode": False} if schema.get("type") == "array" else {})


def schemas() -> dict[str, Any]:
    """The models and enumerations that operations name; those of both clients are the same where both have them."""
    found: dict[str, Any] = {}
    for side in ("prediction", "training"):
        found |= {name: {"type": "string", "enum": words} for name, words in enums(side).items()}
        for name, fields in models(side).items():
            found[name] = {
                "type": "object",
                "properties": {key: _worded(key, each["type"]) for key, each in fields.items()},
            }
            needed = [key for key, each in fields.items() if each["required"]]
            if needed:
                found[name]["required"] = needed
    found["TaggingStatus"] = {"type": "string", "enum": ["All", "Tagged", "Untagged"]}
    return dict(sorted(found.items()))


def _worded(name: str, type: str) -> dict[str, Any]:
    return _reference(_WORDS[name]) if type == "str" and name in _WORDS else dict(_type(type))


def _type(type: str) -> dict[str, Any]:
    if type in _PLAIN:
        return _PLAIN[type]
    if type.startswith("["):
        return {"type": "array", "items": _type(type[1:-1])}
    if type.startswith("{"):
        return {"type": "object", "additionalProperties": _type(type[1:-1])}
    return _reference(type)


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def rendered() -> str:
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def table() -> str:
    """Operation, request, statuses and the first test of each that says it covers it."""
    tests = covering_tests()
    lines = ["| operation | request | answers | test |", "|---|---|---|---|"]
    for operation in operations():
        file, test = tests.get(operation.name, [("", "")])[0]
        statuses = ", ".join(map(str, operation.statuses)) + (f" `{operation.answer}`" if operation.answer else "")
        request = f"{operation.verb} `/{operation.side}{operation.path}`"
        lines.append(f"| `{operation.name}` | {request} | {statuses} | `{file}` `{test}` |")
    return "\n".join(lines)


def page() -> str:
    """The page with the table of now."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
