"""Which split an image belongs to: decided by its group and nothing else, so growth moves nothing (design §6.4, §4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataloop.domain.errors import InvalidInput

SPLITS = ("train", "val", "test")
# Weights are shares or percents; their sum must stay an ordinary number.
HEAVIEST = 1e6


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """Weights of train, val and test; the attribute that names a split outright; the attribute that groups images.

    Attributes are dotted paths into the raw data's metadata, for example `extra.split` or `extra.scene`.
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    attribute: str = "extra.split"
    group: str = "extra.group"
    salt: str = ""

    def split_of(self, uid: str, meta: Mapping[str, Any]) -> tuple[str, str]:
        """(split, group). An explicit split in the metadata wins; otherwise the group's hash decides.

        The hash is salted with the dataset, not with its version: an image once in test stays in test.
        """
        group = lookup(meta, self.group)
        group_name = str(group) if group not in (None, "") else uid
        named = lookup(meta, self.attribute)
        if isinstance(named, str) and named in SPLITS:
            return named, group_name
        point = int.from_bytes(hashlib.sha256(f"{self.salt}\0{group_name}".encode()).digest()[:8], "big") / 2**64
        total = self.train + self.val + self.test
        if point < self.train / total:
            return "train", group_name
        return ("val" if point < (self.train + self.val) / total else "test"), group_name


def make_split_policy(value: object, salt: str) -> SplitPolicy:
    """Read a client's split object; weights are normalised. Raises InvalidInput("split…")."""
    if value is None:
        return SplitPolicy(salt=salt)
    if not isinstance(value, Mapping):
        raise InvalidInput("split", "must be an object", value)
    unknown = set(value) - {"train", "val", "test", "attribute", "group"}
    if unknown:
        raise InvalidInput("split", f"has unknown fields {sorted(unknown)}")
    weights = {}
    for name in SPLITS:
        weight = value.get(name, 0 if any(other in value for other in SPLITS) else getattr(SplitPolicy(), name))
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= HEAVIEST:
            raise InvalidInput(f"split.{name}", f"must be a number from 0 to {HEAVIEST:g}", str(weight)[:50])
        weights[name] = float(weight)
    if sum(weights.values()) <= 0:
        raise InvalidInput("split", "needs at least one weight above 0")
    for name in ("attribute", "group"):
        if name in value and not isinstance(value[name], str):
            raise InvalidInput(f"split.{name}", "must be a dotted path such as extra.scene", value[name])
    return SplitPolicy(
        **weights,
        attribute=str(value.get("attribute", SplitPolicy().attribute)),
        group=str(value.get("group", SplitPolicy().group)),
        salt=salt,
    )


def lookup(meta: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    found: Any = meta
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found
