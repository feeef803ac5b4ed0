"""boto3 clients for the emulator, as the runtime itself uses them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

# The emulator takes any secret; the access key is the account. Not a secret.
SECRET_KEY = "test"  # noqa: S105


class Clients:
    """One client a service, made on first use. Safe to share between threads, as boto3 clients are."""

    def __init__(self, endpoint_url: str, region: str, account_id: str) -> None:
        self.endpoint_url = endpoint_url
        self._session = boto3.session.Session(
            aws_access_key_id=account_id, aws_secret_access_key=SECRET_KEY, region_name=region
        )

    def _make(self, service: str) -> Any:
        config = Config(
            retries={"max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"},
            signature_version="s3v4" if service == "s3" else None,
            read_timeout=120,
            max_pool_connections=16,
            user_agent_extra="dataloop-local",
        )
        return self._session.client(service, endpoint_url=self.endpoint_url, config=config)

    @cached_property
    def s3(self) -> Any:
        return self._make("s3")

    @cached_property
    def cloudformation(self) -> Any:
        return self._make("cloudformation")

    @cached_property
    def lambda_(self) -> Any:
        return self._make("lambda")
