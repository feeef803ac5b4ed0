"""Step Functions: start, stop, look, answer a waiting task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import IllegalTransition, Unavailable
from dataloop.settings import Settings


@dataclass(frozen=True, slots=True)
class Execution:
    """RUNNING | SUCCEEDED | FAILED | TIMED_OUT | ABORTED, with error and cause of a failed one."""

    status: str
    error: str = ""
    cause: str = ""


class Machines:
    """Executions are named after their task, so starting twice is starting once (design §6.2)."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def start(self, machine: str, name: str, input: Mapping[str, Any]) -> str:
        """Start or find the execution of this name; returns its ARN. 1 call."""
        try:
            answer = self._client.start_execution(
                stateMachineArn=self._settings.machine_arn(machine), name=name, input=json.dumps(input, sort_keys=True)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                return self._settings.execution_arn(machine, name)
            raise Unavailable(f"Step Functions: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions: {error}") from error
        arn: str = answer["executionArn"]
        return arn

    def look(self, machine: str, name: str) -> Execution | None:
        """The state of an execution, or None when there is none. 1 call."""
        try:
            answer = self._client.describe_execution(executionArn=self._settings.execution_arn(machine, name))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise Unavailable(f"Step Functions: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions: {error}") from error
        return Execution(answer["status"], answer.get("error") or "", answer.get("cause") or "")

    def stop(self, machine: str, name: str, reason: str) -> bool:
        """Stop an execution and, best effort, the job it waits for. False when there is none to stop."""
        try:
            self._client.stop_execution(
                executionArn=self._settings.execution_arn(machine, name), error="Stopped", cause=reason
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "ValidationException"):
                return False
            raise Unavailable(f"Step Functions: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions: {error}") from error
        return True

    def answer(self, token: str, output: Mapping[str, Any]) -> None:
        """Let a waiting task go on. Raises IllegalTransition when it waits no more."""
        self._send("send_task_success", taskToken=token, output=json.dumps(output))

    def refuse(self, token: str, error: str, cause: str) -> None:
        """Let a waiting task fail. Raises IllegalTransition when it waits no more."""
        self._send("send_task_failure", taskToken=token, error=error, cause=cause)

    def _send(self, operation: str, **request: str) -> None:
        try:
            getattr(self._client, operation)(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("TaskTimedOut", "InvalidToken", "TaskDoesNotExist"):
                raise IllegalTransition("approval", "", "closed", "answering") from error
            raise Unavailable(f"Step Functions: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions: {error}") from error
