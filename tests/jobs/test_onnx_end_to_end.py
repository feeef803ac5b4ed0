"""The graph that takes pixels and gives answers: what a program for devices sees of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataloop_inference.images import letterbox
from dataloop_inference.model import LoadedModel
from dataloop_jobs.exporters import onnx_end_to_end
from dataloop_jobs.faults import BadModel
from dataloop_jobs.model_folder import read_model
from tests.jobs.job_folder import SIZE
from tests.jobs.test_exports import laid_out, run
from tests.trained import TrainedModel


def pixels(content: bytes, session: onnxruntime.InferenceSession) -> NDArray[np.float32]:
    """What a device does: fit into the input's square, RGB from 0 to 255, channels first."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    fitted, _ = letterbox(image, session.get_inputs()[0].shape[2])
    return fitted.astype(np.float32).transpose(2, 0, 1)[None]


def exported(trained: TrainedModel, base: Path, monkeypatch: pytest.MonkeyPatch) -> onnxruntime.InferenceSession:
    output, said = run(laid_out(trained, base), "onnx_end_to_end", monkeypatch)
    assert said["checked"] == "answers"
    return onnxruntime.InferenceSession(output / "model.onnx", providers=["CPUExecutionProvider"])


def test_a_classifier_gives_probabilities_for_plain_pixels(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = exported(classifier, tmp_path, monkeypatch)
    assert [(each.name, each.shape[1:]) for each in session.get_inputs()] == [("data", [3, SIZE, SIZE])]
    (output,) = session.get_outputs()
    labels = classifier.description["labels"]
    assert (output.name, output.shape[1]) == ("model_output", len(labels))
    model = LoadedModel.open(classifier.folder)
    for content in classifier.images.values():
        (shares,) = session.run(None, {"data": pixels(content, session)})[0]
        assert shares.sum() == pytest.approx(1, abs=1e-5)
        wanted = {found.label: found.score for found in model.predict([content])[0]}
        assert dict(enumerate(shares.tolist())) == pytest.approx(wanted, abs=1e-4)
    # Several images at once
    batch = np.concatenate([pixels(content, session) for content in list(classifier.images.values())[:2]])
    assert session.run(None, {"data": batch})[0].shape == (2, len(labels))


def test_a_detector_gives_boxes_best_first(
    detector: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = exported(detector, tmp_path, monkeypatch)
    assert {each.name for each in session.get_outputs()} == {"detected_boxes", "detected_classes", "detected_scores"}
    model = LoadedModel.open(detector.folder)
    seen = 0
    for content in detector.images.values():
        names = [each.name for each in session.get_outputs()]
        found = dict(zip(names, session.run(None, {"data": pixels(content, session)}), strict=True))
        boxes, scores, labels = (found[f"detected_{part}"][0] for part in ("boxes", "scores", "classes"))
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert labels.dtype == np.int64
        (wanted,) = model.predict([content], min_score=0.05)
        assert len(wanted) == len(scores)
        assert sorted(scores.tolist()) == pytest.approx(sorted(each.score for each in wanted), abs=1e-4)
        for box, score, label in zip(boxes.tolist(), scores, labels, strict=True):
            near = min(wanted, key=lambda each: abs(each.score - score))
            if sum(abs(each.score - near.score) < 1e-3 for each in wanted) == 1:
                left, top, width, height = near.box
                assert (near.label, box) == (label, pytest.approx([left, top, left + width, top + height], abs=1e-3))
                seen += 1
    assert seen > 5


def test_the_file_says_what_pixels_it_wants(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = run(laid_out(classifier, tmp_path), "onnx_end_to_end", monkeypatch)
    said = {each.key: each.value for each in onnx.load(output / "model.onnx").metadata_props}
    assert said["Image.BitmapPixelFormat"] == "Rgb8"
    assert said["Image.NominalPixelRange"] == "NominalRange_0_255"


def test_masks_are_refused_by_name(classifier: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(classifier.folder)
    settings: dict[str, Any] = {**model.decode_settings, "kind": "semantic"}
    monkeypatch.setattr(type(model), "decode_settings", settings)
    with pytest.raises(BadModel, match="takes classification and detection"):
        onnx_end_to_end.wrap(onnx.load(model.graph), model)


def test_a_difference_is_found_in_both_directions() -> None:
    from dataloop_inference.predictions import Prediction

    one, other = Prediction(0, 0.9, (0.1, 0.1, 0.2, 0.2)), Prediction(1, 0.8, (0.5, 0.5, 0.2, 0.2))
    assert onnx_end_to_end.difference([one, other], [one, other], 0.5, 1e-3) == 0
    assert onnx_end_to_end.difference([one], [one, other], 0.5, 1e-3) == float("inf")
    assert onnx_end_to_end.difference([one, other], [one], 0.5, 1e-3) == float("inf")
    # What does not count may be missing
    assert onnx_end_to_end.difference([one, other], [one], 0.85, 1e-3) == 0
    moved = Prediction(0, 0.9, (0.1, 0.1, 0.2, 0.3))
    assert onnx_end_to_end.difference([one], [moved], 0.5, 1e-3) == pytest.approx(0.1)
