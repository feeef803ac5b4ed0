"""Fixtures of the SDK tests: a service on a real socket, and a client whose home and environment are empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from ankerautotrainsdk.retry import RetryPolicy
from tests.sdk.fake_service import KEY, FakeService


@pytest.fixture(autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the configuration of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("DATALOOP_URL", raising=False)
    monkeypatch.delenv("DATALOOP_API_KEY", raising=False)
    return home


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    yield fake
    fake.close()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client would have slept between retries; it does not sleep."""
    return []


@pytest.fixture
def client(service: FakeService, waits: list[float]) -> Iterator[AnkerAutoTrainSDK]:
    policy = RetryPolicy(retries=3, sleep=waits.append, uniform=lambda low, high: high)
    with AnkerAutoTrainSDK(url=service.url, api_key=KEY, progress=False, timeout_s=10, retry_policy=policy) as made:
        yield made
