"""Where YOLO's files lie: names of classes, folders and lists of the splits, and which picture a label file is about."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.formats.names import is_image, relative_name, split_named, split_of_folders, stem_of
from dataloop.formats.sources import Source
from dataloop.formats.splits import MAX_LINE_BYTES
from dataloop.formats.surface import Findings, FormatError
from dataloop.formats.values import names_with, text

# Ours: twenty thousand names have half a megabyte.
MAX_NAMES_BYTES = 1 << 20
MAX_CLASSES = 100_000
_NO_LABELS = ("classes", "labels", "readme", "requirements", "license", "predefined_classes")
# libyaml is part of the wheels; without it PyYAML's own parser does the same, slower.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Layout:
    """names: of the classes, by number. lists: the files that list pictures. Raises FormatError without names."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self._source, self._findings = source, findings
        self.lists: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self.names = self._read_names()
        for name in names_with(source, ".txt"):
            split = split_named(stem_of(name))
            # A picture may be called test.jpg: its label file has no line that ends like a picture's name.
            if split is not None and name not in self.lists and self._lists_pictures(name):
                self.lists[name] = split

    def list_images(self, found: Callable[[str, str | None], None]) -> None:
        """Tell the pictures that the lists name, then those of the source."""
        for name, split in self.lists.items():
            for number, line in enumerate(self._lines(name), 1):
                try:
                    found(self._listed(line), split)
                except InvalidInput as error:
                    self._findings.problem(f"{name}: line {number}", str(error))
        for name in self._source.names():
            if is_image(name):
                found(name, self.split_of(name))

    def split_of(self, name: str) -> str | None:
        """By the folders that data.yaml names, else by a folder that is called like a split."""
        for folder, split in self._folders.items():
            if f"/{key_of(name)}".startswith(folder):
                return split
        return split_of_folders(posixpath.dirname(name).split("/"))

    @staticmethod
    def picture_of(name: str) -> str:
        """The picture of a label file, without the suffix that nobody knows."""
        return posixpath.splitext(_replaced(name, "images"))[0]

    def _read_names(self) -> list[str]:
        for name in names_with(self._source, ".yaml", ".yml"):
            document = self._document(name)
            if isinstance(document, Mapping) and "names" in document:
                if "kpt_shape" in document:
                    raise FormatError(name, "describes poses (kpt_shape), which are not read")
                self._take_splits(document)
                return _class_names(name, document["names"])
        for name in (*names_with(self._source, ".names"), *names_with(self._source, "classes.txt")):
            return _class_names(name, [line.strip() for line in self._text(name).splitlines() if line.strip()])
        raise FormatError("source", "has no names of classes: data.yaml, obj.names or classes.txt")

    def _document(self, name: str) -> Any:
        written = self._text(name)
        try:
            # An alias says a value again: a few lines can unfold to gigabytes, and no data.yaml needs one.
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(written, Loader=_Loader)):
                raise FormatError(name, "must not have aliases")
            return yaml.load(written, Loader=_Loader)  # noqa: S506 a safe loader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FormatError(name, f"is not YAML: {str(error)[:200]}") from error

    def _text(self, name: str) -> str:
        try:
            return self._source.read(name, MAX_NAMES_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FormatError(name, f"is not UTF-8: {error.reason}") from error
        except LimitExceeded as error:
            raise FormatError(name, str(error)) from error

    def _take_splits(self, document: Mapping[Any, Any]) -> None:
        for word in ("train", "val", "valid", "test"):
            places = document.get(word)
            for place in places if isinstance(places, list) else [places]:
                split = split_named(word)
                if not isinstance(place, str) or split is None:
                    continue
                # Roboflow writes ../train/images for what lies beside data.yaml.
                parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
                if place.endswith(".txt"):
                    self.lists |= dict.fromkeys(names_with(self._source, parts[-1]), split)
                elif parts:
                    self._folders["/" + key_of("/".join([*parts, "a.txt"]))[:-1]] = split

    def _lists_pictures(self, name: str) -> bool:
        return any(is_image(line) for line, _ in zip(self._lines(name), range(3), strict=False))

    def _lines(self, name: str) -> Iterable[str]:
        try:
            with self._source.open(name) as stream:
                while line := stream.readline(MAX_LINE_BYTES):
                    words = line.decode("utf-8-sig", errors="replace").strip()
                    if words:
                        yield words
        except DomainError as error:
            self._findings.problem(name, str(error))

    def _listed(self, line: str) -> str:
        """The picture of a list's line: Darknet and CVAT write data/obj_train_data/a.jpg for obj_train_data/a.jpg."""
        found = relative_name(line)
        return found.removeprefix("data/")


def _class_names(file: str, names: object) -> list[str]:
    if isinstance(names, Mapping):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise FormatError(file, "names must count from 0 without gaps")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise FormatError(file, "names must be a list or numbered from 0")
    if len(names) > MAX_CLASSES:
        raise LimitExceeded(f"{file}: names", MAX_CLASSES, len(names))
    try:
        # YAML reads the class names 0 and true as what they look like.
        return [text(str(name) if isinstance(name, int | float) else name, "names") for name in names]
    except (InvalidInput, LimitExceeded) as error:
        raise FormatError(file, str(error)) from error


def key_of(name: str) -> str:
    """What a picture and its label file have in common: the path without suffix and without images/ or labels/."""
    return posixpath.splitext(_replaced(name, None))[0].encode("utf-8", "replace").decode()


def _replaced(name: str, word: str | None) -> str:
    """The last folder that is called images or labels becomes the word, or goes."""
    parts = name.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] in ("images", "labels"):
            return "/".join([*parts[:place], *([word] if word else []), *parts[place + 1 :]])
    return name


def is_label_file(name: str) -> bool:
    """A text file that is neither names of classes nor remarks."""
    stem = posixpath.basename(name).lower()
    return name.lower().endswith(".txt") and not stem.startswith(tuple(f"{word}." for word in _NO_LABELS))
