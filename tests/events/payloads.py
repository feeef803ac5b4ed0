"""Real payloads by file name: one loader for all of events/inbound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INBOUND = Path(__file__).resolve().parents[2] / "events" / "inbound"


def inbound(name: str) -> dict[str, Any]:
    """The payload of events/inbound/<name>.json."""
    found: dict[str, Any] = json.loads((INBOUND / f"{name}.json").read_text("utf-8"))
    return found


def names() -> list[str]:
    return sorted(path.stem for path in INBOUND.glob("*.json"))
