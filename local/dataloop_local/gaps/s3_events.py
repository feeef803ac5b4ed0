"""Gap: a bucket notification may be lost although its object was acknowledged.

Stock delivers each notification in a thread of its own, after the answer if it comes late: a crash in between leaves an
object nobody heard of.
We deliver when the object is on disk and before the request is answered. With queues in the log, an acknowledged upload's
message survives; still at least once: the client that saw no answer may send the object, and so the message, again.
Noticed by: tests/local/test_durability.py::test_notifications_survive and
tests/local/test_stock_gaps.py::test_stock_delivers_notifications_in_threads.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import s3

_waiting: ContextVar[list[tuple[tuple[Any, ...], dict[str, Any]]] | None] = ContextVar(
    "dataloop_s3_events", default=None
)


def install() -> None:
    stock_handle, stock_async = s3.handle_request, s3._fire_s3_event_async

    async def handle_request(*arguments: Any, **named: Any) -> tuple[Any, ...]:
        events: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        token = _waiting.set(events)
        try:
            answer: tuple[Any, ...] = await stock_handle(*arguments, **named)
        finally:
            _waiting.reset(token)
        for event, details in events:
            s3._fire_s3_event(*event, **details)
        return answer

    def fire_async(bucket: str, key: str, name: str, *rest: Any, **details: Any) -> None:
        events = _waiting.get()
        if events is None:
            stock_async(bucket, key, name, *rest, **details)
        elif bucket in s3._bucket_notifications:
            # The sequencer is taken now: it is the order of the writes, whatever is delivered first.
            events.append(((bucket, key, name, *rest), {**details, "sequencer": s3._next_event_sequencer(name)}))

    s3.handle_request, s3._fire_s3_event_async = handle_request, fire_async
