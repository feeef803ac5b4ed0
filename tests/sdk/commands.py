"""Running the `dataloop` command inside a test."""

from __future__ import annotations

import pytest

from ankerautotrainsdk.cli.app import run


def runner(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            run(list(arguments))
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call
