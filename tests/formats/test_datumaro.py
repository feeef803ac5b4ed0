"""Datumaro reads what we wrote and we read what it wrote, and both mean the same. It runs in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.formats.parity import PAIRS, compare
from benchmarks.formats.scenes import Dress

# Pixels; datumaro's YOLO has six decimals of a share.
CLOSE = 0.001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reading", "writing", "dress"),
    [(name, reading, writing, dress) for name, reading, writing, dresses in PAIRS for dress in dresses],
)
def test_both_say_the_same_of_real_scenes(name: str, reading: str, writing: str, dress: Dress, tmp_path: Path) -> None:
    python = os.environ.get("DATUMARO_PYTHON")
    if not python:
        pytest.skip("DATUMARO_PYTHON names no interpreter with datumaro (docs/formats.md)")
    for direction, found in compare(python, name, reading, writing, dress, 30, tmp_path):
        assert (found.images, found.missing, found.splits) == (30, 0, 0), direction
        assert found.labels >= 30
        assert found.box < CLOSE
        assert found.mask == 0
