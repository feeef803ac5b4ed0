"""A fresh account per test, with moto's DynamoDB: a second engine beside the one that the other suites use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core import Core, account


@pytest.fixture
def core() -> Iterator[Core]:
    with account(moto_tables=True) as found:
        yield found


@pytest.fixture
def fast_core() -> Iterator[Core]:
    with account() as found:
        yield found
