"""Fixtures that several suites share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.deployed import DeployedStack
from tests.trained import classifier, detector

__all__ = ["classifier", "detector"]

# Continuous integration repeats the same examples; a developer's run looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """One deployed stack for all tests that need it: use names of your own. Loops react at once; it fetches from itself."""
    running = DeployedStack(tmp_path_factory.mktemp("deployed"), "--stop-grace", "1", "--allow-url-host", "127.0.0.1")
    running.start(LoopDebounceSeconds="0", RetrainCooldownSeconds="0")
    yield running
    running.stop()
