"""Questions about a workspace as sets of terms (design §5.3). A bitmap is whatever has &, |, - and a length.

Terms: `all`, `tagged`, `tag:<id>`, `meta:<key>=<value>`, `has:<key>`; the functions here make them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

ALL, TAGGED = "all", "tagged"
_TAG = "tag:"


def tag_term(tag_id: str) -> str:
    """The images that have a tag, by themselves or by a region."""
    return _TAG + tag_id


def tag_of(term: str) -> str | None:
    """The tag whose term it is."""
    return term.removeprefix(_TAG) if term.startswith(_TAG) else None


def meta_term(key: str, value: str) -> str:
    """The images whose metadata say that. The first `=` ends the key: one inside it is escaped."""
    return f"meta:{key.replace('%', '%25').replace('=', '%3D')}={value}"


def has_term(key: str) -> str:
    """The images that have a key in their metadata."""
    return f"has:{key}"


class Bitmap(Protocol):
    """A set of ordinals in ascending order: pyroaring's BitMap."""

    def __and__(self, other: Any) -> Any: ...
    def __or__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Term:
    """The images that have a term."""

    name: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """The images that every part names. At least one part."""

    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The images that some part names. At least one part."""

    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Except:
    """The images of the workspace that `part` does not name."""

    part: Query


Query = Term | AllOf | AnyOf | Except

EVERYTHING = Term(ALL)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images, in which order, from where. The order is that of coming; take and skip count images."""

    where: Query = field(default=EVERYTHING)
    newest_first: bool = True
    skip: int = 0
    take: int = 50


def evaluate(query: Query, read: Callable[[str], Any]) -> Any:
    """The bitmap of a query; `read` gives a term's (an empty one for a term that no image has)."""
    if isinstance(query, Term):
        return read(query.name)
    if isinstance(query, Except):
        return read(EVERYTHING.name) - evaluate(query.part, read)
    found = evaluate(query.parts[0], read)
    for part in query.parts[1:]:
        other = evaluate(part, read)
        found = found & other if isinstance(query, AllOf) else found | other
    return found


def terms_of(query: Query) -> frozenset[str]:
    """Every term that `evaluate` reads: for one read of all of them."""
    if isinstance(query, Term):
        return frozenset({query.name})
    if isinstance(query, Except):
        return terms_of(query.part) | {EVERYTHING.name}
    return frozenset().union(*(terms_of(part) for part in query.parts))
