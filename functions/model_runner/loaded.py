"""Models in memory, ready to run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from dataloop_inference.model import LoadedModel


@dataclass
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    model: LoadedModel | None = None


class LoadedModels:
    """At most so many bytes of graphs, the least recently used ones go first; the newest stays, however large.

    A model is loaded once, whatever the number of threads that ask for it, and loading one holds up no other.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def get(self, key: str, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The model of this key; `load` makes it when it is not here. What `load` raises is raised, and not remembered."""
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
        with place.lock:
            if place.model is None:
                try:
                    place.model = load()
                except BaseException:
                    with self._lock:
                        self._places.pop(key, None)
                    raise
            model = place.model
        with self._lock:
            self._shrink(key)
        return model

    def _shrink(self, newest: str) -> None:
        total = sum(place.model.size_bytes for place in self._places.values() if place.model)
        for key, place in list(self._places.items()):
            if total <= self._limit:
                return
            if place.model is not None and key != newest:
                total -= place.model.size_bytes
                del self._places[key]

    def __contains__(self, key: str) -> bool:
        with self._lock:
            place = self._places.get(key)
            return place is not None and place.model is not None
