"""Names of files in label formats: which are pictures, which split a folder means, which name carries our uid."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from dataloop.domain.errors import InvalidInput
from dataloop.domain.ids import UID
from dataloop.formats.sources import check_relative
from dataloop.formats.surface import ExportImage, Findings

# What is registered as an image (services/inspecting.py).
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SPLITS = ("train", "val", "test")
# Other tools' words for the three splits.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
}
_WORDS = re.compile(r"[A-Za-z]+")


def is_image(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def stem_of(name: str) -> str:
    """The last part of a name without its suffix."""
    return posixpath.splitext(posixpath.basename(name))[0]


def split_named(word: str) -> str | None:
    """train, val or test for a word that means it (valid, train2017), else None."""
    return SPLIT_WORDS.get(word.strip().lower().rstrip("0123456789_-"))


def split_in(stem: str) -> str | None:
    """The split in a file's name: instances_train2017 is train. The last word that names one counts."""
    return next((found for word in reversed(_WORDS.findall(stem)) if (found := split_named(word))), None)


def split_of_folders(folders: Iterable[str]) -> str | None:
    """The split that the innermost folder names."""
    return next((found for folder in reversed(list(folders)) if (found := split_named(folder))), None)


def relative_name(name: str) -> str:
    """A picture's name as other systems write it, with `/` and without `./`. Raises InvalidInput when it leads outside."""
    if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InvalidInput("file name", "holds half a character", ascii(name))
    found = name.replace("\\", "/")
    while found.startswith("./"):
        found = found[2:]
    return check_relative(found)


def uid_in(name: str) -> str | None:
    """The uid, where a file is named by it as our writers do."""
    stem = stem_of(name)
    return stem if UID.fullmatch(stem) else None


def exported_name(image: ExportImage) -> str:
    """A picture's file name in formats that tie labels to pictures by name: unique, and it leads back to the picture."""
    return f"{image.row['uid']}{posixpath.splitext(image.file_name)[1].lower()}"


def written_as(labels: Iterable[str], forbidden: frozenset[str], findings: Findings) -> list[str]:
    """The labels for a text file in which some characters mean something else: these become _, and that is a loss. No two
    labels become one."""
    written: dict[str, None] = {}
    for label in labels:
        found = "".join("_" if letter in forbidden else letter for letter in label).strip() or "_"
        while found in written:
            found += "_"
        if found != label:
            findings.lost("letters of a label's name", label)
        written[found] = None
    return list(written)
