"""Gap: queue messages since the last save are lost on kill -9.

Stock keeps messages in memory and saves queues at a clean stop only.
We log every message when it is put into a queue (by a client, a notification, a rule or a redrive) and when it leaves for
good, before the request that caused it is answered. A message that was received but not deleted is delivered again after
a restart, as after its visibility timeout. Messages with binary attributes are not logged (the application sends none).
Noticed by: tests/local/test_durability.py::test_messages_survive and
tests/local/test_stock_gaps.py::test_stock_saves_queues_only_at_stop.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ministack.core.concurrency import esm_wake
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import sqs

from dataloop_local.durability.keeper import Keeper

Key = tuple[str, str, str]
Message = dict[str, Any]


class _Journal:
    """Writes what happens to one queue's messages into the log."""

    def __init__(self, keeper: Keeper, key: Key) -> None:
        self._keeper = keeper
        self._key = list(key)

    def added(self, message: Message) -> None:
        if not self._keeper.restoring and not any(
            "BinaryValue" in a for a in (message.get("message_attributes") or {}).values()
        ):
            self._keeper.log.append({"queue": self._key, "added": message})

    def gone(self, messages: Iterable[Message]) -> None:
        ids = [message["id"] for message in messages]
        if ids and not self._keeper.restoring and not self._keeper.log.is_closed:
            self._keeper.log.append({"queue": self._key, "gone": ids})


class _Messages(list[Message]):
    """The messages of a queue; ministack appends to it, and replaces or shortens it."""

    def __init__(self, messages: Iterable[Message], journal: _Journal) -> None:
        super().__init__(messages)
        self._journal = journal

    def append(self, message: Message) -> None:
        super().append(message)
        self._journal.added(message)

    def remove(self, message: Message) -> None:
        super().remove(message)
        self._journal.gone([message])

    def clear(self) -> None:
        gone = list(self)
        super().clear()
        self._journal.gone(gone)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Message]:
        return [copy.deepcopy(message, memo) for message in self]


class _Queue(dict[str, Any]):
    """A queue record whose list of messages keeps its journal when ministack replaces the list."""

    def __init__(self, queue: dict[str, Any], journal: _Journal) -> None:
        super().__init__(queue)
        self._journal = journal
        super().__setitem__("messages", _Messages(queue["messages"], journal))

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "messages":
            if len(value) < len(self["messages"]):
                kept = {message["id"] for message in value}
                self._journal.gone(message for message in self["messages"] if message["id"] not in kept)
            value = _Messages(value, self._journal)
        super().__setitem__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {name: copy.deepcopy(value, memo) for name, value in self.items()}


class _Queues(AccountRegionScopedDict):
    """ministack's store of queues; whatever enters it keeps a journal."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__()
        self._keeper = keeper

    def __setitem__(self, url: str, queue: dict[str, Any]) -> None:
        super().__setitem__(url, queue)
        self.adopt()

    def update(self, other: Any) -> None:
        super().update(other)
        self.adopt()

    def adopt(self) -> None:
        for key, queue in list(self._data.items()):
            if not isinstance(queue, _Queue):
                self._data[key] = _Queue(queue, _Journal(self._keeper, key))

    def __deepcopy__(self, memo: dict[int, Any]) -> AccountRegionScopedDict:
        plain = AccountRegionScopedDict()
        plain._data = {key: copy.deepcopy(queue, memo) for key, queue in list(self._data.items())}
        return plain


def install(keeper: Keeper) -> None:
    sqs._queues = _Queues(keeper)


def restore(keeper: Keeper) -> None:
    """Bring the saved queues to what the log says. Call when services have loaded."""
    added: dict[Key, dict[str, Message]] = {}
    gone: dict[Key, set[str]] = {}
    for record in keeper.recovered_messages:
        key = (record["queue"][0], record["queue"][1], record["queue"][2])
        waiting = added.setdefault(key, {})
        if "added" in record:
            waiting[record["added"]["id"]] = record["added"]
        for message_id in record.get("gone", ()):
            waiting.pop(message_id, None)
            gone.setdefault(key, set()).add(message_id)
    for key, waiting in added.items():
        queue = sqs._queues._data.get(key)
        if queue is None:
            continue
        with sqs._queues_lock:
            queue["messages"] = [m for m in queue["messages"] if m["id"] not in gone.get(key, ())]
            known = {message["id"] for message in queue["messages"]}
            for message_id, message in waiting.items():
                if message_id not in known:
                    sqs._ensure_msg_fields(message)
                    queue["messages"].append(message)
    esm_wake.set()
