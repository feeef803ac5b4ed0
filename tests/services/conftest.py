"""A fresh account per test; what devices and labellers do, in a line each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core import Core, account


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found:
        yield found
