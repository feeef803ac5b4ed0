"""CPU time and wall time of child processes, and fair turns between two sides.

The machine is shared: what is compared is CPU time wherever that is the question, both sides take turns, and a ratio is
the median of the rounds' own ratios, so that a slow minute slows both sides of its round alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class ChildFailed(RuntimeError):
    """A measured program ended with an error; the message holds the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Samples of one quantity."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)


@dataclass(frozen=True, slots=True)
class Usage:
    """One finished child: seconds of CPU (user and system, with its own children) and of wall time."""

    cpu_s: float
    wall_s: float
    output: str


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end in the repository's root. Raises ChildFailed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begun = time.perf_counter()
        child = subprocess.Popen(
            arguments, stdout=output, stderr=errors, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment
        )
        # wait4 gives the usage of this child alone; RUSAGE_CHILDREN would mix in every other one.
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if child.returncode:
            errors.seek(0)
            tail = errors.read().decode(errors="replace")[-3000:]
            raise ChildFailed(f"{' '.join(arguments)[:300]} ended with {child.returncode}:\n{text[-500:]}\n{tail}")
    return Usage(usage.ru_utime + usage.ru_stime, wall_s, text)


def python(code: str, environment: Mapping[str, str] | None = None) -> Usage:
    """Run Python code in a fresh process."""
    return run([sys.executable, "-c", code], environment)


def program(name: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Usage:
    """Run one of benchmarks/programs in a fresh process."""
    command = [sys.executable, "-m", f"benchmarks.programs.{name}", *map(str, arguments)]
    return run(command, environment)


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = 1) -> dict[str, Spread]:
    """Call every side once a round; the first `warm` rounds fill caches (bytecode, pages) and are not counted."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm + rounds):
        # The order changes from round to round, so that no side always follows the same neighbour.
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            value = sides[name]()
            if number >= warm:
                found[name].append(value)
    return {name: Spread(tuple(values)) for name, values in found.items()}


def ratios(ours: Spread, rival: Spread) -> Spread:
    """Round by round when both have the same number of samples, else of the medians."""
    if len(ours.samples) == len(rival.samples):
        return Spread(tuple(a / b for a, b in zip(ours.samples, rival.samples, strict=True)))
    return Spread((ours.median / rival.median,))
