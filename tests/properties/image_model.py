"""What images say and requests do to them, in plain Python; and requests that take turns before each of their AWS calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataloop.bootstrap import Services
from dataloop.domain.projects import Image
from tests.workspaces import Box


class OneThread:
    """In place of a pool: whatever a request runs side by side, it runs in its own thread, in order."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> OneThread:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, call: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        return iter([call(*given) for given in zip(*arguments, strict=False)])


@dataclass(frozen=True)
class Shown:
    """What an image says."""

    id: str
    tags: frozenset[str] = frozenset()
    boxes: frozenset[tuple[str, Box]] = frozenset()
    metadata: frozenset[tuple[str, str]] = frozenset()

    @property
    def all_tags(self) -> frozenset[str]:
        return self.tags | {tag for tag, _ in self.boxes}

    def without(self, gone: frozenset[str]) -> Shown:
        boxes = frozenset(box for box in self.boxes if box[0] not in gone)
        return replace(self, tags=self.tags - gone, boxes=boxes)


def shown(image: Image) -> Shown:
    boxes = frozenset((region.tag_id, region.box) for region in image.regions)
    return Shown(image.id, frozenset(image.tags), boxes, frozenset(image.metadata.items()))


State = Shown | None
Effect = Callable[[State], State]


@dataclass(frozen=True)
class Request:
    """What is called, and what it does to each content's image when it gets there.

    is_refused: as things stand, nothing at all; if another request changes them, it may go through.
    """

    call: Callable[[Services], object]
    effects: Mapping[int, Effect]
    is_refused: bool = False


@dataclass
class Life:
    """One request under way, and at which of its calls it dies: before or after the call."""

    request: Request
    dies_at: int = -1
    is_call_made: bool = False
    calls: int = 0
    is_dead: bool = False
    is_done: bool = False
    came_through: bool = False
    error: BaseException | None = None


@dataclass
class Turns:
    """Who makes the next call: as drawn, then in the order of the list."""

    lives: list[Life]
    choices: Iterator[int]
    now: Life | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def pass_on(self) -> None:
        waiting = [life for life in self.lives if not life.is_done]
        self.now = waiting[next(self.choices, 0) % len(waiting)] if waiting else None
        self.changed.notify_all()

    def wait(self, life: Life) -> None:
        while self.now is not life:
            self.changed.wait()


def losing(tag_id: str) -> Effect:
    """The effect of a tag's deletion."""
    return lambda state: state.without(frozenset({tag_id})) if state else None
