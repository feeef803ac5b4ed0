"""What the demo says while it works: a line when a stage begins and one when it ends, with elapsed seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

_WIDTH = 100


@dataclass
class Stage:
    """One stage: started_s since the demo's start, seconds it took, and one sentence on what came of it."""

    name: str
    started_s: float
    seconds: float = 0.0
    result: str = ""


class Narrator:
    """Prints to standard output; a line that moves is only shown on a terminal, so that logs stay short."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._moves = sys.stdout.isatty()
        self.stages: list[Stage] = []

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._begun

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a block. What it puts into stage.result is printed at its end."""
        stage = Stage(name, self.elapsed_s)
        self.moving(name, "…")
        yield stage
        stage.seconds = self.elapsed_s - stage.started_s
        self.stages.append(stage)
        self._line(f"{name:<10} {stage.result} ({stage.seconds:.1f} s)")

    def say(self, text: str) -> None:
        """A line of its own, below the stage that speaks."""
        self._line(f"{'':<10} {text}")

    def moving(self, name: str, text: str) -> None:
        """Where a stage stands; the next line takes its place."""
        if self._moves:
            print(f"\r{self._stamp()}{name:<10} {text}"[:_WIDTH].ljust(_WIDTH), end="", flush=True)

    def _line(self, text: str) -> None:
        end = "\r" + " " * _WIDTH + "\r" if self._moves else ""
        print(f"{end}{self._stamp()}{text}", flush=True)

    def _stamp(self) -> str:
        return f"{self.elapsed_s:7.1f} s  "

    def to_json(self) -> list[dict[str, Any]]:
        """The finished stages."""
        return [asdict(stage) for stage in self.stages]
