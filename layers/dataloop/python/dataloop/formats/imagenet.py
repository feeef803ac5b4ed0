"""ImageNet folders: the folder that a picture lies in names its class; train/, val/ and test/ above it are the splits.

Beside the folders our exports have synsets.txt (the classes) and one list a split ("train/cat/a.jpg 0"), so that an
export without pictures can be read, too, and a class may have a name that no folder can have.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

from dataloop.domain.errors import DomainError, InvalidInput
from dataloop.formats.losses import IMAGE_LABEL, SPLIT, note_losses
from dataloop.formats.names import (
    SPLITS,
    exported_name,
    is_image,
    relative_name,
    split_named,
    split_of_folders,
    uid_in,
    written_as,
)
from dataloop.formats.pixels import labels_of
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.split_files import SplitFiles
from dataloop.formats.splits import MAX_LINE_BYTES
from dataloop.formats.surface import ExportImage, Findings, FormatError, Label, Picture
from dataloop.formats.targets import Target
from dataloop.formats.values import text

SYNSETS = "synsets.txt"
LISTS = {f"{split}.txt": split for split in SPLITS}
# Ours: ImageNet-21k has half a megabyte of names.
MAX_SYNSETS_BYTES = 4 * 1024 * 1024
# Where pictures that nothing is said of are put, as datumaro has it: no class.
UNLABELLED = "no_label"
# Files of other formats beside pictures: then the folders are no classes.
_LABEL_FILES = (".json", ".jsonl", ".xml", ".yaml", ".yml", ".manifest", ".csv", ".names", ".data", ".txt", ".parquet")
# Beside the pictures, and no labels: also the report of our own exports (formats/packing.py).
_REMARKS = ("readme", "license", "notice", "report.json")
_NO_CLASS = frozenset(
    {"images", "image", "labels", "annotations", "jpegimages", "segmentationclass", "segmentationobject"}
)
# What no folder of a file system or an archive can be called, beside control characters.
_FORBIDDEN = frozenset('/\\:*?"<>|%')


class ImageNetReader:
    """Reads names only: no file but the lists is opened."""

    NAME = "imagenet"

    def recognises(self, source: Source) -> bool:
        has_pictures = has_lists = has_synsets = False
        for name in source.names():
            base = posixpath.basename(name).lower()
            if is_image(name):
                folders = posixpath.dirname(name).lower().split("/")
                if not folders[-1] or folders[-1] in _NO_CLASS or split_named(folders[-1]):
                    return False
                has_pictures = True
            elif name == SYNSETS:
                has_synsets = True
            elif name in LISTS:
                has_lists = True
            elif base.endswith(_LABEL_FILES) and not base.startswith(_REMARKS):
                return False
        return has_synsets and has_lists if has_lists or has_synsets else has_pictures

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures of the lists, then those of the folders. Raises FormatError when there is none in a folder."""
        seen, is_empty = Seen(), True
        for name, split, label in self._found(source, findings):
            if seen.add(name):
                is_empty = False
                yield Picture(name, "classification", (Label(label),), split=split, uid=uid_in(name))
        if is_empty:
            raise FormatError("source", "holds no picture in a folder named by its class")

    def _found(self, source: Source, findings: Findings) -> Iterator[tuple[str, str | None, str]]:
        classes = _classes(source)
        for file, split in LISTS.items() if classes else ():
            for name, label in _listed(source, file, classes, findings):
                yield name, split, label
        above = _folders_above(source)
        for name in source.names():
            folders = posixpath.dirname(name).split("/")
            inner = [folder for folder in folders[above:] if split_named(folder) is None]
            if not is_image(name) or UNLABELLED in folders:
                continue
            if not inner or not inner[0]:
                findings.problem(name, "lies in no folder that names its class")
                continue
            try:
                yield name, split_of_folders(folders), text(inner[0], "folder")
            except DomainError as error:
                findings.problem(name, str(error))


def _classes(source: Source) -> list[str]:
    if SYNSETS not in source.names():
        return []
    try:
        lines = source.read(SYNSETS, MAX_SYNSETS_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(SYNSETS, f"is not UTF-8: {error.reason}") from error
    return [line.strip() for line in lines if line.strip()]


def _listed(source: Source, file: str, classes: Sequence[str], findings: Findings) -> Iterator[tuple[str, str]]:
    if file not in source.names():
        return
    with source.open(file) as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES):
            number += 1
            name, _, place = line.decode("utf-8-sig", errors="replace").strip().rpartition(" ")
            if not place:
                continue
            try:
                if not place.isascii() or not place.isdigit() or int(place[:9]) >= len(classes):
                    raise InvalidInput("class", f"must be a whole number below {len(classes)}", place[:50])
                yield relative_name(name), text(classes[int(place[:9])], "class")
            except DomainError as error:
                findings.problem(f"{file}: line {number}", str(error))


def _folders_above(source: Source) -> int:
    """How many folders all pictures share that cannot be their class: an archive often holds one folder with all."""
    shared: list[str] | None = None
    for name in source.names():
        if is_image(name):
            folders = posixpath.dirname(name).split("/")[:-1]
            if shared is None:
                shared = folders
            while shared != folders[: len(shared)]:
                shared.pop()
    return len(shared or ())


class ImageNetWriter:
    """<split>/<class>/<uid>.<suffix>, synsets.txt and a list a split. Of several labels the first by name is kept."""

    NAME = "imagenet"

    def image_name(self, image: ExportImage) -> str:
        label = min((label["label"] for label in labels_of(image.row)), default=None)
        folder = UNLABELLED if label is None else _folder(label)
        return f"{image.split}/{folder}/{exported_name(image)}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        places = {label: place for place, label in enumerate(labels)}
        with ExitStack() as stack:
            lists = SplitFiles(stack)
            for image in images:
                note_losses(image, findings, frozenset({IMAGE_LABEL, SPLIT}))
                found = sorted({label["label"] for label in labels_of(image.row)})
                if not found:
                    findings.lost("image without a label", image.file_name)
                    continue
                for _ in found[1:]:
                    findings.lost("further label of an image", image.file_name)
                lists.add(image.split, f"{self.image_name(image)} {places[found[0]]}")
            lists.write(target, "")
        with target.open(SYNSETS) as file:
            file.write("".join(f"{label}\n" for label in written_as(labels, frozenset("\r\n"), findings)).encode())


def _folder(label: str) -> str:
    """A label as a folder's name: what none may have is written as %XX, so that two labels are never one folder."""
    escaped = "".join(f"%{ord(letter):02X}" if letter in _FORBIDDEN or ord(letter) < 32 else letter for letter in label)
    # Hidden, without a class, or a split.
    is_taken = escaped.startswith(".") or escaped == UNLABELLED or split_named(escaped) is not None
    return f"%{ord(escaped[0]):02X}{escaped[1:]}" if is_taken else escaped
