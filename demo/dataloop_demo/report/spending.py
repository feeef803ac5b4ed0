"""Time and money of a run: every task on one axis, and the counted calls with their list prices."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dataloop_demo import costs
from dataloop_demo.report.figures import dollars, duration, number

Json = dict[str, Any]
_KINDS = {
    "download": "dataset file",
    "build": "build dataset",
    "train": "train",
    "evaluate": "evaluate",
    "export": "export ONNX",
    "release": "release",
    "loop": "loop 2 as a whole",
}


def timeline(document: Json) -> Json:
    """Bars on one time axis: the demo's uploads and every task of the service."""
    begun = datetime.fromisoformat(document["begun_at"])
    bars: list[tuple[datetime, datetime, str, str]] = []
    for stage in document["stages"]:
        if stage["name"] in ("stack", "upload"):
            start = begun + timedelta(seconds=stage["started_s"])
            title = {"stack": "start and deploy", "upload": "upload and register"}[stage["name"]]
            bars.append((start, start + timedelta(seconds=stage["seconds"]), title, "client"))
    for task in document["tasks"]:
        start, end = (datetime.fromisoformat(task[name]) for name in ("created_at", "updated_at"))
        style = "whole" if task["kind"] == "loop" else "inner" if task["parent_id"] else "task"
        bars.append((start, end, _KINDS.get(task["kind"], task["kind"]), style))
    bars.sort(key=lambda bar: (bar[0], bar[1]))
    first, last = min(bar[0] for bar in bars), max(bar[1] for bar in bars)
    span = (last - first).total_seconds() or 1.0
    return {
        "span": duration(span),
        "rows": [
            {
                "title": title,
                "style": style,
                "left": round((start - first).total_seconds() / span * 100, 2),
                "width": round(max((end - start).total_seconds() / span * 100, 0.3), 2),
                "text": duration((end - start).total_seconds()),
            }
            for start, end, title, style in bars
        ],
    }


def cost(document: Json) -> Json:
    """The bill of both loops: counted amounts, prices and dollars, and where the prices are from."""
    counted = costs.parts(document["meters"])
    serverless, instances = costs.serverless(counted), costs.instances(counted, document["instances"])
    serverless_total, instance_total = costs.total(serverless), costs.total(instances)
    images = sum(part["images"] for part in document["story"]["rounds"])
    return {
        "serverless": [_cost_row(line) for line in serverless if any(line.amounts)],
        "instances": [_cost_row(line) for line in instances],
        "serverless_totals": [dollars(each) for each in serverless_total],
        "instance_totals": [dollars(each) for each in instance_total],
        "totals": [dollars(one + two) for one, two in zip(serverless_total, instance_total, strict=True)],
        "serverless_total": sum(serverless_total),
        "grand_total": sum(serverless_total) + sum(instance_total),
        "images": images,
        "seconds": [
            {"kind": kind, "amounts": [duration(costs.job_seconds(part, kind)) for part in counted]}
            for kind in ("training", "processing")
        ],
        "calls": [
            {"service": service, "operation": name, "amounts": [f"{each:,}" for each in amounts]}
            for service, name, amounts in costs.calls(counted)
        ],
        "sources": sorted({(line.price.source, line.price.as_of) for line in [*serverless, *instances]}),
    }


def _cost_row(line: costs.Line) -> Json:
    return {
        "service": line.service,
        "what": line.what,
        "amounts": [number(amount, line.digits) for amount in line.amounts],
        "price": line.price.text,
        "dollars": [f"${each:,.6f}" for each in line.dollars],
    }
