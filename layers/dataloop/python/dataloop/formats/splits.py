"""Lists of names that say which split a picture belongs to: train.txt and the like, one name a line."""

from __future__ import annotations

import posixpath
from types import TracebackType

from dataloop.formats.names import split_named, stem_of
from dataloop.formats.sources import Source
from dataloop.formats.spool import Spool
from dataloop.formats.surface import Findings

# Ours: S3's longest key has 1,024 bytes.
MAX_LINE_BYTES = 4096


class SplitLists:
    """The lists of a folder, on disk: a source may have millions of pictures. Use it in a `with`."""

    def __init__(self, source: Source, folder: str, findings: Findings) -> None:
        """folder: "ImageSets/Main/", at the source's root or below another folder (VOC2012/)."""
        self._spool = Spool("TABLE lists (stem TEXT PRIMARY KEY, split TEXT) WITHOUT ROWID")
        for name in source.names():
            split = split_named(stem_of(name))
            is_there = posixpath.dirname(name) + "/" == folder or posixpath.dirname(name).endswith("/" + folder[:-1])
            if split is not None and is_there and name.endswith(".txt"):
                self._read(source, name, split, findings)

    def __enter__(self) -> SplitLists:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._spool.__exit__(kind, error, at)

    def split_of(self, stem: str) -> str | None:
        """The split of a picture by its name without suffix; the first list that has it counts."""
        found = next(self._spool.rows("SELECT split FROM lists WHERE stem = ?", (_storable(stem),)), None)
        return None if found is None else str(found[0])

    def _read(self, source: Source, name: str, split: str, findings: Findings) -> None:
        with source.open(name) as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                # Names with blanks stand in quotes in some tools' lists.
                stem = _storable(posixpath.basename(line.decode("utf-8-sig", errors="replace").strip().strip('"')))
                if not stem or self._spool.add_new("INSERT OR IGNORE INTO lists VALUES (?, ?)", stem, split):
                    continue
                if self.split_of(stem) != split:
                    findings.problem(f"{name}: line {number}", f"{stem} is in another split's list, too")


def _storable(stem: str) -> str:
    return stem.encode("utf-8", "replace").decode()
