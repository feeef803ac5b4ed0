"""What readers check and shape alike: numbers, boxes, outlines and names as files of others spell them.

All raise InvalidInput(field) for a value that cannot be meant, and LimitExceeded for too much of it.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from dataloop.domain.annotations import MAX_TEXT
from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.domain.geometry import FARTHEST, check_polygons, check_xyxy
from dataloop.formats.names import SPLIT_WORDS
from dataloop.formats.sources import Source, check_relative
from dataloop.formats.surface import Findings, Label

# Where our exports of manifests and tables put the pictures.
EXPORTED_IMAGES = "images/"
# A circle of any radius that fits a photograph is within half a pixel of its polygon of 72 points.
ROUND_POINTS = 72


class NothingUsable(Exception):
    """Labels were said of a picture, and none of them can be used: so it is neither labelled nor empty."""

    def report(self, findings: Findings, item: str) -> None:
        findings.lost("image: none of its labels is sound", item)


def number(value: object, field: str) -> float:
    """A finite number, written as a number or as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InvalidInput(field, "must be a number", str(value)[:50]) from None
    # The comparison is False for NaN, and does not overflow for whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:
        raise InvalidInput(field, f"must be a finite number up to {FARTHEST:g}", str(value)[:50])
    return value


def whole(value: object, field: str) -> int:
    """A whole number from 1 on, as sizes are."""
    found = number(value, field)
    if found != int(found) or found < 1:
        raise InvalidInput(field, "must be a whole number above 0", value)
    return int(found)


def size_of(width: object, height: object) -> tuple[int | None, int | None]:
    """Width and height, or None for both where one of them is missing or 0: some tools write that for `not known`."""
    if not width or not height or width == "0" or height == "0":
        return None, None
    return whole(width, "width"), whole(height, "height")


def text(value: object, field: str) -> str:
    """A non-empty text, not longer than the texts of annotations."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field, "must be a non-empty text", value)
    if len(value) > MAX_TEXT:
        raise LimitExceeded(f"{field}: characters", MAX_TEXT, len(value))
    return _spellable(value, field)


def _is_spellable(value: str) -> bool:
    """JSON can spell halves of characters, which no UTF-8 text can hold."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _spellable(value: str, field: str) -> str:
    if not _is_spellable(value):
        raise InvalidInput(field, "holds half a character", ascii(value))
    return value


def shown(value: object) -> str:
    """Somebody's word in a report: short, and spelt so that every file can hold it."""
    return str(value)[:64].encode("utf-8", "backslashreplace").decode()


def score(value: object, field: str) -> float:
    """A number from 0 to 1."""
    found = number(value, field)
    if not 0 <= found <= 1:
        raise InvalidInput(field, "must be a number from 0 to 1", value)
    return found


def point(value: object, field: str) -> tuple[float, float]:
    """x and y of a pair."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidInput(field, "must be a pair x, y", value)
    return number(value[0], f"{field}[0]"), number(value[1], f"{field}[1]")


def box(x1: object, y1: object, x2: object, y2: object, field: str) -> tuple[float, float, float, float]:
    """A box between two corners; people draw them from any corner to the opposite one."""
    left, right = sorted((number(x1, field), number(x2, field)))
    top, bottom = sorted((number(y1, field), number(y2, field)))
    if not (left < right and top < bottom):
        check_xyxy([left, top, right, bottom], field)
    return left, top, right, bottom


def outline(points: object, field: str) -> list[list[float]]:
    """One polygon from pairs x, y: at least three points that enclose something."""
    if not isinstance(points, Sequence) or isinstance(points, str):
        raise InvalidInput(field, "must be a list of points", points)
    ring = [value for index, pair in enumerate(points) for value in point(pair, f"{field}[{index}]")]
    return check_polygons([ring], field)


def ellipse(cx: float, cy: float, rx: float, ry: float, field: str, degrees: float = 0.0) -> list[list[float]]:
    """An ellipse as polygon, turned clockwise around its centre. rx and ry in pixels."""
    if rx <= 0 or ry <= 0:
        raise InvalidInput(field, "needs radii above 0", f"{rx}, {ry}")
    steps = [2 * math.pi * step / ROUND_POINTS for step in range(ROUND_POINTS)]
    ring = [(cx + rx * math.cos(angle), cy + ry * math.sin(angle)) for angle in steps]
    return outline([_rounded(turn(place, (cx, cy), degrees)) for place in ring], field)


def turned_box(
    corners: tuple[float, float, float, float], around: tuple[float, float], degrees: float, field: str
) -> list[list[float]]:
    """A box x1, y1, x2, y2 turned clockwise around a point, as polygon."""
    x1, y1, x2, y2 = corners
    places = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    return outline([_rounded(turn(place, around, degrees)) for place in places], field)


def turn(place: tuple[float, float], around: tuple[float, float], degrees: float) -> tuple[float, float]:
    """A point turned clockwise, as it looks on a screen whose y grows downwards."""
    angle = math.radians(degrees)
    dx, dy = place[0] - around[0], place[1] - around[1]
    return (
        around[0] + dx * math.cos(angle) - dy * math.sin(angle),
        around[1] + dx * math.sin(angle) + dy * math.cos(angle),
    )


def _rounded(place: tuple[float, float]) -> tuple[float, float]:
    # A thousandth of a pixel: what sine and cosine add behind it is noise.
    return round(place[0], 3), round(place[1], 3)


def plain(values: Mapping[Any, Any], findings: Findings, item: str) -> dict[str, Any]:
    """The attributes that an annotation can keep: short texts, numbers and truth values; the others are losses."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or value == "":
            continue
        is_number = isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= FARTHEST)
        is_text = isinstance(value, str) and len(value) <= MAX_TEXT and _is_spellable(value)
        is_name = isinstance(name, str) and 0 < len(name) <= MAX_TEXT and _is_spellable(name)
        if is_name and (is_number or is_text):
            kept[name] = value
        else:
            findings.lost("attribute that is no short text or number", f"{item}: {shown(name)}")
    return kept


def kind_of(labels: Iterable[Label], without: str = "detection") -> str:
    """The annotationType of a picture's labels. without: for a picture that has none."""
    found = list(labels)
    objects = [label for label in found if label.box is not None or label.segmentation is not None]
    if not found:
        return without
    if not objects:
        return "classification" if len(found) == 1 else "multilabel_classification"
    is_outlined = all(label.segmentation is not None for label in objects)
    return "instance_segmentation" if is_outlined else "detection"


def objects_first(labels: list[Label], findings: Findings, item: str) -> tuple[list[Label], dict[str, Any]]:
    """One annotation speaks of objects or of the whole picture. Beside objects, labels of the picture become attributes
    (`tags`), and a loss."""
    tags = [label.label for label in labels if label.box is None and label.segmentation is None]
    if not tags or len(tags) == len(labels):
        return labels, {}
    findings.lost("label of the whole picture beside objects", item)
    objects = [label for label in labels if label.box is not None or label.segmentation is not None]
    return objects, {"tags": ", ".join(tags)[:MAX_TEXT]}


def split_of(word: object) -> str | None:
    """train, val or test for the words that tools use for them, else None."""
    return SPLIT_WORDS.get(word.strip().lower()) if isinstance(word, str) else None


def file_name_of(address: object, field: str) -> str:
    """The file that an address names: the key of s3:// and obs://, the path of http(s)://, else the relative name."""
    if not isinstance(address, str) or not address.strip():
        raise InvalidInput(field, "must be the address of a picture", address)
    try:
        parts = urlsplit(address) if "://" in address else None
    except ValueError as error:
        raise InvalidInput(field, f"is no address: {error}", ascii(address)) from error
    if parts is None or parts.scheme.lower() in ("s3", "obs"):
        # Their keys may hold ? and #, which mean nothing in them.
        path = address.split("://", 1)[-1]
        path = path.split("/", 1)[-1] if parts is not None else path
    else:
        path = unquote(parts.path)
    name = posixpath.normpath(path.replace("\\", "/").lstrip("/"))
    return check_relative(_spellable(name, field))


def addressed(address: object, file_name: str) -> dict[str, Any]:
    """A picture's attributes: the address as it was written, and the name without the folder that our exports add."""
    found: dict[str, Any] = {"source": address}
    if file_name.startswith(EXPORTED_IMAGES):
        found["other_names"] = [file_name.removeprefix(EXPORTED_IMAGES)]
    return found


def beside(name: str, path: str, findings: Findings) -> str:
    """A picture's name in the source, as the label file `name` spells it: relative to its own folder.

    Tools write paths of the machine they ran on. Where one leads out of the source, only the file's own name counts.
    """
    path = _spellable(path.replace("\\", "/"), "name of the picture")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    is_elsewhere = path.startswith("/") or ":" in path.split("/")[0] or joined.startswith("..")
    if not is_elsewhere:
        return check_relative(joined)
    findings.lost("folder of a picture outside the source", f"{name}: {path}")
    return check_relative(posixpath.basename(path))


def find_file(source: Source, base: str, address: str) -> str | None:
    """A file of the source that an address in the file `base` names; the whole path first, then ever less of it.

    An address has the bucket and folders of the place where it was written, the source a copy of some of them.
    Cost: one look-up a folder of the address.
    """
    try:
        name = file_name_of(address, "address")
    except DomainError:
        return None
    folder = posixpath.dirname(base)
    parts = name.split("/")
    candidates = [posixpath.normpath(posixpath.join(folder, name))]
    candidates += ["/".join(parts[start:]) for start in range(len(parts))]
    candidates.append(posixpath.join(folder, parts[-1]))
    for candidate in dict.fromkeys(candidates):
        try:
            source.size(check_relative(candidate))
        except DomainError:
            continue
        return candidate
    return None


def head_of(source: Source, name: str, size: int = 65_536) -> bytes:
    """The first bytes of a file; none of a file that cannot be opened."""
    try:
        with source.open(name) as stream:
            return stream.read(size)
    except (DomainError, OSError):
        return b""


def names_with(source: Source, *suffixes: str) -> Iterable[str]:
    """The names of the source that end so, in whatever case."""
    return (name for name in source.names() if name.lower().endswith(suffixes))
