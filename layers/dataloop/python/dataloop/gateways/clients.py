"""boto3 clients, made when first used: a handler pays only for what it calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import boto3
from botocore.config import Config

# Standard mode retries throttles and 5xx with jitter. An answer takes milliseconds; a connection that says nothing for
# five seconds is dead, and four tries of that still fit into the API's 28 seconds.
_RETRIES = {"mode": "standard", "total_max_attempts": 4}
_TIMEOUTS_S = {"connect_timeout": 2, "read_timeout": 5}
# S3 sends large bodies, and the import of annotation files asks for sixteen objects at a time.
_S3 = {"signature_version": "s3v4", "read_timeout": 30, "max_pool_connections": 16}


class LazyClient:
    """A boto3 client that is made at its first call.

    Making one costs 30 to 100 ms of CPU (SageMaker's is the largest), and services hold gateways that most of their
    calls never touch.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _client(self) -> Any:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Clients:
    """One boto3 client per service, created lazily; endpoint and credentials come from the environment."""

    def __init__(self, region: str) -> None:
        self._region = region

    def _make(self, service: str, **options: Any) -> Any:
        config = Config(**{"region_name": self._region, "retries": _RETRIES, **_TIMEOUTS_S, **options})
        return LazyClient(partial(boto3.client, service, config=config))

    @cached_property
    def dynamodb(self) -> Any:
        return self._make("dynamodb")

    @cached_property
    def s3(self) -> Any:
        # Virtual-hosted names with a v4 signature: presigned requests then work in every region and partition.
        return self._make("s3", **_S3)

    def credentials(self) -> Any:
        """What links are signed with: the same as the clients find."""
        return boto3.session.Session().get_credentials()

    @cached_property
    def sqs(self) -> Any:
        return self._make("sqs")

    @cached_property
    def events(self) -> Any:
        return self._make("events")

    @cached_property
    def states(self) -> Any:
        return self._make("stepfunctions")

    @cached_property
    def sagemaker(self) -> Any:
        return self._make("sagemaker")

    @cached_property
    def secrets(self) -> Any:
        return self._make("secretsmanager")
