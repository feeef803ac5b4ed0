"""What may be trained of a project: the service's published minimums, and what a wish must look like. Pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.domain.projects import Image, Iteration, Tag
from dataloop.domain.splits import SplitPolicy

# Microsoft's page "Limits and quotas" of Custom Vision (both tiers): iterations of a project, and the fewest labelled
# images a tag needs, for whole images and for boxes.
MAX_ITERATIONS = 20
LEAST_IMAGES = {"classification": 5, "multilabel_classification": 5, "detection": 15}
# A class is told from something; a box may be of the only kind there is.
LEAST_TAGS = {"classification": 2, "multilabel_classification": 2, "detection": 1}
TRAINING_KINDS = ("regular", "advanced")
# Hours that an advanced training may be given.
LEAST_HOURS, MOST_HOURS = 1, 24
MAX_NAME = 128
MAX_TARGET = 1_000
# From here on a tenth of a tag's images, five, judge an epoch; below, every image is worth more in the training.
VALIDATED_FROM = 50
# Of an advanced training as many passes as of a regular one; the budget ends it early.
_ADVANCED_PASSES, _MOST_EPOCHS = 4, 1_000
# The jobs' default `threads`: CPU time runs so many times as fast as the clock.
_THREADS = 2
# Pixels to a thousandth: far below what a person can draw, far above what arithmetic leaves.
_PIXEL_DIGITS = 3
# One part before the @, a domain with a dot behind it: what is wrong otherwise, the mail server says.
_ADDRESS = re.compile(r"[^@\s<>\",;]{1,64}@[^@\s<>\",;.]+(\.[^@\s<>\",;.]+)+")
MAX_ADDRESS = 254  # RFC 5321, a path without its brackets


@dataclass(frozen=True, slots=True)
class TrainingWish:
    """What a client asks for. budget_hours: of an advanced training. force: also when nothing changed.

    tag_ids: the tags to learn, () is all. base: (project id, iteration id) whose model to start from.
    """

    kind: str = "regular"
    budget_hours: int = 0
    force: bool = False
    email: str = ""
    tag_ids: tuple[str, ...] = ()
    base: tuple[str, str] | None = None


def check_wish(wish: TrainingWish) -> TrainingWish:
    """Raises InvalidInput(training kind, training budget, notification address)."""
    if wish.kind not in TRAINING_KINDS:
        raise InvalidInput("training kind", f"must be one of {', '.join(TRAINING_KINDS)}", wish.kind)
    if wish.kind == "advanced" and not LEAST_HOURS <= wish.budget_hours <= MOST_HOURS:
        raise InvalidInput(
            "training budget", f"an advanced training takes {LEAST_HOURS} to {MOST_HOURS} hours", wish.budget_hours
        )
    if wish.email and (len(wish.email) > MAX_ADDRESS or not _ADDRESS.fullmatch(wish.email)):
        raise InvalidInput("notification address", "must be an e-mail address", wish.email)
    return wish


def check_tags(task_type: str, tags: Sequence[Tag], counts: Mapping[str, int], *, overlapping: int = 0) -> None:
    """Enough images of enough tags? counts: images by tag id. overlapping: images with several of the tags.

    Raises InvalidInput: `negative tag` (boxes have none), or `<task type> images`, naming what is missing.
    """
    for tag in tags:
        if task_type == "detection" and tag.kind == "negative":
            raise InvalidInput("negative tag", "a project of boxes cannot be trained with a negative tag", tag.name)
    field, least, fewest = f"{task_type} images", LEAST_IMAGES[task_type], LEAST_TAGS[task_type]
    thin = [f"{tag.name!r} has {counts.get(tag.id, 0)}" for tag in tags if counts.get(tag.id, 0) < least]
    if thin:
        named = ", ".join(thin[:5]) + (f" and {len(thin) - 5} more" if len(thin) > 5 else "")
        raise InvalidInput(field, f"not enough images for training: each tag needs {least}, {named}")
    if len(tags) < fewest:
        raise InvalidInput(
            field, f"not enough images for training: it needs {fewest} tags with {least} images each, got {len(tags)}"
        )
    if task_type == "classification" and overlapping:
        raise InvalidInput(field, f"an image has one tag in this project; {overlapping} have several")


def check_iteration_name(value: object) -> str:
    """Raises InvalidInput(iteration name)."""
    return _name(value, "iteration name")


def check_published_name(value: object) -> str:
    """A name that is a part of a URL's path. Raises InvalidInput(published name)."""
    name = _name(value, "published name")
    if any(letter in "/\\?#%" for letter in name):
        raise InvalidInput("published name", "must have none of / \\ ? # %", name)
    return name


def check_target(value: object) -> str:
    """Where it is published to, in the client's words. Raises InvalidInput(published target)."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TARGET:
        raise InvalidInput("published target", f"must be a text of 1 to {MAX_TARGET} characters", value)
    if any(ord(letter) < 32 for letter in value):
        raise InvalidInput("published target", "must not hold control characters", value)
    return value


def _name(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        raise InvalidInput(field, f"must be a text of 1 to {MAX_NAME} characters", value)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise InvalidInput(field, "must not hold control characters", value)
    return value


def newest_trained(iterations: Sequence[Iteration]) -> Iteration | None:
    """The last one that came to a good end."""
    done = [iteration for iteration in iterations if iteration.status == "COMPLETED"]
    return max(done, key=lambda iteration: iteration.number, default=None)


def split_of(counts: Sequence[int], salt: str) -> SplitPolicy:
    """How the images of an iteration are split, by how many each tag has: every tag in train, and in test.

    With few images there is no validation split. What an earlier iteration tested stays out of the training of a later
    one. Sizes and the labels in them are balanced (stratified), so that five images of a tag are four and one.
    """
    val = 0.1 if min(counts, default=0) >= VALIDATED_FROM else 0.0
    return SplitPolicy(train=0.8, val=val, test=0.2 - val, salt=salt, mode="stratified", leaks="leave_out", stable=True)


def labels_of(
    task_type: str, image: Image, tags: Mapping[str, Tag], size: tuple[int, int]
) -> list[dict[str, Any]] | str:
    """What an image teaches, as labels of an annotation; or why it teaches nothing.

    tags: those that are learnt, by id. size: pixels of the image as it is stored.
    A negative tag is a class among exclusive ones, and the absence of all others where there may be several.
    """
    if task_type == "detection":
        boxes = [
            {"label": tags[region.tag_id].name, "bbox_xyxy": _corners(region.box, size)}
            for region in image.regions
            if region.tag_id in tags
        ]
        return sorted(boxes, key=lambda box: (box["label"], box["bbox_xyxy"])) if boxes else "without a region"
    own = sorted((tags[id] for id in image.all_tags if id in tags), key=lambda tag: tag.name)
    if not own:
        return "without a tag"
    if task_type == "classification":
        return [{"label": own[0].name}] if len(own) == 1 else "several tags"
    return [{"label": tag.name} for tag in own if tag.kind != "negative"]


def _corners(box: tuple[float, float, float, float], size: tuple[int, int]) -> list[float]:
    """Shares of the image -> left, top, right, bottom in pixels."""
    left, top, width, height = box
    right, bottom = min(1.0, left + width), min(1.0, top + height)
    ends = zip((left, top, right, bottom), size * 2, strict=True)
    return [round(share * side, _PIXEL_DIGITS) for share, side in ends]


def training_parameters(advice: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters of an iteration's training. advice: of domain/recommendation.py for its version.

    An advanced training takes more passes and may use its hours: CPU seconds of both of the job's threads.
    """
    parameters = dict(advice["parameters"])
    if info.get("training") == "advanced":
        parameters["epochs"] = min(_MOST_EPOCHS, _ADVANCED_PASSES * parameters["epochs"])
        parameters["max_cpu_seconds"] = float(info["budget_hours"] * 3600 * _THREADS)
    return parameters
