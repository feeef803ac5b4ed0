"""Gap: every invocation makes a log stream of its own, for ever.

Stock names a new stream for each invocation and keeps all of them in memory; after some ten thousand invocations the state
is tens of megabytes of streams with four lines each, and reading a function's log means opening thousands.
We write one stream per function and day, as one long-lived environment on AWS would, and keep its newest lines.
Noticed by: tests/local/test_lambda.py::test_invocations_share_a_log_stream and
tests/local/test_stock_gaps.py::test_stock_makes_a_log_stream_per_invocation.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc

from dataloop_local.log_streams import stream_of

logger = logging.getLogger("dataloop.logs")

_LINES_KEPT = 20_000
_SHOWN_MAX = 2_000


def install() -> None:
    def emit(
        function: dict[str, Any],
        request_id: str,
        text: str,
        error: bool,
        duration_ms: int,
        *,
        log_source: str | None = None,
    ) -> None:
        del log_source
        config = function.get("config") or function
        name = config.get("FunctionName", "unknown")
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        version = config.get("Version", "$LATEST")
        lines = [
            f"START RequestId: {request_id} Version: {version}",
            *text.splitlines(),
            f"END RequestId: {request_id}",
            f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms\tBilled Duration: {duration_ms} ms\t"
            f"Memory Size: {config.get('MemorySize', 128)} MB",
        ]
        if error:
            # Whoever looks for a reason looks into the runtime's own log first.
            logger.warning("%s failed (request %s): %s", name, request_id, text[-_SHOWN_MAX:])
        try:
            _append(group, f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]local", lines)
        except Exception:
            # An invocation never fails because of its log, on AWS either.
            logger.exception("the log of %s could not be written", name)

    lambda_svc._emit_lambda_logs = emit


def _append(group_name: str, stream_name: str, lines: list[str]) -> None:
    now = int(time.time() * 1000)
    stream = stream_of(group_name, stream_name)
    events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines]
    cloudwatch_logs._append_log_events(stream, events)
    if len(stream["events"]) > _LINES_KEPT + _LINES_KEPT // 10:
        with cloudwatch_logs._log_events_lock:
            stream["events"] = stream["events"][-_LINES_KEPT:]
    cloudwatch_logs._fanout_to_subscription_filters(group_name, stream_name, events)
