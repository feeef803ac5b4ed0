"""Start everything, in the only order that works; and stop it so that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from dataloop_local.files import read_json, write_json
from dataloop_local.settings import LOOPBACK, LocalRuntimeError, RuntimeInfo, Settings

logger = logging.getLogger("dataloop.server")

_ANSWER_WAIT_S = 60.0
_LOCK_WAIT_S = 1.0


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises LocalRuntimeError when it cannot start (port or state directory in use)."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(settings.lock_file):
        settings.runtime_file.unlink(missing_ok=True)
        _raise_file_limit()
        forget_unfinished_first_start(settings)
        # Imported late: ministack reads its settings from the environment when it is imported.
        from dataloop_local.emulator import choose_aws_port, configure

        aws_port = choose_aws_port(settings)
        endpoint = configure(settings, aws_port)
        _Server(settings, aws_port, endpoint).run()


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Two runtimes on one state directory would destroy it. The kernel drops the lock when the process ends."""
    with path.open("w") as handle:
        # A status check holds the lock for an instant; a runtime holds it for good.
        deadline = time.monotonic() + _LOCK_WAIT_S
        while not _locked(handle):
            if time.monotonic() > deadline:
                raise LocalRuntimeError(f"another runtime uses {path.parent}; stop it first")
            time.sleep(0.02)
        yield


def _locked(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def forget_unfinished_first_start(settings: Settings) -> None:
    """Without a finished deploy nobody was ever told that the stack is there: half of one is worth nothing."""
    if read_json(settings.deployed_file) is None:
        for folder in (settings.services_dir, settings.objects_dir, settings.log_dir, settings.snapshots_dir):
            shutil.rmtree(folder, ignore_errors=True)
        settings.key_file.unlink(missing_ok=True)


class _Server:
    def __init__(self, settings: Settings, aws_port: int, endpoint: str) -> None:
        from dataloop_local.asgi import Application
        from dataloop_local.clients import Clients
        from dataloop_local.durability.keeper import Keeper
        from dataloop_local.gaps.installed import Installation, install_all
        from dataloop_local.metering.meter import Meter
        from dataloop_local.metering.taps import tap
        from dataloop_local.sagemaker.jobs import Jobs

        self._settings = settings
        self._aws_port = aws_port
        self._endpoint = endpoint
        self._meter = Meter()
        self._clients = Clients(endpoint, settings.region, settings.account_id)
        self._keeper = Keeper(settings)
        self._jobs = Jobs(
            folder=settings.jobs_dir,
            at_once=settings.jobs_at_once,
            grace_s=settings.stop_grace_s,
            checkpoint_sync_s=settings.checkpoint_sync_s,
            endpoint_url=endpoint,
            client=lambda: self._clients.s3,
            meter=lambda kind, instance, seconds: self._meter.add(
                "sagemaker", f"{kind.replace('-', '_')}_seconds", instance, amount=seconds
            ),
        )
        install_all(Installation(settings, self._keeper, self._jobs, endpoint))
        tap(self._meter)
        self._application = Application(settings.port, self._meter)
        self._failure: BaseException | None = None

    def run(self) -> None:
        replayed = self._keeper.restore()
        if replayed:
            logger.warning("replayed %d records of the write-ahead log", replayed)
        self._keeper.open()
        try:
            asyncio.run(self._serve())
        finally:
            self._settings.runtime_file.unlink(missing_ok=True)
            self._stop_functions()
        if self._failure is not None:
            raise self._failure

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve as hypercorn_serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"{LOOPBACK}:{self._aws_port}", f"{LOOPBACK}:{self._settings.port}"]
        config.keep_alive_timeout = 75
        config.graceful_timeout = 2
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        started = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn_serve(self._with_start_signal(started), config, shutdown_trigger=stopping.wait)
        )
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            waiting.cancel()
            raise LocalRuntimeError(f"cannot listen on port {self._settings.port}: {serving.exception()}")
        threading.Thread(target=self._bring_up, args=(loop, stopping), name="dataloop-start", daemon=True).start()
        await stopping.wait()
        await asyncio.to_thread(self._jobs.shutdown)
        await serving
        # The emulator saved its services at its shutdown; this adds the tables and drops the log they make superfluous.
        await asyncio.to_thread(self._keeper.close)

    def _with_start_signal(self, started: asyncio.Event) -> Any:
        """The application, telling when the emulator has loaded its state and the ports are open."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                await self._application(scope, receive, send)
                return

            async def watch(message: dict[str, Any]) -> None:
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    started.set()

            await self._application(scope, receive, watch)

        return application

    # -- from open ports to a deployed stack that answers -------------------------------------------------------
    def _bring_up(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        try:
            self._prepare()
        except BaseException as error:
            self._failure = error
            loop.call_soon_threadsafe(stopping.set)

    def _prepare(self) -> None:
        from dataloop_local.deployment.deploy import deploy, remember
        from dataloop_local.gaps import executions_durable, queues_durable
        from dataloop_local.sagemaker import notices, store

        settings = self._settings
        _wait_for_port(self._aws_port)
        queues_durable.restore(self._keeper)
        executions_durable.restore(self._keeper)
        store.restore(self._keeper.recovered_sagemaker)
        stack = deploy(settings, self._clients)
        if stack.is_new:
            self._keeper.snapshot()
            remember(settings, stack)
        self._keeper.start_saving()
        key = self._first_key(stack)
        self._application.api_id = stack.api_id
        if stack.api_id:
            _wait_for_answer(settings.port)
        ended = executions_durable.announce() + notices.announce_restarted()
        if ended:
            logger.warning("%d executions and jobs were ended by the restart", ended)
        self._tell_housekeeping(stack)
        self._meter.reset()
        self._application.ready = True
        info = RuntimeInfo(
            url=f"http://{LOOPBACK}:{settings.port}",
            key=key,
            region=settings.region,
            state_dir=str(settings.state_dir),
            pid=os.getpid(),
            aws_endpoint_url=self._endpoint,
            stack=settings.stack,
            port=settings.port,
            outputs=stack.outputs,
        )
        write_json(settings.runtime_file, asdict(info), mode=0o600)
        logger.warning("ready at %s", info.url)

    def _first_key(self, stack: Any) -> str | None:
        """The key of the first start; made through the same function that makes every key."""
        saved = read_json(self._settings.key_file)
        if saved is not None:
            return str(saved["key"])
        function = stack.function("WorkflowStepsFunction")
        if function is None:
            return None
        event = {"step": "keys.create", "input": {"tenant": "default", "name": "local", "scopes": ["admin"]}}
        made = self._clients.lambda_.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        answer = json.loads(made["Payload"].read())
        if "FunctionError" in made:
            raise LocalRuntimeError(f"the first API key could not be made: {answer}")
        write_json(self._settings.key_file, answer, mode=0o600)
        return str(answer["key"])

    def _tell_housekeeping(self, stack: Any) -> None:
        """Let it find what a crash left: objects without records, Tasks whose execution is gone."""
        function = stack.function("HousekeepingFunction")
        if function is not None:
            self._clients.lambda_.invoke(
                FunctionName=function, InvocationType="Event", Payload=json.dumps({"source": "start"}).encode()
            )

    def _stop_functions(self) -> None:
        from ministack.core import lambda_runtime

        lambda_runtime.reset()


def _wait_for_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + _ANSWER_WAIT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise LocalRuntimeError(f"port {port} does not open")
        time.sleep(0.02)


def _wait_for_answer(port: int) -> None:
    """The stack answers: GET /health through the gateway (this is also the API function's cold start)."""
    import http.client

    deadline = time.monotonic() + _ANSWER_WAIT_S
    while True:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_WAIT_S)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status < 500:
            return
        if time.monotonic() > deadline:
            raise LocalRuntimeError(f"the deployed API answers GET /health with {answer.status}: {body[:500]!r}")
        time.sleep(0.2)
