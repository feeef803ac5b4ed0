"""From a picture of a label file to the annotation of our image: which content it names, and the words we keep."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dataloop.domain.ids import UID, uid_of
from dataloop.domain.raw_data import RawData, is_key, key_of, split_key
from dataloop.domain.residency import Clearance
from dataloop.domain.splits import SPLITS
from dataloop.formats.sources import Source
from dataloop.formats.streams import json_lines
from dataloop.formats.surface import Findings, FormatError, Label, Picture
from dataloop.gateways.objects import Bucket
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services import inspecting
from dataloop.services.importing_sources import PicturesBelow

# HEADs of one import side by side; a step's CPU is busy with about this many.
HEADS_AT_ONCE = 16
# Label files of these areas lie beside pictures that are outside of them.
AREAS = ("annotations/", "imports/")
# How annotations from a label file are marked, unless the file says more.
METHOD = "import"
# The format whose lines are annotations as clients send them.
OWN = "jsonl"
# Thousandths of a pixel: shares of six decimals, as YOLO's tools write them, say no more.
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The content that a picture names. size: width and height in pixels, where they are known."""

    uid: str
    size: tuple[int, int] | None = None
    is_erased: bool = False
    meta: Mapping[str, Any] | None = None


class PictureFinder:
    """Finds the content that the pictures of one label file name.

    folder: where the label file (or archive, or prefix) lies; images: another prefix to look in first. Both are object
    names. annotations/site-a/labels.json naming 0001.jpg means site-a/0001.jpg or 0001.jpg. below: what is known to lie
    below `images`, for names that leave out the folder of a picture.
    """

    def __init__(
        self,
        raw: Bucket,
        raw_data: RawDataRepository,
        tenant: str,
        folder: str,
        images: str | None,
        below: PicturesBelow | None = None,
    ) -> None:
        self._raw = raw
        self._raw_data = raw_data
        self._tenant = tenant
        self._folder = folder
        self._images = images
        self._below = below

    def find(self, pictures: Sequence[Picture]) -> list[Found | None]:
        """The content of each picture, or None: there is no such file yet.

        A uid that the file names beside the picture's name is taken as it is: the image may come later. A name such as
        <uid>.jpg counts when there is such a record, because other systems name files by digests, too. Else the name is
        looked for in the bucket. Cost: 1 HEAD a place that is tried, sixteen at a time, 1 or 2 BatchGets per 100
        pictures, and 1 GET where a size is needed that no record has yet.
        """
        stems = [_stem_uid(picture.file_name) for picture in pictures]
        said = [None if picture.uid == stem else picture.uid for picture, stem in zip(pictures, stems, strict=True)]
        known = self._records(uid for uid in (*said, *stems) if uid is not None)
        places: list[tuple[str | None, str | None]] = [
            (uid or (stem if stem in known else None), None) for uid, stem in zip(said, stems, strict=True)
        ]
        # Shares need a size: a record whose object's event is still under way has none, and the object itself is asked.
        unknown = [
            index
            for index, (uid, _) in enumerate(places)
            if uid is None or (pictures[index].in_shares and _size_of(known.get(uid)) is None)
        ]
        if unknown:
            with ThreadPoolExecutor(HEADS_AT_ONCE) as pool:
                looked = list(pool.map(lambda index: self._look(pictures[index]), unknown))
            for index, place in zip(unknown, looked, strict=True):
                if places[index][0] in (None, place[0]):
                    places[index] = place
            known |= self._records(uid for uid, _ in looked if uid is not None and uid not in known)
        return [
            self._found(picture, uid, key, known.get(uid or ""))
            for picture, (uid, key) in zip(pictures, places, strict=True)
        ]

    def _records(self, uids: Iterable[str]) -> dict[str, RawData]:
        asked = sorted({uid for uid in uids if UID.fullmatch(uid)})
        return self._raw_data.get_many(self._tenant, asked) if asked else {}

    def _found(self, picture: Picture, uid: str | None, key: str | None, record: RawData | None) -> Found | None:
        size = _size_of(record)
        if picture.in_shares and size is None and key is not None:
            size = self._measure(key)
        if uid is None or (picture.in_shares and size is None):
            return None
        if record is None:
            return Found(uid, size)
        return Found(uid, size, record.status == "ERASED", record.meta)

    def _look(self, picture: Picture) -> tuple[str | None, str | None]:
        """(uid, key) of the first place in the bucket that a picture's names may mean."""
        for key in self._keys(picture):
            # A name may spell another tenant's area, or something that no key can be.
            if split_key(key)[0] != self._tenant or not is_key(key):
                continue
            stored = self._raw.head(key)
            if stored is not None:
                return uid_of(stored.sha256 or self._hash(stored.key)), key
        return None, None

    def _measure(self, key: str) -> tuple[int, int] | None:
        """Width and height from the object's own header: its event may not have become a record yet."""
        head = self._raw.get_range(key, 0, inspecting.HEAD_BYTES)
        facts = inspecting.inspect(key, "", len(head), head, head)
        return (facts.width, facts.height) if facts.width and facts.height else None

    def _keys(self, picture: Picture) -> Iterator[str]:
        """Keys that a picture's names may mean, the most particular first."""
        others = picture.attributes.get("other_names")
        for said in (picture.file_name, *(others if isinstance(others, list | tuple) else ())):
            name = str(said).replace("\\", "/").lstrip("/")
            places = [key_of(self._tenant, place) for place in self._places_of(name)]
            below = self._below.find(name, picture.split) if self._below is not None and name else None
            if below is not None and below not in places:
                # Behind what the name says literally, before what else it may mean.
                places.insert(1, below)
            yield from places

    def _places_of(self, name: str) -> Iterator[str]:
        if not name:
            return
        outside = self._folder
        for area in AREAS:
            outside = outside.removeprefix(area) if outside.startswith(area) else outside
        wanted = [(self._images, name), (self._images, posixpath.basename(name))] if self._images is not None else []
        wanted += [(self._folder, name), (outside, name), ("", name)]
        places = dict.fromkeys(posixpath.normpath(posixpath.join(root or "", rest)) for root, rest in wanted)
        yield from (place for place in places if not place.startswith(("..", *AREAS)))

    def _hash(self, key: str) -> str:
        hasher = hashlib.sha256()
        _, stream = self._raw.open(key)
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
        return hasher.hexdigest()


def _stem_uid(file_name: str) -> str | None:
    stem = posixpath.splitext(posixpath.basename(file_name.replace("\\", "/")))[0]
    return stem if UID.fullmatch(stem) else None


def _size_of(record: RawData | None) -> tuple[int, int] | None:
    facts = record.facts if record else None
    return (facts.width, facts.height) if facts and facts.width and facts.height else None


def own_pictures(source: Source, report: Findings) -> Iterator[Picture]:
    """The lines of our own format: annotations in the words of a client, which the annotation service judges.

    A line without `dataId` names its image by `fileName`. Raises FormatError for a source without such a file.
    """
    names = [name for name in source.names() if name.lower().endswith(".jsonl")]
    if not names:
        raise FormatError("source", "holds no .jsonl file")
    for name in names:
        with source.open(name) as stream:
            for number, line in json_lines(stream, report.problem):
                uids = line.get("dataId") or [None]
                width, height, split = line.get("width"), line.get("height"), line.get("split")
                has_size = isinstance(width, int) and isinstance(height, int)
                yield Picture(
                    file_name=str(line.get("fileName") or f"line {number}"),
                    kind="",
                    width=width if has_size else None,
                    height=height if has_size else None,
                    split=split if split in SPLITS else None,
                    uid=_first_text(uids),
                    attributes={"annotation": line},
                )


def _first_text(uids: object) -> str | None:
    """What a line calls its first image; a wrong value is named by whoever checks the annotation."""
    first = uids[0] if isinstance(uids, list) and uids else uids
    return None if first is None else str(first)


def misfit(picture: Picture, found: Found, clearance: Clearance) -> str | None:
    """Why a picture's labels cannot be those of this content, or None."""
    if found.is_erased:
        return "the image was deleted on request"
    outside = clearance.problem(found.meta or {}) if clearance.is_limited else None
    if outside is not None:
        return f"the image is outside of what this key may use: {outside}"
    is_placed = any(label.box is not None or label.segmentation is not None for label in picture.labels)
    if not is_placed or found.size is None or picture.width is None or picture.height is None:
        return None
    if (picture.width, picture.height) != found.size:
        said, real = f"{picture.width} × {picture.height}", f"{found.size[0]} × {found.size[1]}"
        return f"its labels are for {said} pixels, and the image has {real}"
    return None


def body_of(picture: Picture, found: Found) -> Mapping[str, Any]:
    """The annotation in the words of a client. A line of our own format is taken as it is."""
    own = picture.attributes.get("annotation")
    if isinstance(own, Mapping):
        return own if own.get("dataId") else {**own, "dataId": [found.uid]}
    scale = found.size if picture.in_shares and found.size is not None else (1, 1)
    return {
        "dataId": [found.uid],
        "annotationType": picture.kind,
        "labelInfo": [_label(label, *scale) for label in picture.labels],
        "labelMethod": METHOD,
    }


def _label(label: Label, width: int, height: int) -> dict[str, Any]:
    found: dict[str, Any] = {"label": label.label}
    if label.box is not None:
        found["bbox_xyxy"] = _scaled(label.box, width, height)
    if isinstance(label.segmentation, Mapping):
        found["segmentation"] = label.segmentation
    elif label.segmentation is not None:
        found["segmentation"] = [_scaled(ring, width, height) for ring in label.segmentation]
    if label.crowd:
        found["iscrowd"] = 1
    if label.score is not None:
        found["score"] = label.score
    if label.attributes:
        found["attributes"] = dict(label.attributes)
    return found


def _scaled(values: Sequence[float], width: int, height: int) -> list[float]:
    """x, y, x, y, … in pixels. Whole coordinates are whole numbers, so that two spellings of a box are one annotation."""
    if (width, height) != (1, 1):
        values = [round(value * (height if place % 2 else width), DECIMALS) for place, value in enumerate(values)]
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
