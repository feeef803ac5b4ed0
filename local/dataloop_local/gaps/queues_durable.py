"""Gap: queue messages since the last save are lost on kill -9, and now and then one is lost without any.

Stock keeps messages in memory and saves queues at a clean stop only. Consumers replace a queue's list under a lock that
notifications and rules do not take: a message appended in between ends in the old list, and nowhere else.
We log every message when it is put into a queue (by a client, a notification, a rule or a redrive) and when it leaves for
good, before the request that caused it is answered. A message that was received but not deleted is delivered again after
a restart, as after its visibility timeout. A message that nobody has received cannot leave a queue by being replaced.
Messages with binary attributes are not logged (the application sends none).
Noticed by: tests/local/test_durability.py::test_messages_survive and
tests/local/test_stock_gaps.py::test_stock_saves_queues_only_at_stop.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import Any

from ministack.core.concurrency import esm_wake
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import sqs

from dataloop_local.durability.keeper import Keeper

Key = tuple[str, str, str]
Message = dict[str, Any]

# SQS keeps messages for at least a minute (MessageRetentionPeriod).
_SHORTEST_RETENTION_S = 60.0


class _Journal:
    """Writes what happens to one queue's messages into the log."""

    def __init__(self, keeper: Keeper, key: Key) -> None:
        self._keeper = keeper
        self._key = list(key)

    def added(self, message: Message) -> None:
        attributes = (message.get("message_attributes") or {}).values()
        is_binary = any("BinaryValue" in attribute for attribute in attributes)
        if not self._keeper.restoring and not is_binary:
            self._keeper.log.append({"queue": self._key, "added": message})

    def gone(self, messages: Iterable[Message]) -> None:
        ids = [message["id"] for message in messages]
        if ids and not self._keeper.restoring and not self._keeper.log.is_closed:
            self._keeper.log.append({"queue": self._key, "gone": ids})


class _Messages(list[Message]):
    """The messages of a queue; ministack appends to it, and replaces or shortens it."""

    def __init__(self, messages: Iterable[Message], journal: _Journal, queue: _Queue) -> None:
        super().__init__(messages)
        self._journal = journal
        self._queue = queue

    def append(self, message: Message) -> None:
        super().append(message)
        self._journal.added(message)
        current: _Messages = self._queue["messages"]
        if current is not self and not any(present is message for present in current):
            # The list was replaced while its writer held on to it.
            list.append(current, message)

    def remove(self, message: Message) -> None:
        super().remove(message)
        self._journal.gone([message])

    def clear(self) -> None:
        gone = list(self)
        super().clear()
        self._journal.gone(gone)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Message]:
        return [copy.deepcopy(message, memo) for message in list(self)]


class _Queue(dict[str, Any]):
    """A queue record whose list of messages keeps its journal when ministack replaces the list."""

    def __init__(self, queue: dict[str, Any], journal: _Journal) -> None:
        super().__init__(queue)
        self._journal = journal
        super().__setitem__("messages", _Messages(queue["messages"], journal, self))

    def __setitem__(self, name: str, value: Any) -> None:
        if name != "messages":
            super().__setitem__(name, value)
            return
        before: _Messages = self["messages"]
        after = _Messages(value, self._journal, self)
        super().__setitem__(name, after)
        # After the new list is in place: what is appended to the old one from now on finds its way by itself.
        if len(before) > len(after):
            kept = {message["id"] for message in after}
            missing = [message for message in list(before) if message["id"] not in kept]
            for message in missing:
                if _came_meanwhile(message):
                    list.append(after, message)
            self._journal.gone(message for message in missing if not _came_meanwhile(message))

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {name: copy.deepcopy(value, memo) for name, value in list(self.items())}


def _came_meanwhile(message: Message) -> bool:
    """Never received, and too young to have expired: it is missing because it was appended during the replacement."""
    return message["receive_count"] == 0 and time.time() - message["sent_at"] < _SHORTEST_RETENTION_S


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
