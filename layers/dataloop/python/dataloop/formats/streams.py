"""Large label files in pieces: lines of JSON and events of XML, with a bound on what one piece may take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from dataloop.domain.errors import InvalidInput
from dataloop.formats.surface import FormatError

# Ours: the lines and elements we met have some kilobytes; the longest outline that an annotation may have takes 2 MB.
MAX_PIECE_BYTES = 64 * 1024 * 1024
# Ours: label files nest five deep.
MAX_XML_DEPTH = 64


def parse_json(data: bytes, item: str) -> Any:
    """The value of a JSON text. Raises InvalidInput(item) for wrong encodings, broken texts and endless nesting."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(item, f"is not JSON: {error}"[:300]) from error


def json_lines(stream: IO[bytes], problem: Callable[[str, str], None]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each object of a file with one a line, with the line's number from 1. Lines that hold none are told to `problem`."""
    number = 0
    while line := stream.readline(MAX_PIECE_BYTES + 1):
        number += 1
        if len(line) > MAX_PIECE_BYTES:
            problem(f"line {number}", f"is longer than {MAX_PIECE_BYTES} bytes")
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_PIECE_BYTES)
            continue
        if not line.strip():
            continue
        try:
            value = parse_json(line, f"line {number}")
        except InvalidInput as error:
            problem(f"line {number}", error.reason)
            continue
        if isinstance(value, Mapping):
            yield number, value
        else:
            problem(f"line {number}", "is not an object")


class _Bounded:
    """A stream that refuses to go on when a parser takes more and more bytes for one piece."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.taken += len(data)
        if self.taken > MAX_PIECE_BYTES:
            raise FormatError(self._name, f"has one element of more than {MAX_PIECE_BYTES} bytes")
        return data


def xml_events(stream: IO[bytes], name: str) -> Iterator[tuple[str, Element]]:
    """`start` and `end` of each element; the caller clears what it is done with.

    Raises FormatError for broken XML, wrong encodings, a DTD, entities, endless nesting.
    """
    bounded = _Bounded(stream, name)
    depth = 0
    try:
        for event, element in iterparse(bounded, events=("start", "end"), forbid_dtd=True):
            bounded.taken = 0
            depth += 1 if event == "start" else -1
            if depth > MAX_XML_DEPTH:
                raise FormatError(name, f"nests deeper than {MAX_XML_DEPTH} elements")
            yield event, element
    except DefusedXmlException as error:
        raise FormatError(name, "has a DTD or entities, which label files do not need") from error
    except (ParseError, LookupError, ValueError) as error:
        raise FormatError(name, f"is not XML: {error}") from error
