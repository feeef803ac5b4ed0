"""The report: one HTML file without a single outside resource, drawn from the recording alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dataloop_demo.report.view import build

Json = dict[str, Any]


def render(document: Json) -> str:
    """The page of a recording. Raises KeyError when the recording lacks something, ValueError for a NaN in it."""
    json.dumps(document, allow_nan=False)
    environment = Environment(
        loader=PackageLoader("dataloop_demo.report", "."),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(build(document), style=style)


def write_report(document: Json, folder: Path) -> Path:
    """Write index.html and the recording it was drawn from; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recording.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    path = folder / "index.html"
    path.write_text(render(document), encoding="utf-8")
    return path
