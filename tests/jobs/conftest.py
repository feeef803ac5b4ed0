"""Fixtures of the job tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.job_folder import JobFolder


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    """An empty job folder."""
    return JobFolder(tmp_path / "job")
