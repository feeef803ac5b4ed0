"""A job's output as a CloudWatch log stream, while it runs."""

from __future__ import annotations

import time
from pathlib import Path

from ministack.services import cloudwatch_logs

from dataloop_local.log_streams import stream_of
from dataloop_local.sagemaker import store

GROUPS = {store.TRAINING: "/aws/sagemaker/TrainingJobs", store.PROCESSING: "/aws/sagemaker/ProcessingJobs"}
# CloudWatch cuts events at 256 KB; a progress bar without line ends must not fill the memory.
_LINE_MAX = 64 * 1024


class JobLog:
    """Follows a growing file and appends its new lines to the job's stream."""

    def __init__(self, kind: str, job_name: str, path: Path) -> None:
        self.path = path
        self._read = 0
        self._rest = b""
        self._stream = stream_of(GROUPS[kind], f"{job_name}/algo-1-{int(time.time() * 1000)}")

    def ship(self, *, end: bool = False) -> None:
        """Append what was written since the last call; whole lines only, unless it is the end."""
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            handle.seek(self._read)
            new = handle.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        if (end and self._rest) or len(self._rest) > _LINE_MAX:
            lines.append(self._rest)
            self._rest = b""
        now = int(time.time() * 1000)
        events = [
            {"timestamp": now, "message": line[:_LINE_MAX].decode("utf-8", "replace"), "ingestionTime": now}
            for line in lines
            if line.strip()
        ]
        if events:
            cloudwatch_logs._append_log_events(self._stream, events)

    def tail(self, characters: int) -> str:
        """The last characters of the output: what a failure without a message has to say."""
        if not self.path.exists():
            return ""
        return self.path.read_bytes()[-4 * characters :].decode("utf-8", "replace")[-characters:]
