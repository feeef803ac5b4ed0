"""Writes the lists of the splits (train.txt, …): names are collected on disk while the label files are written."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

from dataloop.formats.names import SPLITS
from dataloop.formats.spool import spooled
from dataloop.formats.targets import Target


class SplitFiles:
    """One list a split, one name a line, in the order in which they came."""

    def __init__(self, stack: ExitStack) -> None:
        self._lists = {split: stack.enter_context(spooled()) for split in SPLITS}

    def add(self, split: str, name: str) -> None:
        self._lists[split].write(f"{name}\n".encode())

    def write(self, target: Target, folder: str) -> list[str]:
        """Write <folder><split>.txt for each split that has pictures. Returns these splits."""
        written = []
        for split, names in self._lists.items():
            if names.tell():
                names.seek(0)
                written.append(split)
                with target.open(f"{folder}{split}.txt") as file:
                    shutil.copyfileobj(names, file)
        return written
