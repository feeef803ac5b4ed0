"""How frozen dataclasses become items and come back: one rule for all plain entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

from dataloop.repositories.codec import Item

Entity = TypeVar("Entity")


def to_item(entity: Any, pk: str, sk: str, **indexes: str | None) -> Item:
    """Every field as an attribute, beside the keys; None is absent."""
    item = {"pk": pk, "sk": sk} | asdict(entity) | indexes
    return {name: value for name, value in item.items() if value is not None}


def from_item(kind: type[Entity], item: Mapping[str, Any], **converted: Any) -> Entity:
    """The entity again; attributes it does not know are left alone, missing ones take their defaults, or None."""
    known = fields(kind)  # type: ignore[arg-type]
    required = {field.name: None for field in known if field.default is MISSING and field.default_factory is MISSING}
    values = {field.name: item[field.name] for field in known if field.name in item}
    return kind(**(required | values | converted))
