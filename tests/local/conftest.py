"""One running stack for the tests that do not restart it; a factory for those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.stack import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Shared: use keys, names and queues of your own, or drain what you look at."""
    running = LocalStack(tmp_path_factory.mktemp("stack"), "--stop-grace", "1", "--jobs-at-once", "2").start()
    yield running
    running.stop()


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Callable[..., LocalStack]]:
    """Makes stacks that a test may kill; whatever is left of them is killed at its end."""
    made: list[LocalStack] = []

    def make(*arguments: str) -> LocalStack:
        made.append(LocalStack(tmp_path / f"state-{len(made)}", *arguments))
        return made[-1]

    yield make
    for left in made:
        if hasattr(left, "info"):
            left.kill()
