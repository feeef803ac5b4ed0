"""The EventBridge bus of domain events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import Unavailable
from dataloop.domain.events import DomainEvent

BATCH = 10  # EventBridge: PutEvents takes ten entries


class PublishFailed(Unavailable):
    """Some events were not accepted; `first` is the index of the first of them."""

    def __init__(self, first: int, reason: str) -> None:
        self.first = first
        super().__init__(f"event {first}: {reason}")


class EventBus:
    """Publishes and looks at every entry's answer: PutEvents succeeds even when entries fail."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def publish(self, events: Sequence[DomainEvent]) -> None:
        """One call per ten events. Raises PublishFailed with the first that was not taken."""
        for start in range(0, len(events), BATCH):
            entries = [
                {
                    "EventBusName": self._name,
                    "Source": f"dataloop.{event.area}",
                    "DetailType": event.name,
                    "Detail": json.dumps(event.envelope(), ensure_ascii=False),
                }
                for event in events[start : start + BATCH]
            ]
            try:
                answer = self._client.put_events(Entries=entries)
            except (ClientError, BotoCoreError) as error:
                raise PublishFailed(start, str(error)) from error
            if answer.get("FailedEntryCount"):
                for index, entry in enumerate(answer["Entries"]):
                    if entry.get("ErrorCode"):
                        raise PublishFailed(start + index, entry["ErrorCode"])
