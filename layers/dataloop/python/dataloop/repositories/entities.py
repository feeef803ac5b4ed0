"""How frozen dataclasses become items and come back: one rule for all plain entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import Any, TypeVar

from dataloop.repositories.codec import Item

Entity = TypeVar("Entity")
# Attributes that begin so say what a deletion did to a version, a model or a release (repositories/erasures.py).
TOUCHED = "touched_"


def to_item(entity: Any, pk: str, sk: str, **indexes: str | None) -> Item:
    """Every field as an attribute, beside the keys; None is absent."""
    item = {"pk": pk, "sk": sk} | asdict(entity) | indexes
    return {name: value for name, value in item.items() if value is not None}


def from_item(kind: type[Entity], item: Mapping[str, Any], **converted: Any) -> Entity:
    """The entity again; attributes it does not know are left alone, missing ones take their defaults, or None."""
    names, required = _fields(kind)  # type: ignore[arg-type]
    values = {name: item[name] for name in names if name in item}
    return kind(**(required | values | converted))


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, ...], dict[str, None]]:
    """The names of a class's fields, and those that have no default."""
    known = fields(kind)
    required = {field.name: None for field in known if field.default is MISSING and field.default_factory is MISSING}
    return tuple(field.name for field in known), required


def touches_of(item: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What deletions did to an entity, in the order of their ids."""
    return tuple(item[name] for name in sorted(item) if name.startswith(TOUCHED) and isinstance(item[name], Mapping))
