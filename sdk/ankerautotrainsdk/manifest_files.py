"""Checks the files of a dataset version against its digest, here, with nothing but SHA-256.

The rule is in docs/manifest.md. The service checks itself with code of its own; this is the other side's reckoning.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator
from pathlib import Path

from ankerautotrainsdk.errors import ChecksumMismatch

SPLITS = ("train", "val", "test")


def check_digest(folder: Path, digest: str) -> None:
    """Raises ChecksumMismatch when the rows, tombstones and labels in folder do not give this digest."""
    index = json.loads((folder / "index.json").read_bytes())
    labels = json.loads((folder / "label_map.json").read_bytes())["labels"]
    content: dict[str, object] = {"format": index["format"], "labels": labels}
    if index["format"] == 1:
        if "rows" in index:
            return  # images were deleted from it: the digest was made of whole files, whose bytes are gone
        content["files"] = {split: _sha256(folder / f"{split}.jsonl") for split in SPLITS}
    else:
        content["rows"] = {split: _rows_digest(folder, split) for split in SPLITS}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != digest:
        raise ChecksumMismatch(
            f"the files in {folder} give the digest {found}, and the version's is {digest}",
            details={"expected": digest, "received": found, "path": str(folder)},
        )


def _rows_digest(folder: Path, split: str) -> str:
    """SHA-256 over the digests of the rows and of the deleted rows, in the order of their uids."""
    hasher = hashlib.sha256()
    for _, row in heapq.merge(_rows(folder / f"{split}.jsonl"), _deleted(folder / "tombstones.jsonl", split)):
        hasher.update(row)
    return hasher.hexdigest()


def _rows(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)["uid"], hashlib.sha256(line.rstrip(b"\n")).digest()


def _deleted(path: Path, split: str) -> Iterator[tuple[str, bytes]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for stone in map(json.loads, file):
            if stone["split"] == split:
                yield stone["uid"], bytes.fromhex(stone["row_sha256"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
