"""The life of a job: pending, downloading, running, uploading, ended; one at a time unless told otherwise."""

from __future__ import annotations

import contextvars
import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region

from dataloop_local.sagemaker import notices, processing, store, training
from dataloop_local.sagemaker.checkpoints import CheckpointSync
from dataloop_local.sagemaker.job_logs import JobLog
from dataloop_local.sagemaker.process import JobProcess, environment, local_command
from dataloop_local.sagemaker.shapes import SageMakerError

logger = logging.getLogger("dataloop.sagemaker")

# SageMaker's default when StoppingCondition says nothing (StoppingCondition in the API reference): one day.
_DEFAULT_RUNTIME_S = 86_400
# FailureReason has at most 1024 characters in the service model.
_REASON_MAX = 1024
_LOOK_EVERY_S = 0.2
# A clean stop of the runtime lets a training save a last checkpoint, but does not keep the user waiting.
_SHUTDOWN_GRACE_S = 5.0


@dataclass
class _Running:
    """What the process knows about a job that has not ended."""

    kind: str
    record: store.Record
    ended: threading.Event = field(default_factory=threading.Event)
    stop_wanted: threading.Event = field(default_factory=threading.Event)
    process: JobProcess | None = None
    future: Future[None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        with self.lock:
            self.stop_wanted.set()
            if self.process is not None:
                self.process.stop()

    def started(self, process: JobProcess) -> None:
        with self.lock:
            self.process = process
            if self.stop_wanted.is_set():
                process.stop()


class Jobs:
    """Runs jobs. `client` makes an S3 client for the emulator; `meter` is told (kind, instance type, seconds)."""

    def __init__(
        self,
        *,
        folder: Path,
        at_once: int,
        grace_s: float,
        checkpoint_sync_s: float,
        endpoint_url: str,
        client: Callable[[], Any],
        meter: Callable[[str, str, float], None],
    ) -> None:
        self._folder = folder
        self._grace_s = grace_s
        self._checkpoint_sync_s = checkpoint_sync_s
        self._endpoint_url = endpoint_url
        self._client = client
        self._meter = meter
        self._pool = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="dataloop-job")
        self._running: dict[str, _Running] = {}
        shutil.rmtree(folder, ignore_errors=True)  # folders of jobs that a crash ended

    # -- from the API -------------------------------------------------------------------------------------------
    def start(self, kind: str, record: store.Record) -> None:
        """Queue a job whose record is stored."""
        running = _Running(kind, record)
        self._running[record[store.ARN_FIELD[kind]]] = running
        notices.emit(kind, record)
        running.future = self._pool.submit(contextvars.copy_context().run, self._run, running)

    def stop(self, kind: str, record: store.Record) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL after the grace. A job that waits for its turn ends at once."""
        field_name = store.STATUS_FIELD[kind]
        if record[field_name] in store.ENDED:
            return
        record[field_name] = "Stopping"
        if kind == store.TRAINING:
            _transition(record, "Stopping", "Stopping the training job")
        store.save(kind, record[store.NAME_FIELD[kind]], record)
        notices.emit(kind, record)
        running = self._running.get(record[store.ARN_FIELD[kind]])
        if running is None:
            return
        if running.future is not None and running.future.cancel():
            # It had not begun: there is nothing to wait for.
            self._running.pop(record[store.ARN_FIELD[kind]], None)
            self._end(running, "Stopped")
            running.ended.set()
        else:
            running.stop()

    def ended(self, kind: str, record: store.Record) -> threading.Event:
        """An event that is set when the job has ended (already, if it has)."""
        running = self._running.get(record[store.ARN_FIELD[kind]])
        if running is not None:
            return running.ended
        event = threading.Event()
        event.set()
        return event

    def shutdown(self) -> None:
        """Clean stop of the runtime: SIGTERM to every job, a moment to save, then SIGKILL."""
        self._grace_s = min(self._grace_s, _SHUTDOWN_GRACE_S)
        running = list(self._running.values())
        for job in running:
            job.stop()
        deadline = time.monotonic() + _SHUTDOWN_GRACE_S + 1
        for job in running:
            job.ended.wait(max(0.0, deadline - time.monotonic()))
            if job.process is not None:
                job.process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- one job ------------------------------------------------------------------------------------------------
    def _run(self, job: _Running) -> None:
        record = job.record
        base = self._folder / f"{record[store.NAME_FIELD[job.kind]]}" / "opt" / "ml"
        try:
            if job.stop_wanted.is_set():
                self._end(job, "Stopped")
            elif job.kind == store.TRAINING:
                self._train(job, base)
            else:
                self._process(job, base)
        except SageMakerError as error:
            self._end(job, "Failed", f"{error.code}: {error.message}")
        except Exception as error:
            logger.exception("job %s broke", record[store.NAME_FIELD[job.kind]])
            self._end(job, "Failed", f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            self._running.pop(record[store.ARN_FIELD[job.kind]], None)
            job.ended.set()
            shutil.rmtree(base.parents[1], ignore_errors=True)

    def _train(self, job: _Running, base: Path) -> None:
        record = job.record
        client = self._client()
        base.mkdir(parents=True)
        self._move_on(job, "Downloading", "Downloading input data")
        training.lay_folders(base, record)
        folder = training.checkpoint_folder(base, record)
        checkpoints = None
        if folder is not None:
            uri = record["CheckpointConfig"]["S3Uri"]
            checkpoints = CheckpointSync(client, folder, uri, self._checkpoint_sync_s)
            checkpoints.restore()
        algorithm = record["AlgorithmSpecification"]
        record["TrainingStartTime"] = time.time()
        self._move_on(job, "Training", "Training image download completed. Training in progress.")
        code, overdue, log = self._execute(
            job,
            base,
            local_command(base, algorithm["ContainerEntrypoint"], algorithm.get("ContainerArguments") or []),
            dict(training.variables(base, record)),
            checkpoints,
        )
        record["TrainingEndTime"] = time.time()
        seconds = record["TrainingEndTime"] - record["TrainingStartTime"]
        record["TrainingTimeInSeconds"] = record["BillableTimeInSeconds"] = max(1, round(seconds))
        self._meter(job.kind, record["ResourceConfig"].get("InstanceType", ""), seconds)
        stopped = overdue or job.stop_wanted.is_set()
        if code != 0 and not stopped:
            self._end(job, "Failed", _algorithm_error(base, log, code))
            return
        # A stopped job's artefacts are kept too: that is what checkpointing within the grace is for.
        self._move_on(job, "Uploading", "Uploading generated training model")
        record["ModelArtifacts"] = {"S3ModelArtifacts": training.upload_artefacts(client, base, record)}
        if overdue:
            self._end(job, "Stopped", secondary="MaxRuntimeExceeded")
        else:
            self._end(job, "Stopped" if stopped else "Completed")

    def _process(self, job: _Running, base: Path) -> None:
        record = job.record
        base.mkdir(parents=True)
        processing.lay_folders(base, record)
        application = record["AppSpecification"]
        record["ProcessingStartTime"] = time.time()
        store.save(job.kind, record["ProcessingJobName"], record)
        code, overdue, log = self._execute(
            job,
            base,
            local_command(base, application["ContainerEntrypoint"], application.get("ContainerArguments") or []),
            dict(processing.variables(record)),
            None,
        )
        record["ProcessingEndTime"] = time.time()
        seconds = record["ProcessingEndTime"] - record["ProcessingStartTime"]
        self._meter(job.kind, record["ProcessingResources"]["ClusterConfig"]["InstanceType"], seconds)
        if overdue or job.stop_wanted.is_set():
            self._end(job, "Stopped")
            return
        exit_message = _message(base / "output/message") or _message(base / "output/failure")
        if exit_message:
            record["ExitMessage"] = exit_message[:_REASON_MAX]
        if code != 0:
            self._end(job, "Failed", _algorithm_error(base, log, code))
            return
        processing.upload_outputs(self._client(), base, record)
        self._end(job, "Completed")

    def _execute(
        self,
        job: _Running,
        base: Path,
        command: list[str],
        variables: dict[str, str],
        checkpoints: CheckpointSync | None,
    ) -> tuple[int, bool, JobLog]:
        limit_s = (job.record.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_S)
        log = JobLog(job.kind, job.record[store.NAME_FIELD[job.kind]], base.parent / "output.log")
        identity = {
            "AWS_REGION": get_region(),
            "AWS_DEFAULT_REGION": get_region(),
            "AWS_ACCESS_KEY_ID": get_account_id(),
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": self._endpoint_url,
        }
        env = environment(base, {**identity, **variables})
        process = JobProcess(command, cwd=base, env=env, log=log.path)
        job.started(process)

        def meanwhile() -> None:
            log.ship()
            if checkpoints is not None:
                try:
                    checkpoints.sync_if_due()
                except Exception:
                    logger.exception("copying checkpoints failed; it is tried again")

        code, overdue = process.wait(
            grace_s=self._grace_s,
            deadline=time.monotonic() + limit_s,
            every_s=min(_LOOK_EVERY_S, self._checkpoint_sync_s),
            meanwhile=meanwhile,
        )
        log.ship(end=True)
        if checkpoints is not None:
            checkpoints.sync()
        return code, overdue, log

    # -- status -------------------------------------------------------------------------------------------------
    def _move_on(self, job: _Running, secondary: str, message: str) -> None:
        _transition(job.record, secondary, message)
        store.save(job.kind, job.record[store.NAME_FIELD[job.kind]], job.record)
        notices.emit(job.kind, job.record)

    def _end(self, job: _Running, status: str, reason: str = "", secondary: str | None = None) -> None:
        record = job.record
        if reason:
            record["FailureReason"] = reason[:_REASON_MAX]
        if job.kind == store.TRAINING:
            record.setdefault("TrainingEndTime", time.time())
            _transition(record, secondary or status, reason[:_REASON_MAX] or f"Training job {status.lower()}")
        else:
            record.setdefault("ProcessingEndTime", time.time())
        record[store.STATUS_FIELD[job.kind]] = status
        store.save(job.kind, record[store.NAME_FIELD[job.kind]], record)
        notices.emit(job.kind, record)


def _transition(record: store.Record, status: str, message: str) -> None:
    now = time.time()
    transitions = record.setdefault("SecondaryStatusTransitions", [])
    if transitions:
        transitions[-1]["EndTime"] = now
    transitions.append({"Status": status, "StartTime": now, "StatusMessage": message})
    record["SecondaryStatus"] = status


def first_transition(record: store.Record) -> None:
    """A new training job waits for its turn."""
    _transition(record, "Pending", "Waiting for a free slot on this machine")


def _algorithm_error(base: Path, log: JobLog, code: int) -> str:
    """What the job wrote to output/failure (a processing job: output/message), or else the end of its output.

    The exit code always fits.
    """
    suffix = f", exit code: {code}"
    written = _message(base / "output/failure") or _message(base / "output/message")
    message = written or log.tail(_REASON_MAX) or "the job wrote nothing"
    start = "AlgorithmError: "
    return f"{start}{message[: _REASON_MAX - len(start) - len(suffix)]}{suffix}"


def _message(path: Path) -> str:
    try:
        return path.read_bytes()[: 8 * _REASON_MAX].decode("utf-8", "replace").strip()
    except OSError:
        return ""
