"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployed import DeployedStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """One deployed stack for all tests that need it: use names of your own. Loops react at once."""
    running = DeployedStack(tmp_path_factory.mktemp("deployed"), "--stop-grace", "1")
    running.start(LoopDebounceSeconds="0", RetrainCooldownSeconds="0")
    yield running
    running.stop()
