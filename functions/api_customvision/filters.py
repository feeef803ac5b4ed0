"""`$filter`: which images by their metadata, as a question about terms.

    filter     = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = "not" not-part | "(" filter ")" | key ( "eq" | "ne" ) value
    value      = 'text', a quote in it doubled
    key        = a word of letters, digits and any of _ - . : / @ #, or a quoted text

`ne` also lets those images through that do not have the key. Words of the grammar are read in any case, keys and values as
they are. The service's page writes `metadata=` before its example: it may stand there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from api_customvision.faults import Refused
from dataloop.domain.projects import MAX_METADATA_KEY, MAX_METADATA_VALUE
from dataloop.domain.terms import AllOf, AnyOf, Except, Query, Term, meta_term

MAX_LENGTH = 2_048  # characters; ours: Microsoft gives no number
MAX_COMPARISONS = 32  # ours: each is one read of the index
MAX_DEPTH = 16  # ours: parentheses and nots within each other
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<sign>[()])|(?P<word>[\w.:/@#-]+))")
_PREFIX = re.compile(r"\s*metadata\s*=", re.IGNORECASE)
_RESERVED = ("and", "or", "not", "eq", "ne")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def says(self, *words: str) -> bool:
        return self.kind != "text" and self.text.lower() in words


def parse(text: str) -> Query:
    """Raises Refused(BadRequest): what was found where, and what should stand there."""
    if len(text) > MAX_LENGTH:
        raise Refused("BadRequest", f"filter: at most {MAX_LENGTH} characters, got {len(text)}")
    prefix = _PREFIX.match(text)
    return _Reader(text, prefix.end() if prefix else 0).whole()


def _tokens(text: str, start: int) -> Iterator[_Token]:
    position = start
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            rest = text[position:].lstrip()
            raise _refused(rest[:1], len(text) - len(rest), "a key, a quoted value, a parenthesis or a word")
        kind = str(found.lastgroup)
        value = found[kind][1:-1].replace("''", "'") if kind == "text" else found[kind]
        yield _Token(kind, value, found.start(kind))
        position = found.end()
    yield _Token("end", "", len(text))


def _refused(found: str, at: int, wanted: str) -> Refused:
    seen = repr(found) if found else "nothing"
    return Refused("BadRequest", f"filter: {wanted} is expected at character {at + 1}, not {seen}")


class _Reader:
    def __init__(self, text: str, start: int) -> None:
        self._tokens = _tokens(text, start)
        self._next = next(self._tokens)
        self._comparisons = self._depth = 0

    def whole(self) -> Query:
        found = self._any_of()
        if self._next.kind != "end":
            raise self._wrong("and, or, or the end")
        return found

    def _any_of(self) -> Query:
        parts = [self._all_of()]
        while self._next.says("or"):
            self._take()
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self) -> Query:
        parts = [self._not_part()]
        while self._next.says("and"):
            self._take()
            parts.append(self._not_part())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _not_part(self) -> Query:
        if self._next.says("not"):
            self._take()
            return Except(self._deeper(self._not_part))
        if self._next.says("("):
            self._take()
            found = self._deeper(self._any_of)
            if not self._next.says(")"):
                raise self._wrong("and, or, or a closing parenthesis")
            self._take()
            return found
        return self._comparison()

    def _deeper(self, read: Callable[[], Query]) -> Query:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Refused("BadRequest", f"filter: at most {MAX_DEPTH} parentheses and nots within each other")
        found = read()
        self._depth -= 1
        return found

    def _comparison(self) -> Query:
        key = self._take_if(self._next.kind in ("text", "word") and not self._next.says(*_RESERVED), "a key")
        operator = self._take_if(self._next.says("eq", "ne"), "eq or ne")
        value = self._take_if(self._next.kind == "text", "a value in single quotes")
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise Refused("BadRequest", f"filter: at most {MAX_COMPARISONS} comparisons")
        self._check_length(key, MAX_METADATA_KEY)
        self._check_length(value, MAX_METADATA_VALUE)
        found = Term(meta_term(key.text, value.text))
        return Except(found) if operator.says("ne") else found

    def _check_length(self, token: _Token, most: int) -> None:
        """No image has a longer one, and no index could hold it."""
        if len(token.text) > most:
            at = f"character {token.at + 1}"
            raise Refused("BadRequest", f"filter: the text at {at} has more than {most} characters")

    def _take_if(self, is_right: bool, wanted: str) -> _Token:
        if not is_right:
            raise self._wrong(wanted)
        return self._take()

    def _take(self) -> _Token:
        taken, self._next = self._next, next(self._tokens)
        return taken

    def _wrong(self, wanted: str) -> Refused:
        return _refused(self._next.text, self._next.at, wanted)
