"""The base path: every spelling of it that clients use becomes /training/… or /prediction/…, which the routes declare."""

from __future__ import annotations

import re
from typing import Any

# v3.4-preview is the last Python training client's, v3.1 its prediction client's; Microsoft's other clients and pages
# have the rest. The word after it is Training, training, Prediction or prediction, and ASP.NET takes any case.
VERSIONS = ("v3.0", "v3.1", "v3.2", "v3.3", "v3.4", "v3.4-preview")
_BASE = re.compile(r"/customvision/([^/]+)/(training|prediction)(?=/|$)", re.IGNORECASE)


def normalised(event: dict[str, Any]) -> dict[str, Any]:
    """The event with /training/… or /prediction/… as its path. Another version or word leaves it as it came."""
    path = str(event.get("rawPath") or "/")
    found = _BASE.match(path)
    if found is None or found[1].lower() not in VERSIONS:
        return event
    short = f"/{found[2].lower()}{path[found.end() :]}".rstrip("/")
    context = event.get("requestContext", {})
    http = {**context.get("http", {}), "path": short}
    return {**event, "rawPath": short, "requestContext": {**context, "http": http, "stage": "$default"}}
