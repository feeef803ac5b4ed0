"""Names that come from elsewhere, made safe to create in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

# Control characters, and the two separators: a name is one component, whatever the system.
_NEVER = re.compile(r"[\x00-\x1f\x7f/\\]")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_MAX_BYTES = 200  # of the 255 most systems allow; the rest is for suffixes of our own


def last_component(object_name: str) -> str:
    """The part after the last separator of either kind."""
    return re.split(r"[/\\]", object_name)[-1]


def safe_file_name(name: str, *, windows: bool = os.name == "nt") -> str:
    """One path component that stays where it is put; Unicode, spaces and `+` are kept.

    Separators and control characters become "_"; "", "." and ".." become "_"; over-long names are cut before the
    suffix. When two different names could so become one, a short digest of the original tells them apart.
    """
    text = name.encode("utf-8", "replace").decode()
    safe = _NEVER.sub("_", text)
    if windows:
        safe = _NOT_ON_WINDOWS.sub("_", safe).rstrip(". ")
        if _RESERVED_ON_WINDOWS.fullmatch(safe):
            safe = f"_{safe}"
    if safe in ("", ".", ".."):
        safe = "_"
    cut = _cut(safe)
    return cut if cut == name else with_mark(cut, hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8])


def with_mark(name: str, mark: str) -> str:
    """ "photo.jpg" and "1a2b" give "photo.1a2b.jpg"."""
    path = Path(name)
    return f"{path.stem}.{mark}{path.suffix}"


def _cut(name: str) -> str:
    suffix = Path(name).suffix
    if len(suffix.encode()) > 20:
        suffix = ""
    stem = name.removesuffix(suffix) if suffix else name
    room = _MAX_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix
