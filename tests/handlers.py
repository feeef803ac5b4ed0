"""The Lambda handlers over a test's own services: imported as Lambda does, with the environment the template gives."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any
from unittest import mock

from tests.core import Core

ENVIRONMENT = {
    "DATALOOP_STAGE": "test",
    "DATALOOP_TABLE": "table",
    "DATALOOP_ONCE_TABLE": "once",
    "DATALOOP_RAW_BUCKET": "raw-bucket",
    "DATALOOP_ARTIFACTS_BUCKET": "artifacts-bucket",
    "DATALOOP_REGION": "us-east-1",
    "POWERTOOLS_SERVICE_NAME": "test",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}


@cache
def _module(function: str, entry: str) -> Any:
    with mock.patch.dict(os.environ, ENVIRONMENT):
        return importlib.import_module(f"{function}.{entry}")


class Context:
    """What Lambda passes beside the event."""

    function_name = "test"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id = "request-1"
    remaining_ms = 28_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def handle(core: Core, function: str, event: dict[str, Any], entry: str = "handler") -> Any:
    """Invoke one function with this account's services, as a new environment would have them."""
    module = _module(function, entry)
    if function in ("api_customvision", "api_modelarts", "api_sdk", "infer"):
        importlib.import_module(f"{function}.context")._services = core.again()
    else:
        module.services = core.again()
    return module.handler(event, Context())
