"""A model that answers: what its training job said, a fault for what cannot be used, and no image for another's sake."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataloop_inference.faults import UnreadableImage, UnusableModel
from dataloop_inference.images import PIXEL_LIMIT, pixels_of
from dataloop_inference.model import Description, LoadedModel
from tests.pictures import picture
from tests.trained import TrainedModel


def as_written(model: LoadedModel, answers: list[Any]) -> list[dict[str, Any]]:
    """Predictions as predictions.jsonl has them."""
    labels = model.description.labels
    return [
        {
            "label": labels[found.label],
            "score": pytest.approx(found.score, abs=2e-6),
            "box": None if found.box is None else pytest.approx(found.box, abs=2e-6),
        }
        for found in answers
    ]


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_it_says_what_the_training_job_said(name: str, request: pytest.FixtureRequest) -> None:
    trained: TrainedModel = request.getfixturevalue(name)
    model = LoadedModel.open(trained.folder)
    answers = model.predict(list(trained.images.values()), min_score=0.0)
    said = [trained.said[uid] for uid in trained.images]
    assert sum(map(len, said)) > 10
    assert [as_written(model, found) for found in answers] == [
        [{name: row[name] for name in ("label", "score", "box")} for row in rows] for rows in said
    ]


def test_the_models_own_threshold_counts_unless_another_is_given(detector: TrainedModel, tmp_path: Path) -> None:
    everything = LoadedModel.open(detector.folder).predict(list(detector.images.values()), min_score=0.0)
    scores = sorted(found.score for answer in everything for found in answer)
    threshold = scores[len(scores) // 2]
    folder = altered(detector.folder, tmp_path, lambda found: found["decode"].update(threshold=threshold))
    model = LoadedModel.open(folder)
    images = list(detector.images.values())
    assert model.predict(images) == [[found for found in answer if found.score >= threshold] for answer in everything]
    assert model.predict(images, min_score=0.0) == everything
    assert model.predict(images, min_score=0.0, limit=2) == [answer[:2] for answer in everything]
    assert model.predict(images, min_score=1.0) == [[] for _ in images]


def test_an_answer_does_not_depend_on_the_other_images(detector: TrainedModel) -> None:
    model = LoadedModel.open(detector.folder)
    images = list(detector.images.values())
    assert model.predict(images, min_score=0.0) == [model.predict([image], min_score=0.0)[0] for image in images]


def test_an_unreadable_image_has_its_fault_in_its_place(classifier: TrainedModel) -> None:
    model = LoadedModel.open(classifier.folder)
    good = next(iter(classifier.images.values()))
    answers = list(model.predict_each([good, b"", b"no image", good]))
    assert answers[0] == answers[3] == model.predict([good])[0]
    assert "0 bytes" in str(answers[1])
    assert "none of JPEG" in str(answers[2])
    with pytest.raises(UnreadableImage, match="image 1: the file is empty"):
        model.predict([good, b""])


def test_images_of_formats_that_do_not_register_are_refused() -> None:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PPM")
    with pytest.raises(UnreadableImage, match="none of JPEG"):
        pixels_of(content.getvalue())


def test_the_size_of_a_bomb_is_known_without_decoding_it() -> None:
    side = 9500
    assert side * side > PIXEL_LIMIT
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "PNG")
    with pytest.raises(UnreadableImage, match="the limit is"):
        pixels_of(content.getvalue())
    assert pixels_of(picture("PNG", size=(40, 30))) == 1200


def altered(folder: Path, target: Path, change: Any) -> Path:
    """A copy of a model folder with another model.json."""
    copy = shutil.copytree(folder, target / "altered")
    found = json.loads((copy / "model.json").read_text("utf-8"))
    change(found)
    (copy / "model.json").write_text(json.dumps(found), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.pop("labels"), "labels"),
        (lambda found: found.update(format=99), "format 99"),
        (lambda found: found.update(image_size="big"), "image_size"),
        (lambda found: found.update(decode=5), "model description"),
    ],
)
def test_a_description_that_is_none_is_refused(
    classifier: TrainedModel, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(UnusableModel, match=message):
        LoadedModel.open(altered(classifier.folder, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["decode"].update(kind="magic"), "magic"),
        (lambda found: found.update(labels=["only one"]), "more labels"),
        (lambda found: found["decode"].clear(), "kind"),
    ],
)
def test_a_graph_that_does_not_fit_its_description_is_refused_when_it_is_asked(
    classifier: TrainedModel, tmp_path: Path, change: Any, message: str
) -> None:
    model = LoadedModel.open(altered(classifier.folder, tmp_path, change))
    with pytest.raises(UnusableModel, match=message):
        model.predict([next(iter(classifier.images.values()))])


def test_a_graph_of_another_task_is_refused_when_it_is_asked(
    classifier: TrainedModel, detector: TrainedModel, tmp_path: Path
) -> None:
    model = LoadedModel.open(
        altered(classifier.folder, tmp_path, lambda found: found.update(decode=detector.description["decode"]))
    )
    with pytest.raises(UnusableModel, match="do not fit"):
        model.predict([next(iter(classifier.images.values()))])


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(UnusableModel, match="model description"):
        Description.read(b"\xff{")


def test_a_graph_is_the_described_one_or_refused(classifier: TrainedModel, tmp_path: Path) -> None:
    copy = shutil.copytree(classifier.folder, tmp_path / "copy")
    graph = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(graph[: len(graph) // 2])
    with pytest.raises(UnusableModel, match="sha256"):
        LoadedModel.open(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(UnusableModel, match="is missing from the model folder"):
        LoadedModel.open(copy)


def test_a_described_file_that_is_no_graph_is_refused(classifier: TrainedModel, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"no graph").hexdigest()
    copy = altered(classifier.folder, tmp_path, lambda found: found["onnx"].update(sha256=digest))
    (copy / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(UnusableModel, match="cannot be loaded"):
        LoadedModel.open(copy)


def test_threads_may_share_it(classifier: TrainedModel) -> None:
    model = LoadedModel.open(classifier.folder)
    images = list(classifier.images.values())
    alone = model.predict(images)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(model.predict(images))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4
