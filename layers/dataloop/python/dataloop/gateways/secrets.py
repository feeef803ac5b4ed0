"""A secret in Secrets Manager that CloudFormation generated and nobody has seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import Unavailable


class Secret:
    """Read when first needed, then kept for as long as the function lives. client: makes the client, when it comes to it:
    most requests are not signed, and its service model takes time to load."""

    def __init__(self, client: Callable[[], Any], id: str) -> None:
        self._client = client
        self._id = id
        self._value: bytes | None = None

    def value(self) -> bytes:
        """Its bytes: 1 call, then none. Raises Unavailable, also where the deployment has no such secret."""
        if self._value is None:
            if not self._id:
                raise Unavailable("this deployment has no secret for signing keys", retry_after_s=60)
            try:
                answer = self._client().get_secret_value(SecretId=self._id)
            except (ClientError, BotoCoreError) as error:
                raise Unavailable(f"Secrets Manager: {error}") from error
            self._value = str(answer["SecretString"]).encode()
        return self._value
