"""Segmentation masks: a PNG a picture whose values or colours are classes, and a label map that says which.

    labelmap.txt, SegmentationClass/a.png, SegmentationObject/a.png, ImageSets/Segmentation/train.txt     VOC, CVAT
    label_colors.txt | _classes.csv | classes.txt, and PNGs in whatever folder                            others

With SegmentationObject each of its values above 0 is an object (`instance_segmentation`); without, each class of a
picture is one mask (`semantic_segmentation`). Value 255 and VOC's border colour are nobody's pixels.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import islice

from PIL import Image, ImageChops

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.domain.masks import extent_of_mask
from dataloop.formats.bitmaps import open_mask, rle_of
from dataloop.formats.label_maps import VOID_COLOUR, VOID_VALUE, Colour, LabelMap, find_map, read_map
from dataloop.formats.names import is_image, split_of_folders, stem_of, uid_in
from dataloop.formats.sources import Source
from dataloop.formats.splits import SplitLists
from dataloop.formats.spool import Spool
from dataloop.formats.surface import Findings, FormatError, Label, Picture
from dataloop.formats.values import head_of, names_with

CLASSES, OBJECTS = "SegmentationClass", "SegmentationObject"
# Ours: a mask of 89 million pixels with many edges; flat ones take some hundred kilobytes.
MAX_MASK_BYTES = 64 * 1024 * 1024
# A mask in colour that has more is a photograph.
MAX_COLOURS = 256
# Values (or colours) × pixels of one mask, because each is looked for in all of them: the worst takes about 50 s.
MAX_VALUE_PIXELS = 4_000_000_000
_LOOK_AT = 20
# How Roboflow calls the mask of a.jpg: a_mask.png.
_MARK = "_mask"
# How CamVid calls the folder of masks beside train/: trainannot/.
_ANNOT = "annot"
_PICTURES = "TABLE pictures (stem BLOB PRIMARY KEY, name BLOB) WITHOUT ROWID"
_INSERT = "INSERT OR IGNORE INTO pictures VALUES (?, ?)"
_PNG = b"\x89PNG\r\n\x1a\n"
# Folders of masks beside pictures that are PNGs, too.
_MASK_FOLDERS = frozenset(
    {"segmentationclass", "segmentationobject", "masks", "mask", "labels", "annotations", "segmentation", "gt"}
)


class MasksReader:
    """One picture in memory at a time: one byte a pixel, four times."""

    NAME = "masks"

    def recognises(self, source: Source) -> bool:
        file = find_map(source)
        if file is None or next(iter(names_with(source, ".xml", ".yaml", ".yml", ".names")), None) is not None:
            return False
        if file.endswith("classes.txt") and not _only_maps(source):
            return False
        return any(head_of(source, name, 8) == _PNG for name in islice(_class_masks(source), _LOOK_AT))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """Pictures in the order of their masks' names; without a suffix where the source has not the pictures themselves.

        Raises FormatError: no label map, one that cannot be read, no mask.
        """
        file = find_map(source)
        if file is None:
            raise FormatError("source", "has no label map: labelmap.txt, label_colors.txt, _classes.csv or classes.txt")
        label_map = read_map(source, file)
        with SplitLists(source, "ImageSets/Segmentation/", findings) as lists, Spool(_PICTURES) as pictures:
            has_named = any(map(_is_mask_name, names_with(source, ".png")))
            for name in source.names():
                if is_image(name) and not _is_mask_name(name) and (has_named or not name.lower().endswith(".png")):
                    pictures.add(_INSERT, stem_of(name).encode("utf-8", "replace"), name.encode("utf-8", "replace"))
            has_objects = any(OBJECTS in name.split("/") for name in names_with(source, ".png"))
            is_empty = True
            for name in _class_masks(source):
                is_empty = False
                try:
                    labels, size = _read_mask(source, name, label_map, has_objects)
                except DomainError as error:
                    findings.problem(name, str(error))
                    continue
                stem = stem_of(name).removesuffix(_MARK)
                rows = pictures.rows("SELECT name FROM pictures WHERE stem = ?", (stem.encode("utf-8", "replace"),))
                picture = next((str(row[0], "utf-8") for row in rows), _picture_name(name, stem))
                split = lists.split_of(stem) or split_of_folders(posixpath.dirname(picture).split("/"))
                kind = "instance_segmentation" if has_objects else "semantic_segmentation"
                yield Picture(picture, kind, labels, *size, split, uid_in(stem))
        if is_empty:
            raise FormatError("source", f"holds no mask (.png in {CLASSES}/ or in a folder of masks)")


def _only_maps(source: Source) -> bool:
    """classes.txt is YOLO's and LabelImg's, too; then there are label files in text."""
    return not any(posixpath.basename(name) != "classes.txt" for name in names_with(source, ".txt"))


def _is_mask_folder(folder: str) -> bool:
    return folder.lower() in _MASK_FOLDERS or folder.lower().endswith(_ANNOT)


def _is_mask_name(name: str) -> bool:
    is_in_folder = any(map(_is_mask_folder, posixpath.dirname(name).split("/")))
    return name.lower().endswith(".png") and (is_in_folder or stem_of(name).endswith(_MARK))


def _class_masks(source: Source) -> Iterator[str]:
    """Masks of classes: in a folder of masks, or Roboflow's a_mask.png; where there are none, every PNG."""
    has_named = any(map(_is_mask_name, names_with(source, ".png")))
    for name in names_with(source, ".png"):
        if OBJECTS not in name.split("/") and (_is_mask_name(name) or not has_named):
            yield name


def _picture_name(name: str, stem: str) -> str:
    """Where the picture of a mask belongs when it is not in the source: its suffix is not known."""
    folders = []
    for folder in posixpath.dirname(name).split("/"):
        if folder == CLASSES:
            folders.append("JPEGImages")
        elif folder.lower().endswith(_ANNOT):
            folders.append(folder[: -len(_ANNOT)])
        else:
            folders.append("images" if _is_mask_folder(folder) else folder)
    return posixpath.join(*folders, stem)


def _read_mask(
    source: Source, name: str, label_map: LabelMap, has_objects: bool
) -> tuple[tuple[Label, ...], tuple[int, int]]:
    """The labels and the size of the picture. Raises InvalidInput, LimitExceeded, NotFound."""
    mask = open_mask(source.read(name, MAX_MASK_BYTES), "mask")
    by_class: dict[str, Image.Image] = {}
    for label, region in _named_regions(mask, label_map):
        by_class[label] = ImageChops.lighter(by_class[label], region) if label in by_class else region
    if not has_objects:
        return tuple(_label(label, region) for label, region in sorted(by_class.items())), mask.size
    file = "/".join(OBJECTS if folder == CLASSES else folder for folder in name.split("/"))
    objects = open_mask(source.read(file, MAX_MASK_BYTES), posixpath.dirname(file))
    if objects.size != mask.size:
        raise InvalidInput(file, "has another size than the mask of classes", objects.size)
    labels = [_label(_class_of(region, by_class), region) for _, _, region in _regions(objects)]
    return tuple(labels), mask.size


def _named_regions(mask: Image.Image, label_map: LabelMap) -> Iterator[tuple[str, Image.Image]]:
    """The classes of a mask and their pixels (0 and 255). By colour where the map has all the mask's colours, else by
    value. Raises InvalidInput for a value or colour that nobody named."""
    regions = list(_regions(mask))
    named: dict[Colour, str | None] = {VOID_COLOUR: None, (0, 0, 0): None, **label_map.by_colour}
    is_by_colour = bool(label_map.by_colour) and all(colour in named for _, colour, _ in regions)
    for value, colour, region in regions:
        if not is_by_colour and value not in label_map.by_value:
            raise InvalidInput("mask", "has pixels of a class that the label map does not name", value or colour)
        label = named[colour] if is_by_colour else label_map.by_value[value or 0]
        if label is not None:
            yield label, region


def _regions(mask: Image.Image) -> Iterator[tuple[int | None, Colour, Image.Image]]:
    """Each value or colour of a mask but background and border: value (None in colour), colour, its pixels."""
    if mask.mode in ("P", "L", "1"):
        yield from _values(mask)
    elif mask.mode in ("RGB", "RGBA", "LA", "PA"):
        yield from _colours(mask.convert("RGB"))
    else:
        raise InvalidInput("mask", "must have 8 bits a channel", mask.mode)


def _values(mask: Image.Image) -> Iterator[tuple[int | None, Colour, Image.Image]]:
    values = mask.convert("L").point([0] + [1] * 255) if mask.mode == "1" else mask
    palette = mask.getpalette("RGB") or [] if mask.mode == "P" else []
    _check_work(sum(map(bool, values.histogram())), mask)
    for value, count in enumerate(values.histogram()):
        of_palette = palette[3 * value : 3 * value + 3]
        colour = (of_palette[0], of_palette[1], of_palette[2]) if len(of_palette) == 3 else (value, value, value)
        if count and value not in (0, VOID_VALUE) and colour != VOID_COLOUR:
            yield value, colour, _equal(values, value)


def _check_work(values: int, mask: Image.Image) -> None:
    if values * mask.width * mask.height > MAX_VALUE_PIXELS:
        raise LimitExceeded("values × pixels of a mask", MAX_VALUE_PIXELS, values * mask.width * mask.height)


def _colours(mask: Image.Image) -> Iterator[tuple[int | None, Colour, Image.Image]]:
    counted = mask.getcolors(MAX_COLOURS)
    if counted is None:
        raise LimitExceeded("colours of a mask", MAX_COLOURS)
    _check_work(len(counted), mask)
    bands = mask.split()
    for colour in sorted((found[0], found[1], found[2]) for _, found in counted if isinstance(found, tuple)):
        if colour not in ((0, 0, 0), VOID_COLOUR):
            red, green, blue = (_equal(band, value) for band, value in zip(bands, colour, strict=True))
            yield None, colour, ImageChops.darker(ImageChops.darker(red, green), blue)


def _equal(band: Image.Image, value: int) -> Image.Image:
    """255 where a band has the value."""
    flat = Image.frombytes("L", band.size, band.tobytes()) if band.mode == "P" else band
    return flat.point([255 if entry == value else 0 for entry in range(256)])


def _class_of(region: Image.Image, by_class: dict[str, Image.Image]) -> str:
    """The class of most of an object's pixels. Raises InvalidInput where none of them has one."""
    bounds = region.getbbox()
    inside = region.crop(bounds)
    counts = {
        label: ImageChops.darker(inside, pixels.crop(bounds)).histogram()[255] for label, pixels in by_class.items()
    }
    label = max(sorted(counts), key=lambda name: counts[name], default=None)
    if label is None or not counts[label]:
        raise InvalidInput("mask", "has an object whose pixels are of no class", bounds)
    return label


def _label(label: str, region: Image.Image) -> Label:
    # A region has pixels: it was made of a value that is there.
    bounds = region.getbbox() or (0, 0, *region.size)
    mask = rle_of(region.crop(bounds), *region.size, bounds[0], bounds[1])
    x1, y1, x2, y2 = extent_of_mask(mask)
    return Label(label, (x1, y1, x2, y2), mask)
