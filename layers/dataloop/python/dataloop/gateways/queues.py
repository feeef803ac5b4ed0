"""One SQS queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import Unavailable

MAX_DELAY_S = 900  # SQS: DelaySeconds is at most 15 minutes


class Queue:
    """Sends messages; receiving is Lambda's part."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: Mapping[str, Any], delay_s: int = 0) -> None:
        """One message. Raises Unavailable."""
        try:
            self._client.send_message(
                QueueUrl=self._url, MessageBody=json.dumps(body), DelaySeconds=min(delay_s, MAX_DELAY_S)
            )
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"SQS: {error}") from error
