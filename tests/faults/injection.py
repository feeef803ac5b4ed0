"""One fault at one AWS call: before it is made, after it was made, as a throttle, or as the death of the process."""

from __future__ import annotations

import copy
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from ministack.services import dynamodb as engine
from moto.backends import get_backend

from dataloop.domain.errors import Unavailable
from tests.core import ARTIFACTS, Core

FAULTS = ("error", "lost answer", "throttle", "death before", "death after")
# Ids and S3's version ids are made up anew in each run: what is compared is everything else.
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Death(Exception):
    """The process dies: nothing in the core knows this error."""


@dataclass
class Injector:
    """Counts calls and lets the chosen one fail, once."""

    core: Core
    at: int = -1
    fault: str = ""
    calls: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Injector:
        for client in self.core.clients.all():
            client.meta.events.register_first("before-send", self._before, unique_id="fault-before")
            client.meta.events.register_last("before-send", self._after, unique_id="fault-after")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.core.clients.all():
            client.meta.events.unregister("before-send", unique_id="fault-before")
            client.meta.events.unregister("before-send", unique_id="fault-after")

    def _before(self, request: Any, event_name: str, **_: Any) -> None:
        with self._lock:
            self.calls.append(event_name.removeprefix("before-send."))
            is_chosen = len(self.calls) - 1 == self.at
        if not is_chosen:
            return
        if self.fault == "error":
            raise EndpointConnectionError(endpoint_url=request.url)
        if self.fault == "throttle":
            code, status = ("SlowDown", 503) if ".s3." in f".{self.calls[self.at]}." else ("ThrottlingException", 400)
            raise ClientError(
                {"Error": {"Code": code, "Message": "slow down"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Any"
            )
        if self.fault == "death before":
            raise Death

    def _after(self, request: Any, **_: Any) -> None:
        """The last of the handlers: the call has been made by now, only its answer can still be lost."""
        if len(self.calls) - 1 == self.at:
            if self.fault == "lost answer":
                raise ReadTimeoutError(endpoint_url=request.url)
            if self.fault == "death after":
                raise Death


Step = Callable[[Core, dict[str, Any]], Any]


@dataclass(frozen=True)
class Scenario:
    """prepare: the world before. steps: what a queue, a state machine or a client repeats when it failed."""

    name: str
    prepare: Callable[[Core], dict[str, Any]]
    steps: Sequence[Step]

    def one_by_one(self) -> Iterator[Scenario]:
        """Each step as a scenario of its own, behind the steps before it: what a fault breaks shows in its own state."""
        for index, step in enumerate(self.steps):
            yield Scenario(f"{self.name}: {step.__name__}", partial(self._behind, index), [step])

    def _behind(self, index: int, core: Core) -> dict[str, Any]:
        state = self.prepare(core) | {"key": "before"}
        for step in self.steps[:index]:
            step(core, state)
        return state


@dataclass
class World:
    """A prepared account that each run starts from."""

    core: Core
    scenario: Scenario

    def __post_init__(self) -> None:
        self.given = self.scenario.prepare(self.core)
        self._tables = copy.deepcopy(engine._tables._data)
        self._objects = self.core.objects()

    def _artifacts(self) -> list[str]:
        listed = self.core.clients.s3.list_objects_v2(Bucket=ARTIFACTS).get("Contents", [])
        return [entry["Key"] for entry in listed]

    def restore(self) -> None:
        """Tables as prepared; of the artifacts what the preparation made, also what a run removed, and nothing else."""
        engine._tables._data.clear()
        engine._tables._data.update(copy.deepcopy(self._tables))
        for machine in self._machines():
            machine.executions.clear()
        there = set(self._artifacts())
        for key in there - self._objects.keys():
            self.core.clients.s3.delete_object(Bucket=ARTIFACTS, Key=key)
        for key in self._objects.keys() - there:
            self.core.clients.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=self._objects[key])

    def run(self, at: int = -1, fault: str = "") -> tuple[list[str], Counter[str]]:
        """Every step, repeated once when the fault hit it; returns the calls made and the final state."""
        self.restore()
        state = dict(self.given) | {"key": f"{at} {fault} {self.scenario.name}"}
        with Injector(self.core, at, fault) as injector:
            for step in self.scenario.steps:
                hits = len(injector.calls)
                try:
                    step(self.core, state)
                except Exception as error:
                    # Only the fault itself may fail a step, and what is no death must be known as worth a repeat.
                    assert hits <= at < len(injector.calls), (injector.calls, repr(error))
                    assert isinstance(error, Unavailable | Death), repr(error)
                    step(self.core, state)
        started = Counter(f"execution of {machine.name}" for machine in self._machines() for _ in machine.executions)
        return injector.calls, self._final() + started

    def _machines(self) -> list[Any]:
        found: list[Any] = get_backend("stepfunctions")[self.core.settings.account_id][
            self.core.settings.region
        ].state_machines
        return found

    def _final(self) -> Counter[str]:
        """Every item with all attributes and every artifact's key, ids left out, with how often each is there."""
        items = [UUID.sub("<id>", json.dumps(item, sort_keys=True, default=str)) for item in self.core.items()]
        return Counter(items) + Counter(UUID.sub("<id>", key) for key in self._artifacts())
