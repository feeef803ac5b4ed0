"""Keeps the state: restores it at start, logs every change, and takes snapshots so that the log stays short."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dataloop_local.durability import tables
from dataloop_local.durability.log import WriteAheadLog, read_segments
from dataloop_local.durability.services import save_services
from dataloop_local.durability.snapshots import SnapshotFolder
from dataloop_local.settings import Settings

logger = logging.getLogger("dataloop.durability")

# What changes while the application runs and is not in the log. Everything else (roles, APIs, functions, the stack itself)
# changes by a deploy, which ends with a snapshot of all; executions and jobs are in the log.
_BUSY = {"sqs", "eventbridge", "scheduler", "s3"}
# Logs are large and only informative: they may be this much older than the rest after a crash.
_LOGS = {"cloudwatch_logs"}
_LOGS_EVERY = 20
# Saving may take at most this share of one core, however large the state grows.
_SAVING_SHARE = 0.05


class Keeper:
    """One per process. `restore` first, then `open`, then changes are logged through `log_*`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.log = WriteAheadLog(settings.log_dir, fsync=settings.fsync)
        self.positions = tables.Positions()
        self.recovered_executions: dict[str, list[Any]] = {}
        self.recovered_sagemaker: list[list[Any]] = []
        self.recovered_messages: list[dict[str, Any]] = []
        # Set by gaps/stream_consumers.py: the positions of a table's consumers (None: has read nothing yet).
        self.consumers_of: Callable[[str, str, str], list[str | None]] = lambda account, region, table: []
        self._snapshots = SnapshotFolder(settings.snapshots_dir, fsync=settings.fsync)
        # True until `open`: what is replayed is in the log already.
        self.restoring = True
        self._stopping = threading.Event()
        self._saving = threading.Lock()
        self._thread: threading.Thread | None = None

    # -- start --------------------------------------------------------------------------------------------------
    def restore(self) -> int:
        """Load the last snapshot and replay the log past it. Returns how many records were replayed."""
        snapshot = self._snapshots.current()
        tables.load_lines(snapshot.lines(), self.positions)
        replayed = 0
        for record in read_segments(self._settings.log_dir, snapshot.segment):
            self._replay(record)
            replayed += 1
        return replayed

    def _replay(self, record: dict[str, Any]) -> None:
        if "items" in record:
            tables.apply_item_record(record["items"])
            if "token" in record:
                tables.restore_tokens([record["token"]])
        elif "position" in record:
            account, region, mapping, sequence = record["position"]
            self.positions.done[(account, region, mapping)] = sequence
        elif "queue" in record:
            self.recovered_messages.append(record)
        elif "execution" in record:
            account, region, execution = record["execution"]
            self.recovered_executions[execution["executionArn"]] = [account, region, execution]
        elif "sagemaker" in record:
            self.recovered_sagemaker.append(record["sagemaker"])
        elif "table" in record:
            tables.apply_table_record(record)

    def open(self) -> None:
        """Start logging. Call after restore and before the first request."""
        self.log.open()
        self.restoring = False

    def start_saving(self) -> None:
        """Save in the background from now on. Call when every service has its state back, or it would be lost."""
        self._thread = threading.Thread(target=self._save_regularly, name="dataloop-save", daemon=True)
        self._thread.start()

    # -- snapshots ----------------------------------------------------------------------------------------------
    def snapshot(self) -> None:
        """Save everything and shorten the log. Writers wait only while pointers are copied, not while files are written.

        The order matters: the services are saved after the log was rotated, so whatever the dropped segments said about
        executions and jobs is in the services' files before the segments go.
        """
        with self._saving:
            with self.log.lock:
                segment = self.log.rotate()
                image = tables.TablesImage(self.positions, self.consumers_of)
            self._save_services(None)
            self._snapshots.write(image.lines(), segment)
            self.log.drop_before(segment)

    def save_services(self, names: set[str] | None = None) -> None:
        """Save the named services (None: all). After a crash they may be a few seconds old."""
        with self._saving:
            self._save_services(names)

    def _save_services(self, names: set[str] | None) -> None:
        save_services(self._settings.services_dir, names, fsync=self._settings.fsync)

    def _save_regularly(self) -> None:
        pause = self._settings.services_save_s
        rounds = 0
        while not self._stopping.wait(pause):
            started = time.monotonic()
            rounds += 1
            try:
                if self.log.bytes_since_snapshot > self._settings.snapshot_log_bytes:
                    self.snapshot()
                else:
                    self.save_services(_BUSY if rounds % _LOGS_EVERY else _BUSY | _LOGS)
            except Exception:
                logger.exception("saving the state failed; the write-ahead log still holds every acknowledged write")
            spent = time.monotonic() - started
            pause = max(self._settings.services_save_s, spent / _SAVING_SHARE)

    def close(self) -> None:
        """Clean stop: one last snapshot, then no more changes are accepted."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        if self.log.bytes_since_snapshot:
            self.snapshot()
        else:
            self.save_services()
        self.log.close()
