"""The files of an evaluation; report.html is safe, self-contained and bounded, whatever names it is given."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import ObjectPlace, Row
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.evaluation.comparison import Contender
from dataloop_jobs.evaluation.report import write_report
from dataloop_jobs.faults import BadModel
from dataloop_jobs.images import ImageStore
from tests.jobs.evaluated import LABELS, Answers, evaluated, task

every_task = pytest.mark.parametrize("name", TASK_TYPES)
HOSTILE = (
    "<script>alert(1)</script>",
    "\"' onload=alert(2) x='",
    "</style></svg><img src=http://elsewhere.example/x onerror=alert(3)>\u202e",
)
# Those that neither run nor fetch anything (an svg's image is checked by its href).
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "h1", "h2", "h3"),
    *("p", "div", "span", "b", "i", "bdi", "small", "ul", "li", "figure", "figcaption"),
    *("svg", "path", "text", "circle", "rect", "image", "table", "thead", "tbody", "tr", "th", "td"),
}


class Page(HTMLParser):
    """Elements and attributes of a page, as a browser would see them."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def with_images(rows: list[Row], folder: Path, side: int = 0) -> list[Row]:
    """The rows with real files of noise, which no JPEG makes small."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, row in enumerate(rows):
        width, height = (side, side) if side else (row.width, row.height)
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        (folder / f"{number}.png").write_bytes(buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        place = ObjectPlace("b", f"{number}.png", None, None)
        found.append(replace(row, sha256=digest, place=place, width=width, height=height))
    return found


def written(
    folder: Path, name: str, rows: list[Row], answers: Answers, labels: tuple[str, ...] = LABELS, **more: Any
) -> dict[str, Any]:
    dataset = {"version_id": "v", "digest": "d"}
    return write_report(folder, task(name), rows, answers, labels, threshold=0.4, dataset=dataset, **more)


@every_task
def test_all_files_are_written_and_agree(name: str, tmp_path: Path) -> None:
    rows, answers = evaluated(name, 30, 0.6)
    rows = with_images(rows, tmp_path / "images")
    _, old = evaluated(name, 30, 0.3)
    baseline = Contender("old", task(name), LABELS, old, 0.4)
    store = ImageStore(tmp_path / "images", 64, 0)
    metrics = written(tmp_path / "out", name, rows, answers, baseline=baseline, store=store, model_id="new")
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert set(files) == {
        *("metrics.json", "curves.json", "confusion.json", "worst.json", "predictions.jsonl"),
        *("comparison.json", "report.html"),
    }
    assert json.loads(files["metrics.json"].read_text()) == metrics
    assert {"primary", "summary", "per_class", "slices", "images", "dataset", "threshold"} <= set(metrics)
    low, high = metrics["confidence"]["primary"]
    assert low <= metrics["primary"]["value"] <= high
    assert set(metrics["confidence"]["per_class"]) <= set(LABELS)
    page = files["report.html"].read_text()
    worst = json.loads(files["worst.json"].read_text())["images"]
    assert page.count("data:image/jpeg;base64,") == min(24, len(worst))
    for text in (f"{metrics['primary']['value']:.3f}", "Against the baseline", "north", "car", worst[0]["uid"]):
        assert text in page
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 30


@every_task
def test_hostile_names_are_only_ever_text(name: str, tmp_path: Path) -> None:
    rows, answers = evaluated(name, 24, 0.3)
    rows = [
        replace(row, uid=f"{HOSTILE[i % 3]}{i}", attributes={HOSTILE[0]: HOSTILE[i % 3]}) for i, row in enumerate(rows)
    ]
    rows = with_images(rows, tmp_path / "images")
    _, old = evaluated(name, 24, 0.8)
    baseline = Contender(HOSTILE[0], task(name), HOSTILE, old, 0.4)
    store = ImageStore(tmp_path / "images", 64, 0)
    written(tmp_path, name, rows, answers, HOSTILE, baseline=baseline, store=store, model_id=HOSTILE[2])
    source = (tmp_path / "report.html").read_text()
    page = Page(source)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    for _, attributes in page.elements:
        assert not any(attribute.startswith("on") for attribute in attributes)
        target = attributes.get("href") or attributes.get("src") or "data:"
        assert target.startswith("data:")
    assert "\u202e" not in source
    assert HOSTILE[0] in "".join(page.texts)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.elements)


def test_nothing_in_the_page_comes_from_outside(tmp_path: Path) -> None:
    rows, answers = evaluated("detection", 10, 0.5)
    written(tmp_path, "detection", rows, answers)
    source = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(|<script|<link|<iframe", source)
    assert "prefers-color-scheme: dark" in source and "width=device-width" in source


def test_pictures_stay_within_their_budget_and_a_lost_image_leaves_a_gap(tmp_path: Path) -> None:
    rows, answers = evaluated("classification", 60, 0.0)
    rows = with_images(rows, tmp_path / "images", side=400)
    worst = written(tmp_path, "classification", rows, answers)
    assert worst["images"] == 60
    first = json.loads((tmp_path / "worst.json").read_text())["images"][0]["uid"]
    number = next(i for i, row in enumerate(rows) if row.uid == first)
    (tmp_path / "images" / f"{number}.png").write_bytes(b"overwritten")
    written(tmp_path, "classification", rows, answers, store=ImageStore(tmp_path / "images", 320, 0))
    page = (tmp_path / "report.html").read_text()
    assert 5 < page.count("data:image/jpeg") < 24
    assert len(page.encode()) < 1_500_000
    assert first not in page


@every_task
def test_an_empty_test_split_says_so(name: str, tmp_path: Path) -> None:
    metrics = written(tmp_path, name, [], [])
    assert metrics["primary"]["value"] is None
    assert "empty" in metrics["note"]
    assert "the test split is empty" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "worst.json").read_text()) == {"images": []}


@every_task
def test_one_image_one_class_and_no_predictions_are_numbers_or_null(name: str, tmp_path: Path) -> None:
    rows, answers = evaluated(name, 1, 0.5)
    metrics = written(tmp_path / "one", name, rows, answers)
    assert metrics["confidence"]["primary"] is None
    rows, _ = evaluated(name, 12, 0.5)
    silent = written(tmp_path / "silent", name, rows, [[] for _ in rows])
    assert not silent["primary"]["value"] or name == "multilabel_classification"
    same = [replace(row, truths=tuple(replace(t, label=0) for t in row.truths)) for row in rows]
    said = [[replace(one, label=0) for one in found] for found in evaluated(name, 12, 0.5)[1]]
    only = written(tmp_path / "only", name, same, said, ("car",))
    assert only["per_class"]["car"]["support"] > 0


@pytest.mark.parametrize(
    "broken", [Prediction(0, float("nan"), (0.1, 0.1, 0.2, 0.2)), Prediction(0, 0.5, (0.1, float("inf"), 0.2, 0.2))]
)
def test_a_prediction_that_is_not_a_number_names_its_image(broken: Prediction, tmp_path: Path) -> None:
    rows, answers = evaluated("detection", 3, 0.5)
    answers[1] = [broken]
    with pytest.raises(BadModel, match=f"uid={rows[1].uid}.*(nan|inf)"):
        written(tmp_path, "detection", rows, answers)
    assert not (tmp_path / "metrics.json").exists()
