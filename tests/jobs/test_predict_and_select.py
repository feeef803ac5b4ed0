"""The jobs that look at unlabelled images: what they write, what they refuse, and that one bad image spoils nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataloop_jobs.commands.predict import predict
from dataloop_jobs.commands.select import read_wish, select
from dataloop_jobs.commands.train import train
from dataloop_jobs.contract import ProcessingFolders, StopRequest, TrainingFolders
from dataloop_jobs.faults import BadDataset, BadModel, BadParameter, Interrupted
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.selection.uncertainty import doubts
from tests.jobs.job_folder import LABELS, SIZE, JobFolder, scenes


def trained(base: Path, task_type: str) -> Path:
    """A model folder of a short training."""
    job = JobFolder(base)
    job.parameters.update(task_type=task_type)
    for split, count in (("train", 16), ("val", 4), ("test", 4)):
        if task_type == "detection":
            job.add_scenes(split, count)
        else:
            job.add_crops(split, count)
    folders = TrainingFolders(job.write().base)
    train(folders, Parameters.decode(folders.hyperparameters()), StopRequest())
    return folders.model


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("detector") / "job", "detection")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("classifier") / "job", "classification")


def unlabelled(base: Path, model: Path | None, count: int = 9, *, bad: bytes | None = None) -> ProcessingFolders:
    """A processing job over scenes of a part that was not learnt from; a bad file goes third."""
    job = JobFolder(base)
    contents = [scene.image_bytes for scene in scenes("val", count, seed=77)]
    if bad is not None:
        contents.insert(2, bad)
    rows = [job.add("list", content, []) if "list" in job.rows else _listed(job, content) for content in contents]
    job.rows = {"train": [], "val": [], "test": []}
    job.write()
    for row in rows:
        row["group"] = f"scene {len(row['uid']) % 3}"
    text = "".join(json.dumps({name: row[name] for name in row if name != "annotations"}) + "\n" for row in rows)
    (job.dataset / "images.jsonl").write_text(text)
    if model is None:
        (base / "empty").mkdir()
    job.processing(model or base / "empty")
    return ProcessingFolders(base)


def _listed(job: JobFolder, content: bytes) -> dict[str, Any]:
    job.rows["list"] = []
    return job.add("list", content, [])


def lines(folders: ProcessingFolders) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folders.output / "predictions.jsonl").read_text().splitlines()]


def answer(folders: ProcessingFolders, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folders.output / name).read_text())
    return found


def test_every_image_has_its_line_and_a_bad_one_its_reason(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREDICT_MIN_SCORE", "0.01")
    folders = unlabelled(tmp_path / "job", detector, bad=b"no image at all")
    predict(folders, StopRequest())
    listed = [json.loads(line)["uid"] for line in (folders.input("dataset") / "images.jsonl").read_text().splitlines()]
    found = lines(folders)
    assert [line["uid"] for line in found] == listed
    assert "cannot be decoded" in found[2]["error"]
    assert listed[2] in found[2]["error"]
    boxes = [box for line in found for box in line.get("predictions", ())]
    assert boxes
    assert all(box["label"] in LABELS and 0.01 <= box["score"] <= 1 and len(box["box"]) == 4 for box in boxes)
    summary = answer(folders, "summary.json")
    assert (summary["images"], summary["failed"], summary["predictions"]) == (10, 1, len(boxes))
    assert sum(summary["labels"].values()) == len(boxes)


def test_the_least_score_is_the_models_own_unless_one_is_asked_for(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = json.loads((detector / "model.json").read_text())["decode"]["threshold"]
    folders = unlabelled(tmp_path / "job", detector)
    predict(folders, StopRequest())
    assert answer(folders, "summary.json")["min_score"] == threshold
    assert all(box["score"] >= threshold for line in lines(folders) for box in line["predictions"])
    monkeypatch.setenv("PREDICT_MIN_SCORE", "most")
    with pytest.raises(BadParameter, match="PREDICT_MIN_SCORE='most'"):
        predict(folders, StopRequest())


def test_when_no_image_can_be_used_the_job_says_why(tmp_path: Path, detector: Path) -> None:
    folders = unlabelled(tmp_path / "job", detector, count=0, bad=b"")
    with pytest.raises(BadDataset, match=r"none of the 1 images could be used.*0 bytes"):
        predict(folders, StopRequest())


def test_a_stop_request_ends_a_prediction(tmp_path: Path, detector: Path) -> None:
    stop = StopRequest()
    stop.is_requested = True
    with pytest.raises(Interrupted):
        predict(unlabelled(tmp_path / "job", detector), stop)


def wish(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("SELECTION", json.dumps({"strategy": "random", "count": 3, **fields}))


@pytest.mark.parametrize("strategy", ["uncertainty", "uncertainty_diversity", "diversity"])
def test_a_selection_is_ranked_with_reasons_and_the_same_again(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    wish(monkeypatch, strategy=strategy, count=4, seed=5)
    folders = unlabelled(tmp_path / "job", detector, bad=b"broken")
    select(folders, StopRequest())
    first = answer(folders, "selection.json")
    assert [entry["rank"] for entry in first["chosen"]] == [1, 2, 3, 4]
    assert len({entry["uid"] for entry in first["chosen"]}) == 4
    assert all(entry["reason"] for entry in first["chosen"])
    assert first["left_out"]["unusable"] == 1
    assert 4 + sum(first["left_out"].values()) == 10
    select(folders, StopRequest())
    assert answer(folders, "selection.json") == first


def test_near_duplicates_are_listed_and_only_one_of_them_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(scenes("val", 1, seed=77)[0].image_bytes)) as image:
        image.save(buffer, "JPEG", quality=60)
    wish(monkeypatch, strategy="diversity", count=20)
    folders = unlabelled(tmp_path / "job", None, bad=buffer.getvalue())
    select(folders, StopRequest())
    (twins,) = answer(folders, "duplicates.json")["groups"]
    assert len(twins) == 2
    chosen = {entry["uid"] for entry in answer(folders, "selection.json")["chosen"]}
    assert len(chosen) == 9
    assert len(chosen & set(twins)) == 1


def test_a_strategy_that_asks_a_model_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = unlabelled(tmp_path / "job", None, count=2)
    wish(monkeypatch, strategy="uncertainty")
    with pytest.raises(BadModel, match="without one"):
        select(folders, StopRequest())
    wish(monkeypatch, balance=True)
    with pytest.raises(BadParameter, match="balance"):
        select(folders, StopRequest())


def test_a_classifier_balances_by_what_it_sees(
    tmp_path: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(monkeypatch, strategy="uncertainty", count=2, balance=True, near_duplicates=True)
    folders = unlabelled(tmp_path / "job", classifier, count=12)
    select(folders, StopRequest())
    labels = [entry["label"] for entry in answer(folders, "selection.json")["chosen"]]
    assert all(label in LABELS for label in labels)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "SELECTION"),
        ("[]", "SELECTION"),
        ('{"count": 3}', "strategy=None"),
        ('{"strategy": "best", "count": 3}', "strategy='best'"),
        ('{"strategy": "random"}', "count=None"),
        ('{"strategy": "random", "count": 0}', "count=0"),
        ('{"strategy": "random", "count": true}', "count=True"),
        ('{"strategy": "random", "count": 1.5}', "count=1.5"),
        ('{"strategy": "random", "count": 1, "seed": -1}', "seed=-1"),
        ('{"strategy": "random", "count": 1, "measure": "vibe"}', "measure='vibe'"),
        ('{"strategy": "random", "count": 1, "balance": 1}', "balance=1"),
        ('{"strategy": "random", "count": 1, "limit": 1}', "limit=1"),
    ],
)
def test_a_wish_that_cannot_be_granted_names_field_and_value(text: str, named: str) -> None:
    with pytest.raises(BadParameter) as caught:
        read_wish(text)
    assert named in str(caught.value)


def test_doubt_is_highest_where_the_model_cannot_decide() -> None:
    logits = np.array([[9, 0, 0], [1, 1, 1], [5, 5, 0]], dtype=np.float32)
    for measure, expected in (("margin", [0, 1, 1]), ("entropy", [0, 1, 0.63])):
        assert doubts({"kind": "softmax"}, [logits], [], [], measure) == pytest.approx(expected, abs=0.02)
    several = np.array([[9, -9, 0.0], [9, -9, 9]], dtype=np.float32)
    for measure in ("margin", "entropy"):
        assert doubts({"kind": "sigmoid"}, [several], [], [], measure) == pytest.approx([1, 0], abs=0.01)


def test_a_box_is_most_doubtful_at_the_models_threshold() -> None:
    from dataloop_inference.predictions import Prediction

    def doubt(*scores: float) -> float:
        found = [[Prediction(0, score, (0, 0, 1, 1)) for score in scores]]
        (value,) = doubts({"kind": "fcos", "threshold": 0.3}, [], [], found, "margin")
        return value

    assert doubt(0.3) == pytest.approx(1)
    assert doubt() == 0
    assert doubt(0.9, 0.05) < doubt(0.9, 0.25) < doubt(0.9, 0.3, 0.01)


def test_pixels_outside_the_image_say_nothing_about_it() -> None:
    from dataloop_inference.images import Letterbox

    sure = np.zeros((1, 2, 8, 8), dtype=np.float32)
    sure[:, 0, :, :4] = 20  # the left half is certain, the right half (padding) is not
    fit = Letterbox.fit(50, 100, SIZE)
    assert doubts({"kind": "semantic"}, [sure], [fit], [], "margin") == pytest.approx([0], abs=1e-6)
