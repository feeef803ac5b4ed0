"""Gap: every silent invocation waits 50 ms for a log line, and small answers wait for Nagle's timer.

Stock waits up to 50 ms for the first line of output after each invocation (a function that logs nothing pays all of it)
and answers the runtime client in several small TCP segments.
We give the pump 2 ms, and send each answer at once. Lines that come later are kept for the next invocation's log.
Noticed by: tests/local/test_lambda.py::test_warm_invocations_are_quick and
tests/local/test_stock_gaps.py::test_stock_waits_for_a_log_line.
"""

from __future__ import annotations

import queue
import time
from typing import Any

from ministack.core import lambda_runtime

_PUMP_S = 0.002


def install() -> None:
    stock_handler = lambda_runtime.ProvidedWorker._build_handler_class

    def drain(worker: Any, *_: Any, **__: Any) -> str:
        # Not a synchronisation: the answer does not depend on it, only which invocation a late log line is filed under.
        time.sleep(_PUMP_S)
        text: str = worker._drain_stderr()
        return text

    def handler_class(worker: Any, generation: int, pending: queue.Queue[Any]) -> type:
        handler: type = stock_handler(worker, generation, pending)
        handler.disable_nagle_algorithm = True  # type: ignore[attr-defined]
        handler.wbufsize = -1  # type: ignore[attr-defined]
        return handler

    lambda_runtime.ProvidedWorker._drain_stderr_bounded = drain
    lambda_runtime.ProvidedWorker._build_handler_class = handler_class
