"""Takes what is said of deleted images out of files that were derived from a version: rows, reports, thumbnails.

No format is assumed beyond its suffix: lines and list entries that speak of a deleted image go, and what cannot be edited
safely goes whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import parse

# A uid is the beginning of its content's SHA-256: wherever one of the two stands, the first 32 digits tell.
_UID = re.compile(rb"[0-9a-f]{32}")
_FIGURE = re.compile(rb'<figure class="picture">.*?</figure>', re.DOTALL)
# Read into memory at most; a larger JSON text that names a deleted image goes whole.
MAX_JSON_BYTES = 256 * 1024 * 1024
_READ_BYTES = 1 << 22
_NOTHING = object()
# Fields that say which image an object is about: rows, places, items of dataset.json.
_NAMES = ("uid", "sha256", "data_id", "file")


class Outcome(Enum):
    """What became of a file."""

    SAME = "same"
    REWRITTEN = "rewritten"
    REMOVED = "removed"


def names_any(data: bytes, uids: Collection[str]) -> bool:
    """Does the text name one of these images?"""
    return any(match.decode() in uids for match in _UID.findall(data))


def file_names_any(path: Path, uids: Collection[str]) -> bool:
    """The same of a file, read in pieces that overlap."""
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(_READ_BYTES):
            if names_any(tail + chunk, uids):
                return True
            tail = chunk[-64:]
    return False


def scrub(path: Path, uids: Collection[str], keys: Collection[str]) -> Outcome:
    """Rewrite a file on disk without these images; keys: where their bytes lay. REMOVED: the caller removes it."""
    if path.suffix == ".jsonl":
        return _scrub_lines(path, uids)
    if path.name == "images.manifest":
        return _scrub_manifest(path, keys)
    if not file_names_any(path, uids):
        return Outcome.SAME
    if path.suffix == ".json" and path.stat().st_size <= MAX_JSON_BYTES:
        try:
            text = canonical_json(scrub_json(parse(path.read_bytes()), uids))
        except ValueError:
            return Outcome.REMOVED
    elif path.suffix == ".html":
        text = _FIGURE.sub(lambda found: b"" if names_any(found[0], uids) else found[0], path.read_bytes())
    else:
        return Outcome.REMOVED
    if names_any(text, uids):
        return Outcome.REMOVED
    path.write_bytes(text)
    return Outcome.REWRITTEN


def _scrub_lines(path: Path, uids: Collection[str]) -> Outcome:
    """Rows about these images go; other rows that mention one lose the mention."""
    changed = path.with_name(path.name + ".scrubbed")
    is_same = True
    with path.open("rb") as lines, changed.open("wb") as kept:
        for line in lines:
            if not names_any(line, uids):
                kept.write(line)
                continue
            is_same = False
            row = _scrubbed(parse(line), uids)
            if row is not _NOTHING:
                kept.write(canonical_json(row) + b"\n")
    if is_same:
        changed.unlink()
        return Outcome.SAME
    changed.replace(path)
    return Outcome.REWRITTEN


def _scrub_manifest(path: Path, keys: Collection[str]) -> Outcome:
    """SageMaker's list of keys: a prefix, then keys."""
    listed = parse(path.read_bytes())
    kept = [entry for entry in listed if not isinstance(entry, str) or entry not in keys]
    if kept == listed:
        return Outcome.SAME
    has_keys = any(isinstance(entry, str) for entry in kept)
    path.write_bytes(canonical_json(kept if has_keys else []))
    return Outcome.REWRITTEN


def scrub_json(value: Any, uids: Collection[str]) -> Any:
    """A JSON value without what speaks of these images: {} or [] when all of it did."""
    found = _scrubbed(value, uids)
    if found is _NOTHING:
        return {} if isinstance(value, Mapping) else []
    return found


def _scrubbed(value: Any, uids: Collection[str]) -> Any:
    if isinstance(value, str):
        return _NOTHING if names_any(value.encode(errors="replace"), uids) else value
    if isinstance(value, list | tuple):
        return [kept for entry in value if (kept := _scrubbed(entry, uids)) is not _NOTHING]
    if isinstance(value, Mapping):
        # An object that carries the image's name is about it; elsewhere only the mention goes.
        if any(name in value and _scrubbed(value[name], uids) is _NOTHING for name in _NAMES):
            return _NOTHING
        return {
            name: kept
            for name, entry in value.items()
            if not names_any(str(name).encode(errors="replace"), uids)
            and (kept := _scrubbed(entry, uids)) is not _NOTHING
        }
    return value
