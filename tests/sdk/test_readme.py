"""The README's Python runs as it is written, in the environment that its shell lines make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataloop_demo.scenes import compose
from tests.deployed import DeployedStack

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.stack
def test_the_readme_runs(stack: DeployedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert "http://127.0.0.1:8000" in code
    monkeypatch.setenv("DATALOOP_API_KEY", stack.key)
    monkeypatch.setenv("DATALOOP_URL", stack.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.jpeg").write_bytes(next(compose("train", 1, seed=8, size=64)).image_bytes)

    exec(compile(code.replace("http://127.0.0.1:8000", stack.url), str(README), "exec"), {})

    (written,) = (tmp_path / "out").iterdir()
    assert written.suffix == ".json"
