"""The SDK surface's error table: that of /api/v1."""

from __future__ import annotations

from edge.api_errors import TABLE, item, render

__all__ = ["TABLE", "item", "render"]
