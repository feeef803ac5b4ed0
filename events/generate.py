"""`make events`: schema and sample of every domain event, and a sample input of every state machine.

A published schema never changes: this writes <Name>.v<version>.schema.json only when it is missing, and a test fails when
the declaration and the published file differ. A changed event gets the next version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataloop.domain.events import DomainEvent, EventType, EventTypes
from dataloop.domain.tasks import MACHINES

FOLDER = Path(__file__).parent
TIME = "2026-11-22T16:50:00.123Z"
TASK_ID = "01a20458-9476-721a-96ca-50a6d3cf0da4"
SAMPLES: dict[str, Any] = {
    "count": 1,
    "uids": ["b20911d85ce768742def204b032a95c7"],
    "annotation_ids": ["66f519f20c11b8a33cd2aa7b"],
    "version_id": "01a20458-914c-71ab-b133-886435999c2b",
    "digest": "5d4f2e6a1b641f8daeb663a4655a065cd46cf89d3b8c80b4a15dcce9da5cffcf",
    "model_id": "01a2045b-824b-7de0-a39c-f210026dc8a8",
    "dataset_version_id": "01a20458-914c-71ab-b133-886435999c2b",
    "task_id": TASK_ID,
    "target": "Model#01a2045b-824b-7de0-a39c-f210026dc8a8",
    "release_id": "01a2046b-c4db-77c4-8bd5-c1beeba302a8",
    "name": "digits",
    "kind": "train",
    "deletion_id": "01a2046c-0f53-7d2a-9b6e-2f0c5d8a1e47",
    "project_id": "01a2046d-2b1a-7c54-8e0f-6a7d13b9f602",
    "iteration_id": "01a2045b-824b-7de0-a39c-f210026dc8a8",
    "notification_uri": "https://example.queue.core.windows.net/trainings",
    "container_uri": "https://example.blob.core.windows.net/models",
}


def schema_of(kind: EventType, version: int = 1) -> dict[str, Any]:
    """JSON Schema of the envelope with this event's data."""
    data = {
        name: {"type": type_} | ({"items": {"type": "string"}} if type_ == "array" else {})
        for name, type_ in kind.fields.items()
    }
    envelope: dict[str, Any] = {
        "id": {"type": "string", "description": "Decided by the content: the same event again has the same id."},
        "version": {"const": version},
        "source": {"const": f"dataloop.{kind.area}"},
        "time": {"type": "string", "format": "date-time"},
        "correlation_id": {"type": ["string", "null"], "description": "The task that brought it about."},
        "scope": {"type": "object", "properties": {"tenant": {"type": "string"}}, "required": ["tenant"]},
        "data": {"type": "object", "properties": data, "required": sorted(data), "additionalProperties": False},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name,
        "description": kind.meaning,
        "type": "object",
        "properties": envelope,
        "required": sorted(envelope),
        "additionalProperties": False,
    }


def sample_of(kind: EventType) -> dict[str, Any]:
    data = {name: SAMPLES[name] for name in kind.fields}
    return DomainEvent(kind.name, kind.area, "default", TIME, data, correlation_id=TASK_ID).envelope()


def files() -> dict[Path, str]:
    """Every generated file and its content."""
    found: dict[Path, str] = {}
    for kind in EventTypes.all():
        found[FOLDER / "domain" / f"{kind.name}.v1.schema.json"] = _text(schema_of(kind))
        found[FOLDER / "domain" / f"{kind.name}.v1.sample.json"] = _text(sample_of(kind))
    for machine in sorted(set(MACHINES.values())):
        kind_name = next(name for name, found_machine in MACHINES.items() if found_machine == machine)
        sample = {"name": f"{kind_name}-{TASK_ID}", "input": {"tenant": "default", "task_id": TASK_ID}}
        found[FOLDER / "workflow_inputs" / f"{machine}.json"] = _text(sample)
    return found


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        if not (path.exists() and path.name.endswith(".schema.json")):
            path.write_text(text, encoding="utf-8")
