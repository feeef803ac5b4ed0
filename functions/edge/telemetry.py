"""Structured logs. The core logs through stdlib `logging`; Powertools gives the lines their JSON form here."""

from __future__ import annotations

import logging
import os

from aws_lambda_powertools import Logger

_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "dataloop")


def logger() -> Logger:
    """The function's logger; the core's loggers write through the same handler."""
    found = Logger(service=_SERVICE)
    core = logging.getLogger("dataloop")
    if not core.handlers:
        core.handlers = found.handlers
        core.setLevel(found.log_level)
        core.propagate = False
    return found
