"""Artefacts for devices. One file a format, each with the same surface: see `onnx.py`."""
