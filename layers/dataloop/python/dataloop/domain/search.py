"""What to search raw data for: conditions on a file, on what is said of it, and on its doubles (issue: the data engine, 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

from dataloop.domain.analyses import LABEL_STATES, label_state
from dataloop.domain.annotations import Annotation
from dataloop.domain.errors import InvalidInput
from dataloop.domain.ids import check_uid
from dataloop.domain.near_duplicates import DISTANCE, FARTHEST_BITS
from dataloop.domain.raw_data import RawData
from dataloop.domain.splits import lookup

# Ours: values in one list, and conditions on metadata: more is a program, not a question.
MAX_VALUES = 100
MAX_CONDITIONS = 20
MAX_VALUE_LENGTH = 256
DEDUPE_STATES = ("any", "unique", "copies")
TYPES = ("image", "video", "file")
# Lists of words that a file's metadata is compared with, and where they stand in it.
PATHS = {
    "regions": "region",
    "security_levels": "securityLevel",
    "sources": "sourceInfo.type",
    "devices": "extra.device",
    "bgs": "bg",
    "owners": "owner",
}
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+){0,7}")

Test = Callable[[Any, Any], bool]
OPERATORS: Mapping[str, Test] = {
    "eq": lambda found, wanted: found == wanted,
    "ne": lambda found, wanted: found != wanted,
    "in": lambda found, wanted: found in wanted,
    "lt": lambda found, wanted: _comparable(found, wanted) and found < wanted,
    "le": lambda found, wanted: _comparable(found, wanted) and found <= wanted,
    "gt": lambda found, wanted: _comparable(found, wanted) and found > wanted,
    "ge": lambda found, wanted: _comparable(found, wanted) and found >= wanted,
    "prefix": lambda found, wanted: isinstance(found, str) and found.startswith(wanted),
    "exists": lambda found, wanted: (found is not None) is wanted,
}


def _comparable(found: Any, wanted: Any) -> bool:
    return (_is_number(found) and _is_number(wanted)) or (isinstance(found, str) and isinstance(wanted, str))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison with the metadata: a dotted path, an operator, a value."""

    path: str
    op: str
    value: Any

    def holds(self, meta: Mapping[str, Any]) -> bool:
        return OPERATORS[self.op](lookup(meta, self.path), self.value)


@dataclass(frozen=True, slots=True)
class Where:
    """Everything that is given must hold; a list holds when one of its values does. Days: yyyymmdd, when the object came.

    any_label, all_labels, no_label: names in what is said now (what a later annotation replaced does not count), looked
    for in annotations of `annotation_types` and `methods` alone when those are given. min_score, max_score: some label,
    one of the named when names are given, has a score in between. state: one of LABEL_STATES. dedupe: `copies` are
    contents that lie in several places. near: the perceptual hash that a picture must be within `distance` bits of.
    """

    first_day: str = ""
    last_day: str = ""
    types: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    security_levels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    bgs: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    meta: tuple[Condition, ...] = ()
    any_label: tuple[str, ...] = ()
    all_labels: tuple[str, ...] = ()
    no_label: tuple[str, ...] = ()
    annotation_types: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    min_score: float | None = None
    max_score: float | None = None
    state: str = "any"
    dedupe: str = "any"
    near: str = ""
    distance: int = DISTANCE

    @property
    def needs_annotations(self) -> bool:
        """Must be known what is said of a file?"""
        asked = (self.any_label, self.all_labels, self.no_label, self.annotation_types, self.methods)
        return any(asked) or self.has_score or self.state != "any"

    @property
    def has_score(self) -> bool:
        return self.min_score is not None or self.max_score is not None

    def matches_file(self, raw: RawData) -> bool:
        """By the record alone. Files without a sound object never match."""
        if not raw.is_usable or raw.facts is None:
            return False
        day = (raw.last_seen or raw.first_seen or "")[:10].replace("-", "")
        if (self.first_day and day < self.first_day) or (self.last_day and day > self.last_day):
            return False
        if self.types and raw.facts.type not in self.types:
            return False
        places = len(raw.live_locations)
        if self.dedupe != "any" and (places > 1) is not (self.dedupe == "copies"):
            return False
        return self._matches_meta(raw.meta or {})

    def _matches_meta(self, meta: Mapping[str, Any]) -> bool:
        for name, path in PATHS.items():
            wanted = getattr(self, name)
            if wanted and lookup(meta, path) not in wanted:
                return False
        return all(condition.holds(meta) for condition in self.meta)

    def is_near(self, raw: RawData, phash: str) -> bool:
        """Is the picture within the distance of this hash (16 hex characters)? One without a hash is not."""
        own = raw.facts.phash if raw.facts else None
        return own is not None and (int(own, 16) ^ int(phash, 16)).bit_count() <= self.distance

    def matching(self, said: Sequence[Annotation]) -> list[Annotation] | None:
        """The annotations that speak for the file, sorted by id, or None when what is said does not match.

        said: all annotations of the file.
        """
        current = current_of(said)
        if self.state != "any" and label_state(current) != self.state:
            return None
        asked = [
            annotation
            for annotation in current
            if (not self.annotation_types or annotation.type in self.annotation_types)
            and (not self.methods or annotation.method in self.methods)
        ]
        names = {name for annotation in asked for name in annotation.label_names}
        if self.any_label and not names & set(self.any_label):
            return None
        if not names >= set(self.all_labels) or names & set(self.no_label):
            return None
        if (self.annotation_types or self.methods) and not asked:
            return None
        if self.has_score and not any(map(self._has_score, asked)):
            return None
        return sorted(asked, key=lambda annotation: annotation.id)

    def _has_score(self, annotation: Annotation) -> bool:
        wanted = {*self.any_label, *self.all_labels}
        low = 0.0 if self.min_score is None else self.min_score
        high = 1.0 if self.max_score is None else self.max_score
        return any(
            label.get("score") is not None
            and low <= float(label["score"]) <= high
            and (not wanted or label["label"] in wanted)
            for label in annotation.labels
        )

    def to_json(self) -> dict[str, Any]:
        """What `make_where` reads; only what was asked."""
        plain = asdict(self)
        return {
            entry.name: list(value) if isinstance(value, tuple) else value
            for entry in fields(self)
            if (value := plain[entry.name]) != entry.default
        }


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A search with a name."""

    tenant: str
    id: str
    name: str
    where: Mapping[str, Any]
    created_at: str
    updated_at: str
    comment: str = ""
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """A file that matches, and the annotations that speak for it (none when the search did not ask what is said)."""

    raw: RawData
    annotations: tuple[Annotation, ...] = field(default=())


def current_of(said: Sequence[Annotation]) -> list[Annotation]:
    """What is said now: without the annotations that others of them replace. A circle of replacements stays whole."""
    ids = {annotation.id for annotation in said}
    replaced = {annotation.supersedes for annotation in said if annotation.supersedes in ids}
    return [entry for entry in said if entry.id not in replaced] if replaced < ids else list(said)


def make_where(value: object) -> Where:
    """Read a client's `where`. Raises InvalidInput("where…")."""
    if value is None:
        return Where()
    if not isinstance(value, Mapping):
        raise InvalidInput("where", "must be an object", value)
    names = {entry.name for entry in fields(Where)}
    unknown = sorted(str(name) for name in set(value) - names)
    if unknown:
        raise InvalidInput("where", f"has no field {unknown[0]!r}; it has {', '.join(sorted(names))}")
    read: dict[str, Any] = {}
    for name, given in value.items():
        read[name] = _READ.get(name, _words)(given, f"where.{name}")
    where = Where(**read)
    if where.first_day and where.last_day and where.first_day > where.last_day:
        raise InvalidInput("where.first_day", f"is after last_day {where.last_day}", where.first_day)
    if where.min_score is not None and where.max_score is not None and where.min_score > where.max_score:
        raise InvalidInput("where.min_score", f"is above max_score {where.max_score}", where.min_score)
    return where


def _words(value: object, field: str) -> tuple[str, ...]:
    given: list[object] = list(value) if isinstance(value, list | tuple) else [None]
    words = [word for word in given if isinstance(word, str) and len(word) <= MAX_VALUE_LENGTH]
    if len(words) != len(given) or len(words) > MAX_VALUES:
        raise InvalidInput(
            field, f"must be a list of at most {MAX_VALUES} texts of {MAX_VALUE_LENGTH} characters", value
        )
    return tuple(dict.fromkeys(words))


def _day(value: object, field: str) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat().replace("-", "")
    except ValueError:
        raise InvalidInput(field, "must be a day such as 2026-11-22", value) from None


def _score(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(field, "must be a number from 0 to 1", value)
    return float(value)


def _one_of(words: Sequence[str]) -> Callable[[object, str], str]:
    def read(value: object, field: str) -> str:
        if value not in words:
            raise InvalidInput(field, f"must be one of {', '.join(words)}", value)
        return str(value)

    return read


def _some_of(words: Sequence[str]) -> Callable[[object, str], tuple[str, ...]]:
    def read(value: object, field: str) -> tuple[str, ...]:
        for word in _words(value, field):
            _one_of(words)(word, field)
        return _words(value, field)

    return read


def _distance(value: object, field: str) -> int:
    if type(value) is not int or not 0 <= value <= FARTHEST_BITS:
        raise InvalidInput(field, f"must be a whole number of bits from 0 to {FARTHEST_BITS}", value)
    return value


def _conditions(value: object, field: str) -> tuple[Condition, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_CONDITIONS:
        raise InvalidInput(field, f"must be a list of at most {MAX_CONDITIONS} conditions", value)
    return tuple(_condition(entry, f"{field}[{index}]") for index, entry in enumerate(value))


def _condition(value: object, field: str) -> Condition:
    if not isinstance(value, Mapping) or set(value) != {"path", "op", "value"}:
        raise InvalidInput(field, 'must be {"path", "op", "value"}', value)
    path, op, wanted = value["path"], value["op"], value["value"]
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise InvalidInput(f"{field}.path", "must be a dotted path such as extra.weather", path)
    if op not in OPERATORS:
        raise InvalidInput(f"{field}.op", f"must be one of {', '.join(OPERATORS)}", op)
    if op == "in":
        is_list = isinstance(wanted, Sequence) and not isinstance(wanted, str) and len(wanted) <= MAX_VALUES
        sound = is_list and all(map(_is_plain, wanted))
    elif op == "exists":
        sound = isinstance(wanted, bool)
    elif op == "prefix":
        sound = isinstance(wanted, str) and len(wanted) <= MAX_VALUE_LENGTH
    else:
        sound = _is_plain(wanted)
    if not sound:
        raise InvalidInput(f"{field}.value", f"does not fit the operator {op}", wanted)
    return Condition(path, op, wanted)


def _is_plain(value: object) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) <= MAX_VALUE_LENGTH)
    )


_READ: Mapping[str, Callable[[object, str], Any]] = {
    "first_day": _day,
    "last_day": _day,
    "types": _some_of(TYPES),
    "meta": _conditions,
    "min_score": _score,
    "max_score": _score,
    "state": _one_of(LABEL_STATES),
    "dedupe": _one_of(DEDUPE_STATES),
    "near": check_uid,
    "distance": _distance,
}
