"""Models are fetched once, kept within bounds, verified whenever they are read, and shared between threads."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_sdk import answers
from dataloop.domain.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.models import Model
from dataloop.gateways.objects import Bucket
from dataloop.services.predicting import Answered, Question
from dataloop_inference.masks import compress, encode
from dataloop_inference.model import Description
from dataloop_inference.predictions import Prediction
from infer import wire
from model_runner import runner as runner_module
from model_runner.graphs import GraphFolder
from model_runner.loaded import LoadedModels
from model_runner.runner import ModelRunner
from tests.core import ARTIFACTS, Core, account
from tests.pictures import picture
from tests.trained import TrainedModel


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found:
        yield found


@pytest.fixture
def files(core: Core) -> Bucket:
    found: Bucket = core.services.stores.artifacts
    return found


def place(core: Core, trained: TrainedModel, name: str = "m", **instead: bytes | None) -> Model:
    """A model's files in the bucket, some of them changed (None: left out), and its record."""
    given = {path.name: path.read_bytes() for path in trained.folder.iterdir() if path.suffix in (".json", ".onnx")}
    for key, body in {**given, **{name.replace("_", "."): body for name, body in instead.items()}}.items():
        if body is not None:
            core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"default/models/{name}/model/{key}", Body=body)
    return Model(
        tenant="default",
        id=name,
        name=name,
        version="1",
        status="COMPLETED",
        task_type="classification",
        architecture="efficientnet_lite0",
        dataset={},
        test={},
        task_id="t",
        created_at="now",
        prefix=f"default/models/{name}/model",
    )


def test_it_answers_as_the_training_job_did(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path
) -> None:
    images = classifier.images
    found = ModelRunner(tmp_path).run(place(core, classifier), files, list(images.values()), 0.0, 100)
    for uid, answer in zip(images, found, strict=True):
        assert isinstance(answer, tuple)
        assert [(one.label, pytest.approx(one.score, abs=2e-6)) for one in answer] == [
            (row["label"], row["score"]) for row in classifier.said[uid]
        ]


def test_a_model_is_fetched_once_and_its_graph_survives_in_the_folder(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path
) -> None:
    model, image = place(core, classifier), [picture()]
    runner = ModelRunner(tmp_path)
    core.clients.calls.clear()
    first = runner.run(model, files, image, None, 5)
    assert core.clients.of("s3") == {"s3.GetObject": 2, "s3.HeadObject": 1}
    core.clients.calls.clear()
    assert runner.run(model, files, image, None, 5) == first
    assert core.clients.calls == []
    assert ModelRunner(tmp_path).run(model, files, image, None, 5) == first
    assert core.clients.of("s3") == {"s3.GetObject": 1}


def test_a_graph_that_was_tampered_with_on_disk_is_fetched_again(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path
) -> None:
    model, image = place(core, classifier), [picture()]
    first = ModelRunner(tmp_path).run(model, files, image, None, 5)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"another graph")
    core.clients.calls.clear()
    assert ModelRunner(tmp_path).run(model, files, image, None, 5) == first
    assert core.clients.of("s3") == {"s3.GetObject": 2, "s3.HeadObject": 1}
    assert hashlib.sha256(next(tmp_path.iterdir()).read_bytes()).hexdigest() == kept.name


def test_threads_that_ask_for_a_new_model_load_it_once(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path
) -> None:
    model, runner = place(core, classifier), ModelRunner(tmp_path)
    core.clients.calls.clear()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(runner.run(model, files, [picture()], None, 5))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 6
    assert core.clients.of("s3") == {"s3.GetObject": 2, "s3.HeadObject": 1}


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ({"model_onnx": None}, "model.onnx is missing"),
        ({"model_json": None}, "model.json is missing"),
        ({"model_onnx": b"cut short"}, "sha256"),
        ({"model_onnx": b""}, "sha256"),
        ({"model_json": b"{}"}, "model description"),
        ({"model_json": b"\xff"}, "model description"),
    ],
)
def test_unusable_files_are_said_to_be_so_and_not_remembered(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path, instead: dict[str, Any], reason: str
) -> None:
    broken, runner = place(core, classifier, **instead), ModelRunner(tmp_path)
    with pytest.raises(IllegalTransition) as refused:
        runner.run(broken, files, [picture()], None, 5)
    assert reason in str(refused.value) and "predicting is not possible" in str(refused.value)
    assert runner.run(place(core, classifier), files, [picture()], None, 5)


def test_a_graph_too_large_for_the_function_is_refused_before_it_is_read(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "MAX_GRAPH_BYTES", 1000)
    model = place(core, classifier)
    core.clients.calls.clear()
    with pytest.raises(LimitExceeded, match="prediction task"):
        ModelRunner(tmp_path).run(model, files, [picture()], None, 5)
    assert core.clients.of("s3")["s3.GetObject"] == 1


def test_images_are_refused_one_by_one_and_pixels_are_counted(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "MAX_REQUEST_PIXELS", 1000)
    small, large = picture("PNG", (20, 20)), picture("PNG", (40, 20))
    found = ModelRunner(tmp_path).run(place(core, classifier), files, [small, b"", large, small], None, 5)
    kinds = [InvalidInput if isinstance(one, InvalidInput) else type(one) for one in found]
    assert kinds == [tuple, InvalidInput, LimitExceeded, tuple]


class Masked:
    """A model that draws one mask."""

    description = Description("m", "instance_segmentation", ("cat",), 64, {"kind": "fcos_masks"}, 0.0, "0" * 64)
    size_bytes = 1

    def predict_each(self, images: list[bytes], **_: Any) -> Iterator[list[Prediction]]:
        for _image in images:
            yield [Prediction(0, 0.5, (0.0, 0.0, 1.0, 0.5), encode(np.array([[1, 1], [0, 0]], dtype=bool)))]


def test_masks_travel_as_coco_writes_them_and_cost_pixels(
    core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "MAX_MASK_PIXELS", 1000)
    runner, model = ModelRunner(tmp_path), place(core, classifier)
    runner._loaded.get(model.id, Masked)  # type: ignore[arg-type]
    small, large = picture("PNG", (20, 20)), picture("PNG", (40, 30))
    found = runner.run(model, files, [small, large], None, 5)
    assert isinstance(found[1], LimitExceeded)
    text = wire.answer_text(Answered(model, tuple(found)), Question("m", None, []))
    body = json.loads(text)
    answers.Inferred.model_validate(body)
    (prediction,) = body["results"][0]["predictions"]
    assert prediction["mask"] == {"size": [2, 2], "counts": compress([0, 1, 1, 1, 1])}
    assert prediction["box"] == {"left": 0.0, "top": 0.0, "width": 1.0, "height": 0.5}


def test_memory_holds_what_was_used_last(core: Core, files: Bucket, classifier: TrainedModel, tmp_path: Path) -> None:
    runner = ModelRunner(tmp_path)
    size = (classifier.folder / "model.onnx").stat().st_size
    runner._loaded = LoadedModels(2 * size)
    models = {name: place(core, classifier, name) for name in "abc"}
    for name in ("a", "b", "a", "c"):
        runner.run(models[name], files, [picture()], None, 5)
    assert [name in runner._loaded for name in "abc"] == [True, False, True]
    runner._loaded = LoadedModels(1)
    runner.run(models["a"], files, [picture()], None, 5)
    assert "a" in runner._loaded


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_folder_keeps_what_was_used_last(tmp_path: Path) -> None:
    folder = GraphFolder(tmp_path / "graphs", 25)
    contents = [letter * 10 for letter in (b"a", b"b", b"c")]
    for age, content in enumerate(contents[:2]):
        folder.keep(name_of(content), content)
        os.utime(tmp_path / "graphs" / name_of(content), ns=(age, age))
    assert folder.read(name_of(contents[0])) == contents[0]  # used now, so the other one is the oldest
    folder.keep(name_of(contents[2]), contents[2])
    assert [folder.read(name_of(content)) for content in contents] == [contents[0], None, contents[2]]
    assert sum(path.stat().st_size for path in (tmp_path / "graphs").iterdir()) <= 25


def test_the_folder_never_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    folder = GraphFolder(blocked / "graphs", 100)
    folder.keep(name_of(b"x"), b"x")
    assert folder.read(name_of(b"x")) is None
    assert folder.read("../../etc/passwd") is None
    small = GraphFolder(tmp_path / "graphs", 1)
    small.keep(name_of(b"too large"), b"too large")
    assert small.read(name_of(b"too large")) is None


def test_what_loading_raises_is_raised_and_the_next_one_tries_again(classifier: TrainedModel) -> None:
    from dataloop_inference.model import LoadedModel

    models = LoadedModels(10**9)

    def fail() -> LoadedModel:
        raise NotFound("object", "model.onnx")

    with pytest.raises(NotFound):
        models.get("a", fail)
    assert "a" not in models
    assert models.get("a", lambda: LoadedModel.open(classifier.folder)) is models.get("a", fail)
