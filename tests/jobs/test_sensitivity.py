"""`run.py sensitivity`: the scan's numbers, its picture, and how it stops."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from dataloop_jobs.commands.sensitivity import ratios_from, sensitivity
from dataloop_jobs.compression.picture import draw
from dataloop_jobs.compression.sensitivity import scan
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from dataloop_jobs.faults import BadModel, BadParameter, Interrupted
from tests.jobs.compressing import built
from tests.trained import TrainedModel

SVG = "{http://www.w3.org/2000/svg}"


def test_a_scan_leaves_curves_of_every_layer_and_a_picture(
    classifier: TrainedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = classifier.job.processing(classifier.folder)
    monkeypatch.setenv("SENSITIVITY", '{"ratios": [0.5]}')
    sensitivity(ProcessingFolders(classifier.job.base), StopRequest())
    found = json.loads((output / "sensitivity.json").read_text())
    assert (found["metric"], found["split"], found["images"]) == ("accuracy", "val", 4)
    assert found["baseline"] > 0
    layers = found["layers"]
    assert len(layers) > 20
    assert all(layer["ratios"] and len(layer["ratios"]) == len(layer["values"]) for layer in layers)
    assert all(0.3 <= ratio <= 0.7 for layer in layers for ratio in layer["ratios"])
    assert all(layer["macs"] > 0 and layer["parameters"] > 0 for layer in layers)
    # Frozen layers are scanned, too.
    assert layers[0]["name"] == "backbone.stem.conv"
    progress = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert progress[-1]["phase"] == "scan"
    assert progress[-1]["done"] == progress[-1]["total"] == 1 + len(layers)
    picture = ElementTree.fromstring((output / "sensitivity.svg").read_text())
    names = {text.text for text in picture.iter(f"{SVG}text")}
    assert {layer["name"] for layer in layers} <= names
    assert len(list(picture.iter(f"{SVG}polyline"))) == len(layers)


def test_a_scan_that_is_stopped_leaves_no_half_result(classifier: TrainedModel) -> None:
    output = classifier.job.processing(classifier.folder)
    for name in ("sensitivity.json", "sensitivity.svg"):
        (output / name).unlink(missing_ok=True)
    stop = StopRequest()
    stop.is_requested = True
    with pytest.raises(Interrupted):
        sensitivity(ProcessingFolders(classifier.job.base), stop)
    assert not list(output.glob("sensitivity.*"))


@pytest.mark.parametrize("text", ["0.5", "{}", '{"ratios": []}', '{"ratios": [1]}', '{"ratios": ["much"]}'])
def test_ratios_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="SENSITIVITY"):
        ratios_from(text)


def test_a_model_without_any_result_cannot_be_scanned() -> None:
    _, network = built("classification")
    with pytest.raises(BadModel, match=r"metric is 0\.0 before anything is removed"):
        scan(network, [], {}, lambda _: 0.0)


def test_a_value_that_could_not_be_computed_is_left_out_of_the_picture() -> None:
    layer = {"name": "a<b", "channels": 8, "macs": 10, "parameters": 5, "ratios": [0.25, 0.5], "values": [0.4, None]}
    text = draw({"baseline": 0.5, "metric": "AP50", "images": 3, "layers": [layer]})
    picture = ElementTree.fromstring(text)
    assert len(list(picture.iter(f"{SVG}circle"))) == 2
    assert "a<b" in {item.text for item in picture.iter(f"{SVG}text")}
