"""What every format speaks: pictures with labels, findings on the way, and the two protocols reader and writer.

A reader turns files of somebody else's format into pictures; a writer turns rows of a manifest into such files. Both say
what was wrong (problems) and what the other side cannot hold (losses): nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dataloop.domain.errors import InvalidInput
from dataloop.formats.sources import Source
from dataloop.formats.targets import Target

POLICIES = ("stop", "skip")
# How many items a report spells out; the counts are always complete.
REPORT_ITEMS = 100


def spelt(value: object, characters: int) -> str:
    """A text for a report: short, and without the halves of characters that JSON can spell and no UTF-8 text can hold."""
    return str(value)[:characters].encode("utf-8", "backslashreplace").decode()


class FormatError(InvalidInput):
    """An item of a label file that cannot be read, under the policy `stop`; or a file that is not of its format."""

    def __init__(self, item: str, reason: str) -> None:
        self.item = spelt(item, 200)
        super().__init__("label file", spelt(f"{self.item}: {reason}", 500))


@dataclass(frozen=True, slots=True)
class Label:
    """One thing said of a picture. box: x1, y1, x2, y2 in pixels; None for a label of the whole picture.

    segmentation: polygons in pixels ([[x, y, x, y, …], …]) or COCO's compressed RLE ({"size": [height, width], "counts"}).
    """

    label: str
    box: tuple[float, float, float, float] | None = None
    segmentation: Sequence[Sequence[float]] | Mapping[str, Any] | None = None
    score: float | None = None
    crowd: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image as a label file names it. kind: the annotationType of its labels (catalog/task_types.py).

    file_name: relative, with `/`, as the format means it from the folder of the label file. width, height: what the file
    says, None where it says nothing. split: train, val or test, where the source has one. uid: when the file knows ours.
    in_shares: boxes and polygons are shares of width and height (0..1), for a format that knows no sizes (YOLO).
    """

    file_name: str
    kind: str
    labels: tuple[Label, ...] = ()
    width: int | None = None
    height: int | None = None
    split: str | None = None
    uid: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    in_shares: bool = False


@dataclass
class Findings:
    """What a reader or writer met. Under `stop` the first problem is raised; under `skip` it is counted and left out."""

    policy: str = "skip"
    failed: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)
    losses: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def problem(self, item: str, reason: str) -> None:
        """An item that cannot be used. Raises FormatError under `stop`."""
        if self.policy == "stop":
            raise FormatError(item, reason)
        self.failed += 1
        if len(self.problems) < REPORT_ITEMS:
            self.problems.append({"item": spelt(item, 200), "reason": spelt(reason, 500)})

    def lost(self, what: str, item: str) -> None:
        """Something that was understood and that the other side cannot hold: a loss, not a problem."""
        self.losses[what] = self.losses.get(what, 0) + 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < REPORT_ITEMS:
            examples.append(spelt(item, 200))

    def to_json(self) -> dict[str, Any]:
        return {
            "failed": self.failed,
            "problems": self.problems,
            "losses": self.losses,
            "examples": self.examples,
        }


class Reader(Protocol):
    """Reads one format. Memory is flat in the number of pictures."""

    NAME: str

    def recognises(self, source: Source) -> bool:
        """Is this source of my format? Looks at names and first bytes only, and never raises for what it finds."""

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures, each file name once. Raises FormatError for a source that is not of the format at all."""


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One image of a version: its split, its row (docs/manifest.md), and the object name it has with us.

    boxes and polygons of a row are shares of width and height; pixels are `share × size`.
    """

    split: str
    row: Mapping[str, Any]
    file_name: str


class Writer(Protocol):
    """Writes one format. The same images in the same order give the same bytes. Memory is flat in the number of images."""

    NAME: str

    def image_name(self, image: ExportImage) -> str:
        """Where the picture's file belongs in this format's layout: relative, unique among the images of a version."""

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        """Write all label files. labels: the version's label map, sorted. The pictures' own files are the caller's."""
