"""Labels with their properties and attributes: as a client sends them, as a dataset keeps them, as they are answered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from api_modelarts import wire
from api_modelarts.objects import whole
from api_modelarts.vocabulary import LABEL_TYPES
from dataloop.domain.errors import Conflict, InvalidInput, NotFound

Json = dict[str, Any]

MAX_LABEL_NAME = 100  # ours; the documentation gives no number
MAX_ATTRIBUTE_NAME = 64  # "不能超过64个字符"
_FORBIDDEN_IN_ATTRIBUTES = "!<>=&\"'"
_PREFIX = "@modelarts:"
_SHAPES = ("", "bndbox", "polygon", "circle", "line", "dashed", "point", "polyline")
_COLOR = re.compile(r"(#[0-9A-Fa-f]{6})?")
_PROPERTIES = ("color", "default_shape", "from_type", "shortcut", "to_type")


# -- from the client ---------------------------------------------------------------------------------------------
def read_all(body: wire.Json, name: str, default_type: int) -> list[Json]:
    """The labels of a request as a dataset keeps them. Raises InvalidInput, LimitExceeded, Conflict (a name twice)."""
    found = [_read(entry, default_type) for entry in wire.objects(body, name, wire.MAX_LABELS)]
    seen: set[str] = set()
    for label in found:
        if label["name"] in seen:
            raise Conflict("label", label["name"])
        seen.add(label["name"])
    return found


def _read(body: wire.Json, default_type: int) -> Json:
    name = wire.text(body, "name", MAX_LABEL_NAME)
    if not name.strip() or any(ord(letter) < 32 for letter in name):
        raise InvalidInput("labels.name", f"must be 1 to {MAX_LABEL_NAME} characters without control characters", name)
    given = wire.an_object(body, "property")
    if given.get(f"{_PREFIX}rename_to"):
        raise InvalidInput(
            f"{_PREFIX}rename_to", "is not possible: annotations keep the label they were made with", name
        )
    properties = {each: wire.text(given, _PREFIX + each, 100) for each in _PROPERTIES}
    if not _COLOR.fullmatch(properties["color"]):
        raise InvalidInput(f"{_PREFIX}color", "must be # and six hex digits", properties["color"])
    if properties["default_shape"] not in _SHAPES:
        shape = properties["default_shape"]
        raise InvalidInput(f"{_PREFIX}default_shape", f"must be one of {', '.join(_SHAPES[1:])}", shape)
    return {
        "name": name,
        "type": wire.choice(body, "type", LABEL_TYPES, default_type if default_type in LABEL_TYPES else 0),
        "properties": {each: value for each, value in properties.items() if value},
        "attributes": [_read_attribute(name, entry) for entry in wire.objects(body, "attributes")],
    }


def _read_attribute(label: str, body: wire.Json) -> Json:
    name = wire.text(body, "name", MAX_ATTRIBUTE_NAME)
    if not name or any(letter in _FORBIDDEN_IN_ATTRIBUTES for letter in name):
        rule = f"must be 1 to {MAX_ATTRIBUTE_NAME} characters, none of {_FORBIDDEN_IN_ATTRIBUTES}"
        raise InvalidInput("attributes.name", rule, name)
    values = [
        {"id": wire.text(entry, "id", 64) or _id(label, name, index), "value": wire.text(entry, "value")}
        for index, entry in enumerate(wire.objects(body, "values"))
    ]
    return {
        "id": wire.text(body, "id", 64) or _id(label, name),
        "name": name,
        "type": wire.word(body, "type", ("text", "select")),
        "default_value": wire.text(body, "default_value"),
        "values": values,
    }


def _id(*parts: object) -> str:
    """An id that the same request gives again."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


def changed(known: Iterable[Mapping[str, Any]], body: wire.Json, default_type: int) -> list[Json] | None:
    """The labels of a dataset after add_labels, update_labels and delete_labels; None when nothing is asked for.

    Raises InvalidInput, Conflict (an added label is there), NotFound (another is not). The documentation's own example
    says add_tags for add_labels: both are read.
    """
    edits = ("add_labels", "add_tags", "update_labels", "delete_labels")
    if not any(body.get(name) for name in edits):
        return None
    labels = {str(label["name"]): dict(label) for label in known}
    for name in ("add_labels", "add_tags"):
        for label in read_all(body, name, default_type):
            if label["name"] in labels:
                raise Conflict("label", label["name"])
            labels[label["name"]] = label
    for label in read_all(body, "update_labels", default_type):
        _require(labels, label["name"])
        labels[label["name"]] = label
    for label in read_all(body, "delete_labels", default_type):
        _require(labels, label["name"])
        del labels[label["name"]]
    return list(labels.values())


def _require(labels: Mapping[str, Any], name: str) -> None:
    if name not in labels:
        raise NotFound("label", name)


# -- to the client -----------------------------------------------------------------------------------------------
def parts(label: Mapping[str, Any] | None) -> Json:
    """property and attributes of a label; of one that nobody declared, neutral ones."""
    known = label or {}
    properties = {_PREFIX + name: value for name, value in known.get("properties", {}).items()}
    attributes = [
        whole(
            "LabelAttribute",
            {**entry, "values": [whole("LabelAttributeValue", value) for value in entry.get("values", [])]},
        )
        for entry in known.get("attributes", [])
    ]
    return {"property": whole("LabelProperty", properties), "attributes": attributes}


def answered(known: Iterable[Mapping[str, Any]], used: Iterable[str], type: int) -> list[Json]:
    """A dataset's labels: the declared ones in their order, then those that only its annotations have."""
    declared = {str(label["name"]): label for label in known}
    found = [whole("Label", {"name": n, "type": each["type"], **parts(each)}) for n, each in declared.items()]
    others = sorted(set(used) - declared.keys())
    return found + [whole("Label", {"name": name, "type": type, **parts(None)}) for name in others]
