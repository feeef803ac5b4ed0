"""What is generated is up to date, and what must be described is described."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import jsonschema
import pytest

from api_sdk import schemas
from api_sdk.faults import TABLE
from dataloop.domain.events import EventTypes
from dataloop.settings import PREFIX, Settings
from docs import generate
from events import generate as events

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_openapi_is_what_the_code_says() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.rendered(), "run `make docs`"


def test_every_route_has_a_schema_and_every_schema_a_route() -> None:
    assert set(generate.routes()) == set(schemas.ROUTES)


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_described_with_its_default(field) -> None:
    row = re.search(rf"^\| `{PREFIX}{field.name.upper()}` \| ([^|]*) \| [^|]+ \|$", page("settings.md"), re.M)
    assert row, f"docs/settings.md has no row for {field.name}"
    default = row.group(1).strip().strip("`")
    if field.default is MISSING:
        assert default in ("must be set", "AWS_REGION")
    elif field.default == "":
        assert default == "empty"
    elif isinstance(field.default, bool):
        assert default == str(field.default).lower()
    elif isinstance(field.default, str):
        assert default == field.default
    else:
        assert float(default) == field.default


@pytest.mark.parametrize("kind", EventTypes.all(), ids=lambda kind: kind.name)
def test_every_event_is_described(kind) -> None:
    names = ", ".join(f"`{name}`" for name in kind.fields)
    assert re.search(
        rf"^\| `{kind.name}` \| `dataloop.{kind.area}` \| [^|]+ \| {re.escape(names)} \|$", page("events.md"), re.M
    )


def test_every_error_is_described_with_its_status() -> None:
    for _, status, code in TABLE:
        assert f"| {status} | `{code}` |" in page("errors.md")


@pytest.mark.parametrize("path", sorted(events.files()), ids=lambda path: path.name)
def test_generated_events_are_up_to_date(path: Path) -> None:
    published = path.read_text(encoding="utf-8")
    reason = (
        "a published schema never changes: give the event its next version"
        if "schema" in path.name
        else "run `make events`"
    )
    assert published == events.files()[path], reason


def test_no_stray_event_files() -> None:
    kept = {path for folder in ("domain", "workflow_inputs") for path in (ROOT / "events" / folder).iterdir()}
    assert kept == set(events.files())


@pytest.mark.parametrize("kind", EventTypes.all(), ids=lambda kind: kind.name)
def test_samples_follow_their_schema(kind) -> None:
    folder = ROOT / "events" / "domain"
    schema = json.loads((folder / f"{kind.name}.v1.schema.json").read_text(encoding="utf-8"))
    sample = json.loads((folder / f"{kind.name}.v1.sample.json").read_text(encoding="utf-8"))
    jsonschema.validate(sample, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample | {"data": {}}, schema)
