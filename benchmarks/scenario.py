"""What a scenario is, and what it gives back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Spread, ratios

if TYPE_CHECKING:
    from benchmarks.aws_double import AwsDouble
    from benchmarks.local_stack import BenchStack


@dataclass(frozen=True, slots=True)
class Budget:
    """`of` says what is limited: the ratio to the rival, or our own figure."""

    limit: float
    of: str = "ratio"
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def text(self, unit: str) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}{'×' if self.of == 'ratio' else ' ' + unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `speedup` turns the ratio round: rival / ours, for "n times faster" budgets."""

    name: str
    unit: str
    ours: Spread
    rival_name: str = ""
    rival: Spread | None = None
    budget: Budget | None = None
    speedup: bool = False

    @property
    def ratio(self) -> Spread | None:
        if self.rival is None or not all(self.rival.samples) or (self.speedup and not all(self.ours.samples)):
            return None
        return ratios(self.rival, self.ours) if self.speedup else ratios(self.ours, self.rival)

    @property
    def met(self) -> bool | None:
        """None without a budget."""
        if self.budget is None:
            return None
        if self.budget.of == "ours":
            return self.budget.holds(self.ours.median)
        ratio = self.ratio
        return ratio is not None and self.budget.holds(ratio.median)


def counted(value: float) -> Spread:
    """A figure that is counted, not measured: it has no spread."""
    return Spread((float(value),))


@dataclass
class Bench:
    """What scenarios share in one run: the size of the run, a scratch folder, and servers that start when first used."""

    quick: bool = False
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _begun: float = field(default_factory=time.perf_counter)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """Progress, on stderr: stdout holds the report alone."""
        print(f"[{time.perf_counter() - self._begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """A line below the table."""
        self.notes.append(text)

    def rounds(self, full: int, quick: int = 3) -> int:
        return quick if self.quick else full

    @cached_property
    def folder(self) -> Path:
        """Scratch space, removed at the end."""
        return Path(self._stack.enter_context(TemporaryDirectory(prefix="dataloop-bench-")))

    @cached_property
    def aws(self) -> AwsDouble:
        """moto and a replaying server before it, in a process of their own."""
        from benchmarks.aws_double import AwsDouble

        return self._stack.enter_context(AwsDouble(self.folder))

    @cached_property
    def stack(self) -> BenchStack:
        """The deployed local stack."""
        from benchmarks.local_stack import BenchStack

        self.say("starting the local stack")
        return self._stack.enter_context(BenchStack(self.folder / "stack"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of design §11 and how it is measured."""

    name: str
    measures: str
    budget: str
    rival: str
    run: Callable[[Bench], list[Figure]]
    source: str = "design §11"


Result = Mapping[str, list[Figure]]
