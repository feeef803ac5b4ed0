"""Other people's programs that are compared with, each in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import ROOT

DATUMARO = "DATALOOP_DATUMARO"


def datumaro_python() -> Path:
    """The Python that has datumaro: $DATALOOP_DATUMARO/bin/python, else .venv-datumaro's. SystemExit when missing."""
    path = Path(os.environ.get(DATUMARO) or ROOT / ".venv-datumaro", "bin", "python")
    if not path.exists():
        raise SystemExit(f"datumaro is compared with, and {path} is missing: make datumaro, or set {DATUMARO}")
    return path
