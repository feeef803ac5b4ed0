"""A running test stack: clients for it, and the few things tests do with it again and again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from dataloop_local import control
from dataloop_local.settings import RuntimeInfo
from tests.local.waiting import until

APP = Path(__file__).parent / "app" / "template.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody has waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class LocalStack:
    """The test application, deployed by the runtime in a process of its own."""

    def __init__(self, state_dir: Path, *arguments: str, template: Path = APP) -> None:
        self.state_dir = state_dir
        self.port = free_port()
        self._arguments = arguments
        self._template = template
        self.info: RuntimeInfo

    def start(self, **parameters: str) -> LocalStack:
        self.info = control.up(
            self.state_dir, self.port, template=self._template, parameters=parameters, extra_arguments=self._arguments
        )
        self.__dict__.pop("_session", None)
        return self

    def stop(self) -> None:
        control.down(self.state_dir)

    def kill(self) -> None:
        """kill -9, and wait until the kernel has let go of the state directory's lock."""
        child = control._children.pop(self.info.pid, None)
        if child is not None:
            child.kill()
            child.wait()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.info.pid, signal.SIGKILL)
        until(lambda: control.status(self.state_dir) is None, what="the end of the killed runtime")

    @cached_property
    def _session(self) -> Any:
        return boto3.session.Session(
            aws_access_key_id="000000000000", aws_secret_access_key="test", region_name=self.info.region
        )

    def client(self, service: str, **config: Any) -> Any:
        if service == "s3":
            config = {"signature_version": "s3v4", "s3": {"addressing_style": "path"}, **config}
        settings = Config(retries={"max_attempts": 1}, **config)
        return self._session.client(service, endpoint_url=self.info.aws_endpoint_url, config=settings)

    def output(self, name: str) -> str:
        return self.info.outputs[name]

    def invoke(self, event: dict[str, Any]) -> Any:
        """The probe function's answer, or its error payload."""
        answer = self.client("lambda").invoke(
            FunctionName=self.output("ProbeFunctionName"), Payload=json.dumps(event).encode()
        )
        return json.loads(answer["Payload"].read())

    def http(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        request = urllib.request.Request(f"{self.info.url}{path}", data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def received(self, queue_output: str) -> list[dict[str, Any]]:
        """Take what is in a queue now, as parsed JSON bodies."""
        sqs = self.client("sqs")
        url = self.output(queue_output)
        taken = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                taken.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken
