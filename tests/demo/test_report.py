"""The page of a small recorded run: complete, self-contained, and true to the recording."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dataloop_demo.report import charts, render, write_report
from dataloop_demo.report.charts import Series

RECORDING = Path(__file__).parent / "recording.json"


@pytest.fixture
def document() -> dict[str, Any]:
    """A run over a few scenes of the digits demo, cut down to three classes and tiny pictures."""
    found: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
    return found


class _Resources(HTMLParser):
    """Collects everything that would make a browser fetch or run something, and whether tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts = 0
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.scripts += tag == "script" or any(name.startswith("on") for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "link", "img", "br", "hr", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "link", "img", "br", "hr", "input"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_outside(document: dict[str, Any]) -> None:
    page = render(document)
    found = _Resources(page)

    assert not found.open
    assert found.scripts == 0
    assert found.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in found.links)
    assert "@import" not in page
    assert not re.search(r"url\(|https?://", page)


def test_all_figures_are_there(document: dict[str, Any]) -> None:
    page = render(document)
    found = _Resources(page)

    first, second = document["loops"]
    charts_drawn = 3 + len(second["metrics"]["per_class"])
    assert page.count('<svg class="chart"') == charts_drawn
    assert page.count('<svg class="scene"') == len(document["samples"])
    assert found.counts["img"] == len(document["lineage"]["images"])
    for loop in (first, second):
        assert f"{loop['metrics']['primary']['value']:.3f}" in page
        assert loop["model_id"] in page
        assert loop["dataset"]["digest"] in page
        for reason in loop["verdict"]["reasons"]:
            assert reason.replace("'", "&#39;") in page
    for image in document["lineage"]["images"]:
        assert {image["version_id"], image["sha256"], *image["annotation_ids"]} <= set(
            re.findall(r"[0-9a-f-]{24,}", page)
        )
    assert document["current"]["release_id"] in page
    assert "projection" in page


def test_no_figure_is_nan_or_missing(document: dict[str, Any]) -> None:
    text = re.sub(r"data:image/jpeg;base64,[^\"]*|<style>.*</style>", "", render(document), flags=re.DOTALL)

    assert not re.search(r"\b(nan|NaN|inf|Infinity|None|null|undefined)\b", text)


def test_a_metric_without_support_is_a_dash(document: dict[str, Any]) -> None:
    label = next(iter(document["loops"][1]["metrics"]["per_class"]))
    for loop in document["loops"]:
        loop["metrics"]["per_class"][label] = {"AP": None, "AP50": None, "recall": None, "support": 0}
        loop["curves"]["pr"][label] = {"recall": [0.0, 1.0], "precision": [None, None]}

    page = render(document)

    assert "– → –" in page
    assert "no values" in page


def test_a_refused_second_loop_is_told_as_one(document: dict[str, Any]) -> None:
    document = copy.deepcopy(document)
    second = document["loops"][1]
    second |= {"promoted": False, "release_id": None}
    second["verdict"] = {"promote": False, "reasons": ["AP50 0.1 does not reach the champion's 0.2 + margin 0.0"]}
    document["released"] = 0
    for sample in document["samples"]:
        sample["before"] = None

    page = render(document)

    assert "refused" in page
    assert "does not reach the champion&#39;s 0.2" in page
    assert "none: the champion stays" in page


def test_names_of_a_user_are_text_not_markup(document: dict[str, Any]) -> None:
    document["story"]["title"] = "<script>alert(1)</script>"
    document["samples"][0]["boxes"][0]["label"] = "<b>&"
    document["samples"][0]["boxes"][0]["kind"] = "right"

    page = render(document)

    assert _Resources(page).scripts == 0
    assert "&lt;b&gt;&amp;" in page


def test_a_nan_in_the_recording_is_an_error(document: dict[str, Any]) -> None:
    document["seconds"] = float("nan")
    with pytest.raises(ValueError, match="Out of range float"):
        render(document)


def test_the_recording_lies_beside_the_page(document: dict[str, Any], tmp_path: Path) -> None:
    path = write_report(document, tmp_path / "report")

    assert path.name == "index.html"
    assert json.loads((path.parent / "recording.json").read_text()) == document


def test_a_chart_puts_points_where_they_belong() -> None:
    svg = charts.line_chart(
        [Series("up", "one", ((0.0, 0.0), (1.0, 1.0)))], title="t", y_range=(0.0, 1.0), size=(150, 148), dots=True
    )

    # 40 left and 10 right of the plot, 26 above and 22 below it.
    assert 'points="40.0,126.0 140.0,26.0"' in svg
    assert svg.count("<circle") == 2


@pytest.mark.parametrize("values", [(0.0, 0.0), (5.0, 5.0), (-1.0, 3.0), (1e-9, 2e-9), (0.0, 1e6)])
def test_a_chart_of_any_range_has_finite_places(values: tuple[float, float]) -> None:
    svg = charts.line_chart([Series("s", "two", ((1.0, values[0]), (2.0, values[1])))], title="t", whole_x=True)

    places = [float(number) for pair in re.findall(r'points="([^"]*)"', svg)[0].split() for number in pair.split(",")]
    assert all(0 <= place <= 360 for place in places)
