"""Which value or colour of a mask means which class: the label map files that lie beside masks.

labelmap.txt        name:r,g,b:parts:actions        CVAT, datumaro (VOC)
label_colors.txt    r g b name                      CamVid
_classes.csv        Pixel Value, Class              Roboflow
classes.txt         one name a line, from value 0
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dataloop.domain.errors import DomainError, InvalidInput
from dataloop.formats.sources import Source
from dataloop.formats.surface import FormatError
from dataloop.formats.values import text

Colour = tuple[int, int, int]
# Ours: 255 classes of 256 characters are 64 KB.
MAX_MAP_BYTES = 1 << 20
# What is not a class: nothing is there, or nobody knows.
BACKGROUND = frozenset({"background", "__background__", "void", "ignore", "ignored", "unlabeled", "unlabelled"})
# VOC: pixels at the edge of objects, which are nobody's.
VOID_VALUE, VOID_COLOUR = 255, (224, 224, 192)


@dataclass
class LabelMap:
    """by_value: classes of masks with indices; by_colour: of masks in colour. None is background."""

    by_value: dict[int, str | None] = field(default_factory=dict)
    by_colour: dict[Colour, str | None] = field(default_factory=dict)

    def add(self, value: int, name: str, colour: Colour | None = None) -> None:
        label = None if name.lower() in BACKGROUND else text(name, "name")
        self.by_value[value] = label
        if colour is not None and self.by_colour.setdefault(colour, label) != label:
            raise InvalidInput("colour", "belongs to two classes", colour)


def find_map(source: Source) -> str | None:
    """The label map file of a source, the first by the order above."""
    names = [name for name in source.names() if posixpath.basename(name) in _PARSERS]
    order = list(_PARSERS)
    return min(names, key=lambda name: (order.index(posixpath.basename(name)), len(name)), default=None)


def read_map(source: Source, name: str) -> LabelMap:
    """Raises FormatError for a map that cannot be read."""
    try:
        lines = source.read(name, MAX_MAP_BYTES).decode("utf-8-sig").splitlines()
        found = LabelMap()
        _PARSERS[posixpath.basename(name)]([line for line in lines if line.strip()], found)
    except UnicodeDecodeError as error:
        raise FormatError(name, f"is not UTF-8: {error.reason}") from error
    except (DomainError, ValueError, csv.Error) as error:
        raise FormatError(name, f"is no label map: {error}") from error
    if not found.by_value:
        raise FormatError(name, "names no class")
    return found


def colour(index: int) -> Colour:
    """VOC's colour of a class: the bits of its number, spread over red, green and blue, the lowest as the highest."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def _voc(lines: Sequence[str], found: LabelMap) -> None:
    for value, line in enumerate(line for line in lines if not line.startswith("#")):
        name, _, rest = line.partition(":")
        written = rest.partition(":")[0].strip()
        # Datumaro leaves out the colours of the palette that VOC has for all numbers.
        found.add(value, name.strip(), _colour(written.split(",")) if written else colour(value))


def _camvid(lines: Iterable[str], found: LabelMap) -> None:
    for value, line in enumerate(line for line in lines if not line.startswith("#")):
        words = line.split(None, 3)
        found.add(value, words[3].strip() if len(words) == 4 else "", _colour(words[:3]))


def _roboflow(lines: Sequence[str], found: LabelMap) -> None:
    for row in csv.reader(lines[1:]):
        if len(row) != 2:
            raise InvalidInput("line", "must be a pixel value and a class", ",".join(row)[:100])
        found.add(_byte(row[0]), row[1].strip())


def _names(lines: Iterable[str], found: LabelMap) -> None:
    for value, line in enumerate(lines):
        found.add(value, line.strip())


def _colour(words: Sequence[str]) -> Colour:
    if len(words) != 3:
        raise InvalidInput("colour", "must be red, green and blue", ",".join(words)[:50])
    red, green, blue = map(_byte, words)
    return red, green, blue


def _byte(word: str) -> int:
    if not word.strip().isdigit() or int(word.strip()[:9]) > 255:
        raise InvalidInput("value", "must be a whole number from 0 to 255", word[:50])
    return int(word)


_PARSERS: dict[str, Callable[[Sequence[str], LabelMap], None]] = {
    "labelmap.txt": _voc,
    "label_colors.txt": _camvid,
    "_classes.csv": _roboflow,
    "classes.txt": _names,
}
