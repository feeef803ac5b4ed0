"""What a dataset's split policy says: weights, groups, near-duplicates, lists. Where images go: manifests/assignment.py."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.ids import check_uid
from dataloop.domain.near_duplicates import DISTANCE, FARTHEST_BITS

SPLITS = ("train", "val", "test")
# Weights are shares or percents; their sum must stay an ordinary number.
HEAVIEST = 1e6
# A device, a scene, a video and some more; each costs a look-up and 12 bytes of memory an image.
MAX_GROUP_KEYS = 8
# 35 bytes each in JSON: 5.3 MB, below Lambda's 6 MB request limit.
MAX_LISTED_UIDS = 150_000

Mode = Literal["hash", "balanced", "stratified"]
Leaks = Literal["keep", "leave_out", "refuse"]
MODES: tuple[Mode, ...] = ("hash", "balanced", "stratified")
LEAKS: tuple[Leaks, ...] = ("keep", "leave_out", "refuse")
FIELDS = (*SPLITS, "attribute", "group", "near_duplicates", "mode", "lists", "leaks", "stable")


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """How the images of a dataset are split. Attributes and groups are dotted paths into the raw data's metadata.

    attribute: names the split of an image outright. group: one path or several; images that share a value of any of
    them stay together. near_duplicates: so many bits of the perceptual hash may differ between images that stay
    together, None = hashes are not looked at. lists: the SHA-256 of a stored list of uids with their splits, "" = none.
    leaks: what becomes of an image that is placed by attribute or list where its group is not. stable: what the
    version before placed stays where it is.
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    attribute: str = "extra.split"
    group: str | tuple[str, ...] = "extra.group"
    salt: str = ""
    near_duplicates: int | None = None
    mode: Mode = "hash"
    lists: str = ""
    leaks: Leaks = "keep"
    stable: bool = False

    def __post_init__(self) -> None:
        """The table gives lists for tuples, and whole numbers for some floats."""
        if not isinstance(self.group, str):
            object.__setattr__(self, "group", tuple(self.group))
        if self.near_duplicates is not None:
            object.__setattr__(self, "near_duplicates", int(self.near_duplicates))

    @property
    def groups(self) -> tuple[str, ...]:
        """The group paths, one or several."""
        return (self.group,) if isinstance(self.group, str) else self.group

    @property
    def is_plain(self) -> bool:
        """True when an image's own metadata decides, whatever else is in the dataset."""
        joins = not isinstance(self.group, str) or self.near_duplicates is not None or self.leaks == "leave_out"
        return not (joins or self.mode != "hash" or self.lists or self.stable)

    @property
    def shares(self) -> dict[str, float]:
        """The weights as parts of 1."""
        total = self.train + self.val + self.test
        return {name: getattr(self, name) / total for name in SPLITS}

    def split_of(self, uid: str, meta: Mapping[str, Any]) -> tuple[str, str]:
        """(split, group) of one image by itself: a split named in its metadata wins; else the group's hash decides.

        The hash is salted with the dataset, not with its version: an image once in test stays in test.
        """
        group = self.group_of(uid, meta)
        return self.named(meta) or self.split_at(self.point(group)), group

    def named(self, meta: Mapping[str, Any]) -> str | None:
        """The split that the metadata names, if any."""
        found = lookup(meta, self.attribute)
        return found if isinstance(found, str) and found in SPLITS else None

    def group_of(self, uid: str, meta: Mapping[str, Any]) -> str:
        """What a manifest row has as `group`: the value of the one path, or {path: value} of several, or the uid."""
        return self.group_named(uid, self.group_values(meta))

    def group_named(self, uid: str, values: Mapping[str, str]) -> str:
        """The same, from the values that `group_values` found."""
        if not values:
            return uid
        if isinstance(self.group, str):
            return values[self.group]
        return canonical_json(values).decode()

    def group_values(self, meta: Mapping[str, Any]) -> dict[str, str]:
        """The value, as text, of each group path that the metadata has."""
        if isinstance(self.group, str):
            value = lookup(meta, self.group)
            return {} if value in (None, "") else {self.group: str(value)}
        found = {path: lookup(meta, path) for path in self.groups}
        return {path: str(value) for path, value in found.items() if value not in (None, "")}

    def point(self, group: str) -> float:
        """A group's place between 0 and 1."""
        return int.from_bytes(hashlib.sha256(f"{self.salt}\0{group}".encode()).digest()[:8], "big") / 2**64

    def split_at(self, point: float) -> str:
        """The split that a place between 0 and 1 falls into."""
        total = self.train + self.val + self.test
        if point < self.train / total:
            return "train"
        return "val" if point < (self.train + self.val) / total else "test"


def make_split_policy(value: object, salt: str) -> SplitPolicy:
    """Read a client's split object, but for its lists (make_split_lists). Raises InvalidInput("split…").

    near_duplicates: true, false or a number of bits. stable and leaks are, when left out, what suits the rest: a policy
    that joins images or balances is stable and leaves out what leaks; a plain one is as it always was.
    """
    if value is None:
        return SplitPolicy(salt=salt)
    if not isinstance(value, Mapping):
        raise InvalidInput("split", "must be an object", value)
    unknown = set(value) - set(FIELDS)
    if unknown:
        raise InvalidInput("split", f"has unknown fields {sorted(map(str, unknown))}; known: {', '.join(FIELDS)}")
    if "attribute" in value and not isinstance(value["attribute"], str):
        raise InvalidInput("split.attribute", "must be a dotted path such as extra.split", value["attribute"])
    near, group = _distance(value.get("near_duplicates")), _paths(value.get("group", SplitPolicy().group))
    mode: Mode = _word(value, "mode", MODES) or "hash"
    is_careful = near is not None or mode != "hash" or not isinstance(group, str) or bool(value.get("lists"))
    stable = value.get("stable", is_careful)
    if not isinstance(stable, bool):
        raise InvalidInput("split.stable", "must be true or false", stable)
    return SplitPolicy(
        **_weights(value),
        attribute=str(value.get("attribute", SplitPolicy().attribute)),
        group=group,
        salt=salt,
        near_duplicates=near,
        mode=mode,
        leaks=_word(value, "leaks", LEAKS) or ("leave_out" if is_careful else "keep"),
        stable=stable,
    )


def make_split_lists(value: object) -> dict[str, str]:
    """uid → split of a client's split object. Raises InvalidInput("split.lists…"), LimitExceeded."""
    lists = value.get("lists") if isinstance(value, Mapping) else None
    if lists is None:
        return {}
    if not isinstance(lists, Mapping) or set(lists) - set(SPLITS):
        raise InvalidInput("split.lists", "must be an object of train, val and test, each a list of uids", lists)
    found: dict[str, str] = {}
    for name in SPLITS:
        uids = lists.get(name, [])
        if not isinstance(uids, Sequence) or isinstance(uids, str):
            raise InvalidInput(f"split.lists.{name}", "must be a list of uids", uids)
        for uid in uids:
            other = found.setdefault(check_uid(uid, f"split.lists.{name}"), name)
            if other != name:
                raise InvalidInput(f"split.lists.{name}", f"an image is in one split only; it is in {other}, too", uid)
    if len(found) > MAX_LISTED_UIDS:
        raise LimitExceeded("split.lists", MAX_LISTED_UIDS, len(found))
    return found


def _weights(value: Mapping[str, Any]) -> dict[str, Any]:
    weights = {}
    for name in SPLITS:
        weight = value.get(name, 0 if any(other in value for other in SPLITS) else getattr(SplitPolicy(), name))
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= HEAVIEST:
            raise InvalidInput(f"split.{name}", f"must be a number from 0 to {HEAVIEST:g}", str(weight)[:50])
        weights[name] = float(weight)
    if sum(weights.values()) <= 0:
        raise InvalidInput("split", "needs at least one weight above 0")
    return weights


def _paths(value: object) -> str | tuple[str, ...]:
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, Sequence) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise InvalidInput("split.group", "must be a dotted path such as extra.scene, or a list of some", value)
    if len(paths) > MAX_GROUP_KEYS:
        raise LimitExceeded("split.group", MAX_GROUP_KEYS, len(paths))
    return value if isinstance(value, str) else tuple(dict.fromkeys(paths))


def _distance(value: object) -> int | None:
    if value is None or value is False:
        return None
    if value is True:
        return DISTANCE
    if not isinstance(value, int) or not 0 <= value <= FARTHEST_BITS:
        raise InvalidInput(
            "split.near_duplicates", f"must be true, false or a number of bits from 0 to {FARTHEST_BITS}", value
        )
    return value


def _word(value: Mapping[str, Any], name: str, words: tuple[Any, ...]) -> Any:
    word = value.get(name)
    if word is not None and word not in words:
        raise InvalidInput(f"split.{name}", f"must be one of {', '.join(words)}", word)
    return word


def lookup(meta: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    found: Any = meta
    for part in _parts(path):
        if not isinstance(found, (dict, Mapping)):  # a dict is told at once, an abstract class takes its time
            return None
        found = found.get(part)
    return found


@lru_cache(256)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))
