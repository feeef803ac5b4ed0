"""What importing the client costs and brings along."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

from ankerautotrainsdk import __version__

ROOT = Path(__file__).parents[2]
HEAVY = ("boto3", "botocore", "requests", "pydantic", "tqdm", "typer", "rich", "click", "ssl", "http.client", "asyncio")


def test_the_import_is_light() -> None:
    code = "import sys, ankerautotrainsdk; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY) & set(loaded)
    assert "ankerautotrainsdk.cli" not in loaded


def test_the_package_is_typed() -> None:
    assert files("ankerautotrainsdk").joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
