"""boto3 clients, made when first used: a handler pays only for what it calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import boto3
from botocore.config import Config

# Standard mode retries throttles and 5xx with jitter; five tries stay well inside every Lambda timeout here.
_RETRIES = {"mode": "standard", "total_max_attempts": 5}


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
        config = Config(region_name=self._region, retries=_RETRIES, connect_timeout=5, read_timeout=60, **options)
        return LazyClient(partial(boto3.client, service, config=config))

    @cached_property
    def dynamodb(self) -> Any:
        return self._make("dynamodb")

    @cached_property
    def s3(self) -> Any:
        # Virtual-hosted names with a v4 signature: presigned requests then work in every region and partition.
        return self._make("s3", signature_version="s3v4")

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
