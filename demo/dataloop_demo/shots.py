"""The images of a demo: shots with boxes, dealt into two rounds, and what a device would say of each.

Round 1 is what a team has labelled before its first model; round 2 is what arrives afterwards. The held-out (test)
shots all belong to round 1, so that both models meet the same frozen test set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataloop_demo.scenes import Kind, compose

Json = dict[str, Any]
Box = tuple[float, float, float, float]

# Round 1 and round 2 of the digits demo: (kind of scene, split, how many, seed). About 30 examples of each digit are
# held out; fewer make AP50 of a class a matter of luck, more only cost time.
_FIRST: tuple[tuple[Kind, str, int, int], ...] = (
    ("train", "train", 280, 11),
    ("val", "val", 40, 12),
    ("test", "test", 96, 13),
)
_SECOND: tuple[tuple[Kind, str, int, int], ...] = (("train", "train", 160, 21), ("val", "val", 16, 22))
# A scene with this many digits counts as busy.
_BUSY = 3
_REGIONS = ("CN", "EU", "US")


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Shot:
    """One image file with its labels. boxes: (left, top, right, bottom) in pixels, one label each, maybe none."""

    path: Path
    width: int
    height: int
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    split: str
    region: str = ""
    source: str = ""
    device: str = ""
    group: str = ""

    def raw_data(self) -> Json:
        """File information in the shape of upload_raw_data, without uid and storage."""
        extra = {"split": self.split, "device": self.device, "group": self.group}
        fields: Json = {
            "type": "image",
            "securityLevel": "low",
            "bg": "demo",
            "owner": "dataloop-demo",
            "fileMeta": {"resolution": {"width": self.width, "height": self.height}},
            "extra": {name: value for name, value in extra.items() if value},
            "sourceInfo": {"type": self.source or "upload"},
        }
        return fields | ({"region": self.region} if self.region else {})

    def annotation(self, uid: str) -> Json:
        """The labels in the shape of upload_annotated_data."""
        pairs = zip(self.boxes, self.labels, strict=True)
        return {
            "annotationType": "object",
            "bg": "demo",
            "owner": "dataloop-demo",
            "dataId": [uid],
            "labelInfo": [{"bbox_xyxy": list(box), "label": label, "labelType": "rect"} for box, label in pairs],
            "labelMethod": "manual",
            "labelScope": [],
            "modelName": "",
            "modelVersion": "",
        }


@dataclass(frozen=True)
class Round:
    """Shots that are uploaded together: all of them lie below `folder`."""

    folder: Path
    shots: tuple[Shot, ...]

    def count(self, split: str) -> int:
        return sum(shot.split == split for shot in self.shots)

    @property
    def boxes(self) -> int:
        return sum(len(shot.boxes) for shot in self.shots)


@dataclass(frozen=True)
class Story:
    """Everything that differs between the demo's own images and a user's.

    name: of dataset, loop and release; about and attributes: sentences for the report; training, retraining: the
    jobs' parameters of loop 1 and loop 2; gate: of both releases.
    """

    name: str
    title: str
    about: str
    attributes: str
    first: Round
    second: Round
    training: Json
    retraining: Json
    gate: Json
    notes: tuple[str, ...] = field(default=())


def digits_story(folder: Path) -> Story:
    """Handwritten digits composed on photographs; digits and photographs of val and test are never trained on.

    Cost: about 4 ms an image.
    """
    first, second = folder / "round-1", folder / "round-2"
    return Story(
        name="digit-scenes",
        title="Handwritten digits on photographs",
        about=(
            "Real images, composed: scanned handwritten digits (MNIST) placed on photographs, so that every box is exact. "
            "The held-out scenes use digits and photographs that no training scene contains."
        ),
        attributes=(
            "Each photograph plays a camera (device), each camera stands in one region, and a scene with three or more "
            "digits plays a motion trigger, the others a schedule. Val and test cameras are not in the training set."
        ),
        first=Round(first, tuple(_composed(first, _FIRST))),
        second=Round(second, tuple(_composed(second, _SECOND))),
        # Found by trial on two cores (helper runs over 320 scenes): more epochs gain little, see docs of the jobs.
        training={"image_size": 192, "epochs": 6, "batch_size": 8, "learning_rate": 0.002, "seed": 1},
        # Warm-started: a lower rate and fewer passes over more images.
        retraining={"image_size": 192, "epochs": 4, "batch_size": 8, "learning_rate": 0.001, "seed": 1},
        # One of 30 examples is 3 points of recall: a class may lose a few of them before it counts as a fall.
        gate={"margin": 0.0, "max_class_drop": 0.1, "min_primary": 0.5},
    )


def _composed(folder: Path, plan: tuple[tuple[Kind, str, int, int], ...]) -> Iterator[Shot]:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, split, count, seed in plan:
        for index, scene in enumerate(compose(kind, count, seed)):
            path = folder / f"{split}-{index:04d}.jpg"
            path.write_bytes(scene.image_bytes)
            yield Shot(
                path=path,
                width=scene.width,
                height=scene.height,
                boxes=tuple(scene.boxes),
                labels=tuple(scene.labels),
                split=split,
                region=_REGIONS[sum(scene.background.encode()) % len(_REGIONS)],
                source="trigger" if len(scene.boxes) >= _BUSY else "schedule",
                device=f"camera-{scene.background}",
                group=scene.background,
            )
