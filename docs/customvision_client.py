"""What Microsoft's Python clients ask for, read from the installed package: operations, parameters, models.

The package's sources are generated code of one shape; `ast` reads from each method its verb, query parameters, body and
the statuses it accepts. So an operation that a newer client brings shows up here by itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

PACKAGE = "azure.cognitiveservices.vision.customvision"
# Side -> the version that the client of that side has in its base path.
SIDES = {"training": "v3.4-preview", "prediction": "v3.1"}
_VERBS = ("get", "post", "patch", "put", "delete")


@dataclass(frozen=True)
class Parameter:
    """One query parameter. type: the client's word, such as str, int, bool, float, [str]. limits: max_items, maximum, …"""

    name: str
    argument: str
    type: str
    is_required: bool
    limits: dict[str, int]


@dataclass(frozen=True)
class Operation:
    """One method of a client. path: below the side's base. body: a model's name, "multipart", or None."""

    side: str
    name: str
    verb: str
    path: str
    query: tuple[Parameter, ...]
    body: str | None
    statuses: tuple[int, ...]
    answer: str | None
    arguments: tuple[str, ...] = field(default=())

    @property
    def full_path(self) -> str:
        return f"/customvision/{SIDES[self.side]}/{self.side}{self.path}"


@cache
def operations() -> list[Operation]:
    """Every operation of both clients, training first, in the clients' order."""
    return [operation for side in SIDES for operation in _of_side(side)]


def models(side: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Model -> field on the wire -> {"type", "required", "readonly"}."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, model in vars(importlib.import_module(f"{PACKAGE}.{side}.models")).items():
        if _is_model(name, model):
            rules = model._validation
            found[name] = {
                entry["key"]: {
                    "type": entry["type"],
                    "required": bool(rules.get(attribute, {}).get("required")),
                    "readonly": bool(rules.get(attribute, {}).get("readonly")),
                }
                for attribute, entry in model._attribute_map.items()
            }
    return found


def _is_model(name: str, kind: Any) -> bool:
    return inspect.isclass(kind) and hasattr(kind, "_attribute_map") and not name.endswith("Exception")


def enums(side: str) -> dict[str, list[str]]:
    """Enumeration -> its words."""
    module = vars(importlib.import_module(f"{PACKAGE}.{side}.models"))
    return {
        name: [str(word.value) for word in kind]
        for name, kind in module.items()
        if inspect.isclass(kind) and issubclass(kind, Enum)
    }


def _of_side(side: str) -> list[Operation]:
    module = importlib.import_module(f"{PACKAGE}.{side}.operations")
    mixin = next(kind for name, kind in vars(module).items() if name.endswith("OperationsMixin"))
    return [_read(side, name, method) for name, method in vars(mixin).items() if hasattr(method, "metadata")]


def _read(side: str, name: str, method: Any) -> Operation:
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    signature = inspect.signature(method).parameters
    return Operation(
        side=side,
        name=name,
        verb=next(call.func.attr for call in calls if _is_sent(call)).upper(),  # type: ignore[attr-defined]
        path=method.metadata["url"],
        query=tuple(_query(tree, signature)),
        body=_body(tree, calls),
        statuses=_statuses(tree),
        answer=next((str(_words(call)[0]) for call in calls if _is_called(call, "_deserialize")), None),
        arguments=tuple(
            each for each in signature if each not in ("self", "custom_headers", "raw", "operation_config")
        ),
    )


def _is_sent(call: ast.Call) -> bool:
    """self._client.get(…)"""
    is_of_client = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Attribute)
    return is_of_client and call.func.value.attr == "_client" and call.func.attr in _VERBS  # type: ignore[attr-defined]


def _is_called(call: ast.Call, name: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == name


def _words(call: ast.Call) -> list[Any]:
    return [argument.value for argument in call.args if isinstance(argument, ast.Constant)]


def _query(tree: ast.AST, signature: Any) -> list[Parameter]:
    """query_parameters['tagIds'] = self._serialize.query("tag_ids", tag_ids, '[str]', div=',', max_items=20)"""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            target, call = node.targets[0], node.value
            if getattr(target.value, "id", "") == "query_parameters" and isinstance(call, ast.Call):
                argument, type = _words(call)
                values = {str(word.arg): getattr(word.value, "value", None) for word in call.keywords}
                limits = {
                    name: value for name, value in values.items() if isinstance(value, int) and name != "min_items"
                }
                is_required = signature[argument].default is inspect.Parameter.empty
                name = str(target.slice.value)  # type: ignore[attr-defined]
                found.append(Parameter(name, argument, type, is_required, limits))
    return found


def _body(tree: ast.AST, calls: list[ast.Call]) -> str | None:
    """self._serialize.body(batch, 'ImageFileCreateBatch'), or form data."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    if "form_data_content" in names:
        return "multipart"
    return next((str(_words(call)[0]) for call in calls if _is_called(call, "body") and _words(call)), None)


def _statuses(tree: ast.AST) -> tuple[int, ...]:
    """if response.status_code not in [200, 207]"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotIn):
            return tuple(each.value for each in node.comparators[0].elts)  # type: ignore[attr-defined]
    raise LookupError("the method accepts no status")
