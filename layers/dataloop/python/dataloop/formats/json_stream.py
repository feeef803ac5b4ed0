"""Large JSON documents one value at a time, in flat memory.

ijson would do this, too; but its parser gives up the whole file at one NaN, 1e999 or 400-digit number, and a label file
with one such box has a hundred thousand good ones. The standard library's scanner reads them, at the same speed.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, Literal

from dataloop.formats.surface import FormatError

# Ours: one value of a list, or one field of the document. The finest outline that is accepted takes 2 MB.
MAX_VALUE_CHARS = 32 * 1024 * 1024
READ_BYTES = 1 << 20
# An error that far before the end of what was read is no lack of text.
_NEAR_END = 64
_blanks = re.compile(r"[ \t\n\r]*").match

Part = tuple[str, Literal["list", "entry", "value"], Any]


def parts(stream: IO[bytes], name: str) -> Iterator[Part]:
    """The fields of one JSON object, in the file's order: ("images", "list", None), then ("images", "entry", …) for each
    entry of a list, and ("info", "value", …) for what is no list. A document that is itself a list has the name "".

    UTF-8, UTF-16 and UTF-32, with or without byte order mark. NaN and infinities are read as floats.
    Raises FormatError(name): no JSON, another encoding, nested too deeply, a value of more than 32 MB.
    """
    text = _Text(stream, name)
    first = text.peek()
    if first == "[":
        yield from _entries(text, "")
    elif first == "{":
        text.step()
        yield from _fields(text)
    else:
        raise FormatError(name, "is not JSON: it begins with neither { nor [")
    if text.peek():
        raise FormatError(name, f"is not JSON: more text after the end, at character {text.place}")


def _fields(text: _Text) -> Iterator[Part]:
    if text.peek() == "}":
        text.step()
        return
    while True:
        key = text.value() if text.peek() == '"' else None
        if not isinstance(key, str) or text.peek() != ":":
            raise text.error("a name and a colon were expected")
        text.step()
        if text.peek() == "[":
            yield from _entries(text, key)
        else:
            yield key, "value", text.value()
        if text.next_is("}"):
            return


def _entries(text: _Text, key: str) -> Iterator[Part]:
    yield key, "list", None
    text.step()
    if text.peek() == "]":
        text.step()
        return
    while True:
        text.peek()
        yield key, "entry", text.value()
        if text.next_is("]"):
            return


class _Text:
    """The text of a stream, of which only the part being read is held."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name
        self._held = stream.read(4)
        decoder = codecs.getincrementaldecoder(json.detect_encoding(self._held))
        self._decoder = decoder("surrogatepass")
        self._text, self._at, self._passed = "", 0, 0
        self._is_complete = False
        decoding: Any = json.JSONDecoder()
        self._scan = decoding.scan_once

    @property
    def place(self) -> int:
        return self._passed + self._at

    def error(self, reason: str) -> FormatError:
        return FormatError(self._name, f"is not JSON: {reason}, at character {self.place}")

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            self._at = _blanks(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def step(self) -> None:
        self._at += 1

    def next_is(self, end: str) -> bool:
        """Step over a comma (False) or the end of the list or object (True)."""
        found = self.peek()
        if found not in (",", end) or not found:
            raise self.error(f"a comma or {end} was expected")
        self._at += 1
        return found == end

    def value(self) -> Any:
        """The value that begins here. Reads on until it is whole."""
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except StopIteration as error:
                reason, is_final = "a value was expected", error.value < len(self._text) - _NEAR_END
            except json.JSONDecodeError as error:
                reason = error.msg
                is_final = error.pos < len(self._text) - _NEAR_END and not reason.startswith("Unterminated")
            except RecursionError:
                raise self.error("nested too deeply") from None
            except ValueError as error:
                raise self.error(str(error)[:100]) from None
            else:
                # A number at the end of what was read may go on.
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value
                continue
            if is_final or len(self._text) - self._at > MAX_VALUE_CHARS or not self._more():
                raise self.error(reason)

    def _more(self) -> bool:
        """Read on, and forget what was passed. False at the end of the stream."""
        if self._is_complete:
            return False
        data = self._held + self._stream.read(max(READ_BYTES, len(self._text) - self._at))
        self._held = b""
        self._is_complete = not data
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self.error(f"its bytes are not {error.encoding}") from None
        if data:
            self._passed += self._at
            self._text, self._at = self._text[self._at :] + text, 0
        return bool(data)
