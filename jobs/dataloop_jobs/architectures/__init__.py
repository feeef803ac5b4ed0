"""Network bodies. One file an architecture, exposing `build_backbone`; the declaration is in `declarations.py`."""
