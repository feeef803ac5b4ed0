"""Is an answer what the client's models say? Fields, types, times and words of every successful answer, all the way down."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from docs.customvision_client import Operation, enums, models, operations

# Fields whose words are an enumeration of the client.
WORDS = {
    ("Domain", "type"): "DomainType",
    ("Export", "platform"): "ExportPlatform",
    ("Export", "status"): "ExportStatus",
    ("ImageCreateResult", "status"): "ImageCreateStatus",
    ("ImageMetadataUpdateEntry", "status"): "ImageMetadataUpdateStatus",
    ("Iteration", "classificationType"): "Classifier",
    ("Iteration", "trainingType"): "TrainingType",
    ("Prediction", "tagType"): "TagType",
    ("Project", "status"): "ProjectStatus",
    ("ProjectSettings", "classificationType"): "Classifier",
    ("Tag", "type"): "TagType",
}
# Ours beside the service's: why an image could not be added.
MORE = {("ImageCreateResult", "message")}
_PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check(method: str, path: str, status: int, body: Any) -> None:
    """A successful answer has a status of its operation and the shape of its model. Raises AssertionError."""
    known = (each for pattern, each in _patterns() if each.verb == method and pattern.fullmatch(path))
    operation = next(known, None)
    if operation is None or status >= 300:
        return
    assert status in operation.statuses, f"{operation.name} answers {status}"
    if operation.answer:
        _check(operation.side, operation.answer, body, operation.name)


@cache
def _patterns() -> list[tuple[re.Pattern[str], Operation]]:
    """How each operation's path looks, those without an id in a place before those with one."""
    known = sorted(operations(), key=lambda each: each.path.count("{"))
    below = [re.sub(r"{\w+}", "[^/]+", each.path) for each in known]
    return [
        (re.compile(f"/customvision/[^/]+/(?i:{each.side}){path}"), each)
        for path, each in zip(below, known, strict=True)
    ]


@cache
def _models(side: str) -> dict[str, dict[str, dict[str, Any]]]:
    return models(side)


@cache
def _enums(side: str) -> dict[str, list[str]]:
    return enums(side)


def _check(side: str, type: str, value: Any, where: str) -> None:
    if type.startswith("["):
        assert isinstance(value, list), where
        for index, entry in enumerate(value):
            _check(side, type[1:-1], entry, f"{where}[{index}]")
    elif type.startswith("{"):
        assert isinstance(value, dict), where
        for key, entry in value.items():
            _check(side, type[1:-1], entry, f"{where}.{key}")
    elif type == "iso-8601":
        assert isinstance(value, str), where
        assert _TIME.fullmatch(value), f"{where}: {value!r}"
    elif type in _PLAIN:
        assert isinstance(value, _PLAIN[type]), f"{where} must be {type}: {value!r}"  # type: ignore[arg-type]
        assert type == "bool" or not isinstance(value, bool), f"{where} must be {type}: {value!r}"
    else:
        _check_model(side, type, value, where)


def _check_model(side: str, name: str, value: Any, where: str) -> None:
    fields = _models(side)[name]
    assert isinstance(value, dict), where
    for key, field in fields.items():
        if value.get(key) is None:
            assert not field["required"], f"{where}.{key} is missing"
            continue
        _check(side, field["type"], value[key], f"{where}.{key}")
        words = WORDS.get((name, key))
        assert words is None or value[key] in _enums(side)[words], f"{where}.{key}: {value[key]!r}"
    unknown = {key for key in value if key not in fields and (name, key) not in MORE}
    assert not unknown, f"{where} has {sorted(unknown)}, which {name} does not know"
