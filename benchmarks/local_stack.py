"""The deployed local stack, and what it counted."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.measure import ROOT
from dataloop_local import control

_SETTLE_S = 300


class BenchStack:
    """Starts `template.yaml` on this machine; stops what it started."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def __enter__(self) -> BenchStack:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.info = control.up(
            self._state_dir, port, template=ROOT / "template.yaml", parameters={"LoopDebounceSeconds": "0"}
        )
        self.url, self.endpoint = self.info.url, self.info.aws_endpoint_url
        assert self.info.key is not None
        self.key = self.info.key
        return self

    def __exit__(self, *_: object) -> None:
        control.down(self._state_dir)

    def output(self, name: str) -> str:
        return self.info.outputs[name]

    def client(self, service: str) -> Any:
        session = boto3.session.Session("000000000000", "test", region_name=self.info.region)
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4") if service == "s3" else None
        return session.client(service, endpoint_url=self.endpoint, config=config)

    def meter(self) -> dict[str, Any]:
        """The counters since the start."""
        with urllib.request.urlopen(f"{self.url}/_local/metering", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def settle(self) -> None:
        """Wait until queues are empty and no function has been called for two seconds. Raises TimeoutError."""
        sqs, deadline = self.client("sqs"), time.monotonic() + _SETTLE_S
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < 2:
            if time.monotonic() > deadline:
                raise TimeoutError("the local stack did not come to rest")
            found = sqs.get_queue_attributes(QueueUrl=self.output("IngestQueueUrl"), AttributeNames=names)["Attributes"]
            waiting = sum(int(found[name]) for name in names)
            calls = self.invocations()
            if waiting or calls != seen:
                seen, since = calls, time.monotonic()
            time.sleep(0.2)

    def invocations(self) -> int:
        """Of all functions."""
        return sum(counts.get("invocations", 0) for counts in self.meter().get("lambda", {}).values())
