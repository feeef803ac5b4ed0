"""A project's whole life with Microsoft's Python clients on the deployed stack, for a classifier and for a detector.

Each test is one step and stands on the steps before it: a failure names the step.
"""

from __future__ import annotations

import io
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from azure.cognitiveservices.vision.customvision.training import models as wire
from PIL import Image

from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.surfaces.customvision.clients import prediction_client, training_client
from tests.surfaces.customvision.drawings import Drawing, drawing, drawings, overlap

pytestmark = [pytest.mark.stack, pytest.mark.slow]

FIGURES = ("disc", "cross")
MINUTES = 60


@dataclass
class Life:
    """Where one project stands. images: by figure, the ids that were made; seen: the drawings by image id."""

    kind: str
    training: Any
    prediction: Any
    stack: DeployedStack
    project: Any = None
    tags: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Drawing] = field(default_factory=dict)
    iterations: list[Any] = field(default_factory=list)

    @property
    def is_detection(self) -> bool:
        return self.kind == "detection"

    def labels(self, each: Drawing) -> dict[str, Any]:
        """What an upload says of a drawing: a tag, or a region with one."""
        tag = self.tags[each.figure].id
        if not self.is_detection:
            return {"tag_ids": [tag]}
        left, top, width, height = each.box
        return {"regions": [wire.Region(tag_id=tag, left=left, top=top, width=width, height=height)]}

    def keep(self, summary: Any, made: list[Drawing]) -> None:
        """Every image of a batch arrived, and its id belongs to its drawing: answers come in the order of the batch."""
        assert summary.is_batch_successful
        assert [result.status for result in summary.images] == ["OK"] * len(made)
        self.seen |= {result.image.id: each for result, each in zip(summary.images, made, strict=True)}

    def train(self, **wish: Any) -> Any:
        """Train, and wait until it is over."""
        started = self.training.train_project(self.project.id, **wish)

        def ended() -> Any:
            found = self.training.get_iteration(self.project.id, started.id)
            assert found.status != "Failed", found.training_error_details
            return found if found.status == "Completed" else None

        self.iterations.append(until(ended, within_s=10 * MINUTES, what="the end of the training"))
        return self.iterations[-1]

    def ask(self, content: bytes, name: str, *, store: bool) -> Any:
        """One prediction by the published iteration."""
        verb = "detect_image" if self.is_detection else "classify_image"
        call = getattr(self.prediction, verb if store else f"{verb}_with_no_store")
        return call(self.project.id, name, content)

    def download(self, url: str) -> bytes:
        """Without a key."""
        with urllib.request.urlopen(url, timeout=60) as answer:
            body: bytes = answer.read()
        return body


@pytest.fixture(scope="module", params=["classification", "detection"])
def life(request: pytest.FixtureRequest, stack: DeployedStack) -> Iterator[Life]:
    trainer = training_client(stack.url, stack.key_of("default", "read", "write", "train"))
    predictor = prediction_client(stack.url, stack.key_of("default", "predict"))
    with trainer as training, predictor as prediction:
        yield Life(request.param, training, prediction, stack)


def test_01_a_project_and_its_tags(life: Life) -> None:
    type_ = "ObjectDetection" if life.is_detection else "Classification"
    domain = next(each for each in life.training.get_domains() if each.type == type_ and each.name == "General")
    kind = {} if life.is_detection else {"classification_type": "Multiclass"}
    name = f"{life.kind} {uuid.uuid4().hex[:8]}"
    life.project = life.training.create_project(name, description="figures", domain_id=domain.id, **kind)
    assert life.training.get_project(life.project.id).settings.domain_id == domain.id
    life.tags = {figure: life.training.create_tag(life.project.id, figure) for figure in FIGURES}
    assert sorted(tag.name for tag in life.training.get_tags(life.project.id)) == sorted(FIGURES)


def test_02_images_from_data(life: Life) -> None:
    for figure in FIGURES:
        for each in drawings(figure, 2):
            tags = None if life.is_detection else [life.tags[figure].id]
            life.keep(life.training.create_images_from_data(life.project.id, each.content, tag_ids=tags), [each])


def test_03_images_from_files(life: Life) -> None:
    made = [each for figure in FIGURES for each in drawings(figure, 18, seed=10)]
    entries = [
        wire.ImageFileCreateEntry(name=f"{number}.png", contents=each.content, **life.labels(each))
        for number, each in enumerate(made)
    ]
    batch = wire.ImageFileCreateBatch(images=entries, metadata={"camera": "2"})
    life.keep(life.training.create_images_from_files(life.project.id, batch), made)
    again = life.training.create_images_from_files(life.project.id, batch)
    assert {result.status for result in again.images} == {"OKDuplicate"}


def test_04_images_from_urls(life: Life) -> None:
    made = [drawing(figure, 100) for figure in FIGURES]
    s3, bucket = life.stack.client("s3"), life.stack.output("ArtifactsBucketName")
    entries = []
    for each in made:
        key = f"elsewhere/{uuid.uuid4().hex}.png"
        s3.put_object(Bucket=bucket, Key=key, Body=each.content)
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        entries.append(wire.ImageUrlCreateEntry(url=url, **life.labels(each)))
    summary = life.training.create_images_from_urls(life.project.id, wire.ImageUrlCreateBatch(images=entries))
    life.keep(summary, made)


def test_05_regions_and_tags_afterwards(life: Life) -> None:
    untagged = life.training.get_untagged_images(life.project.id, take=256)
    if not life.is_detection:
        assert untagged == []
        return
    # What came as plain data has no region yet
    assert len(untagged) == 4
    entries = []
    for image in untagged:
        each = life.seen[image.id]
        left, top, width, height = each.box
        box = {"left": left, "top": top, "width": width, "height": height}
        entries.append(wire.ImageRegionCreateEntry(image_id=image.id, tag_id=life.tags[each.figure].id, **box))
    made = life.training.create_image_regions(life.project.id, regions=entries)
    assert len(made.created) == 4
    assert life.training.get_untagged_image_count(life.project.id) == 0


def test_06_what_was_uploaded_is_there(life: Life) -> None:
    images = life.training.get_images(life.project.id, take=256)
    assert {image.id for image in images} == set(life.seen)
    for image in images:
        assert [tag.tag_name for tag in image.tags] == [life.seen[image.id].figure]
    assert life.training.get_tagged_image_count(life.project.id) == 42
    assert life.training.get_image_count(life.project.id, filter="camera eq '2'") == 36
    counts = {tag.name: tag.image_count for tag in life.training.get_tags(life.project.id)}
    assert counts == {"disc": 21, "cross": 21}
    newest = images[0]
    assert life.download(newest.original_image_uri) == life.seen[newest.id].content


def test_07_a_training_and_its_performance(life: Life) -> None:
    iteration = life.train()
    assert (iteration.name, iteration.exportable) == ("Iteration 1", True)
    assert "ONNX" in iteration.exportable_to
    performance = life.training.get_iteration_performance(
        life.project.id, iteration.id, threshold=0.5, overlap_threshold=0.3
    )
    assert {each.name for each in performance.per_tag_performance} == set(FIGURES)
    assert performance.precision > 0.7
    assert performance.recall > 0.7
    judged = life.training.get_image_performances(life.project.id, iteration.id, take=256)
    assert judged
    assert len(judged) == life.training.get_image_performance_count(life.project.id, iteration.id)
    assert all(each.predictions is not None for each in judged)
    with pytest.raises(wire.CustomVisionErrorException) as refused:
        life.training.train_project(life.project.id)
    assert refused.value.error.code == "BadRequestTrainingNotNeeded"


def test_08_publication_and_predictions(life: Life) -> None:
    iteration = life.iterations[0]
    assert life.training.publish_iteration(life.project.id, iteration.id, "figures", "resource") is True
    assert life.training.get_iteration(life.project.id, iteration.id).publish_name == "figures"
    for figure in FIGURES:
        shown = drawing(figure, 1000)
        answer = life.ask(shown.content, "figures", store=True)
        assert (answer.project, answer.iteration) == (life.project.id, iteration.id)
        best = answer.predictions[0]
        assert (best.tag_name, best.tag_id) == (figure, life.tags[figure].id)
        assert 0.5 < best.probability <= 1
        assert [each.probability for each in answer.predictions] == sorted(
            (each.probability for each in answer.predictions), reverse=True
        )
        if life.is_detection:
            box = best.bounding_box
            assert overlap((box.left, box.top, box.width, box.height), shown.box) > 0.5
        else:
            assert sum(each.probability for each in answer.predictions) == pytest.approx(1, abs=1e-4)


def test_09_stored_predictions_become_training_images(life: Life) -> None:
    token = wire.PredictionQueryToken(order_by="Newest", iteration_id=life.iterations[0].id)
    stored = life.training.query_predictions(life.project.id, token).results
    assert len(stored) == 2
    made = {drawing(figure, 1000).content: drawing(figure, 1000) for figure in FIGURES}
    order = [made[life.download(each.original_image_uri)] for each in stored]
    entries = [
        wire.ImageIdCreateEntry(id=each.id, **life.labels(shown)) for each, shown in zip(stored, order, strict=True)
    ]
    life.keep(
        life.training.create_images_from_predictions(life.project.id, wire.ImageIdCreateBatch(images=entries)), order
    )
    life.training.delete_prediction(life.project.id, [each.id for each in stored])
    left = life.training.query_predictions(life.project.id, wire.PredictionQueryToken(order_by="Newest"))
    assert left.results == []


def test_10_another_training_learns_from_them(life: Life) -> None:
    second = life.train()
    assert second.name == "Iteration 2"
    first = life.iterations[0]
    assert life.training.get_tagged_image_count(life.project.id, iteration_id=first.id) == 42
    assert life.training.get_tagged_image_count(life.project.id, iteration_id=second.id) == 44
    names = [each.name for each in life.training.get_iterations(life.project.id)]
    assert sorted(names) == ["Iteration 1", "Iteration 2"]


def test_11_an_onnx_export_is_downloaded_and_runs(life: Life, tmp_path: Path) -> None:
    iteration = life.iterations[0]
    asked = life.training.export_iteration(life.project.id, iteration.id, "ONNX", flavor="ONNX12")
    assert (asked.platform, asked.flavor) == ("ONNX", "ONNX12")

    def ended() -> Any:
        (found,) = life.training.get_exports(life.project.id, iteration.id)
        assert found.status != "Failed"
        return found if found.status == "Done" else None

    done = until(ended, within_s=5 * MINUTES, what="the end of the export")
    with zipfile.ZipFile(io.BytesIO(life.download(done.download_uri))) as archive:
        archive.extractall(tmp_path)
    assert sorted((tmp_path / "labels.txt").read_text().split()) == sorted(FIGURES)
    labels = (tmp_path / "labels.txt").read_text().split()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for figure in FIGURES:
        shown = drawing(figure, 2000)
        theirs = life.ask(shown.content, "figures", store=False).predictions[0]
        label, score = best_of(session, shown.content)
        assert labels[label] == theirs.tag_name == figure
        assert score == pytest.approx(theirs.probability, abs=1e-3)


def best_of(session: onnxruntime.InferenceSession, content: bytes) -> tuple[int, float]:
    """Number and score of what the exported graph says first of an image, as a program on a device asks it."""
    (data,) = session.get_inputs()
    image = Image.open(io.BytesIO(content)).convert("RGB").resize(data.shape[2:], Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    found = dict(
        zip((each.name for each in session.get_outputs()), session.run(None, {data.name: pixels}), strict=True)
    )
    if "model_output" in found:
        shares = found["model_output"][0]
        return int(shares.argmax()), float(shares.max())
    return int(found["detected_classes"][0][0]), float(found["detected_scores"][0][0])


def test_12_everything_goes(life: Life) -> None:
    first, second = life.iterations
    with pytest.raises(wire.CustomVisionErrorException) as refused:
        life.training.delete_iteration(life.project.id, first.id)
    assert refused.value.error.code == "BadRequestIterationIsPublished"
    life.training.unpublish_iteration(life.project.id, first.id)
    for iteration in (first, second):
        life.training.delete_iteration(life.project.id, iteration.id)
    life.training.delete_project(life.project.id)
    with pytest.raises(wire.CustomVisionErrorException) as gone:
        life.training.get_project(life.project.id)
    assert gone.value.error.code == "NotFoundProject"
