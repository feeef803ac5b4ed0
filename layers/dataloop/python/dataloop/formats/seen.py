"""Which names came before, on disk: label files of others name a picture twice, and memory must not grow with them."""

from __future__ import annotations

import hashlib

from dataloop.formats.spool import Spool


class Seen:
    """A set of texts."""

    def __init__(self) -> None:
        self._spool = Spool("TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, name: str) -> bool:
        """True for a name that is new."""
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        return self._spool.add_new("INSERT OR IGNORE INTO seen VALUES (?)", digest)
