"""Export formats. ONNX is the canonical one (design D10)."""

from __future__ import annotations

FORMATS = ("onnx",)
