"""The `dataloop` command (extra `cli`: typer and rich).

This file must import without the extra, so that its absence is one clear line and not a traceback.
"""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Entry point of the `dataloop` command. Exit codes: 0 done, 1 an error (one line), 2 wrong usage."""
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"dataloop: the command line needs {' and '.join(missing)}; "
            "install it with: pip install 'ankerautotrainsdk[cli]'\n"
        )
        raise SystemExit(1)
    from ankerautotrainsdk.cli.app import run

    run()
