"""CloudWatch log streams as the emulator keeps them: found, or made when missing."""

from __future__ import annotations

import time
from typing import Any

from ministack.services import cloudwatch_logs


def stream_of(group_name: str, stream_name: str) -> dict[str, Any]:
    """The emulator's own record of a stream; group and stream are made when they are missing."""
    now = int(time.time() * 1000)
    groups = cloudwatch_logs._log_groups
    if group_name not in groups:
        groups[group_name] = {
            "arn": cloudwatch_logs._make_group_arn(group_name),
            "creationTime": now,
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }
    empty: dict[str, Any] = {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": now,
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
    stream: dict[str, Any] = groups[group_name]["streams"].setdefault(stream_name, empty)
    return stream
