"""Whole jobs as real processes, under the container contract."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from dataloop_jobs.commands.export import export
from dataloop_jobs.commands.train import train
from dataloop_jobs.contract import ProcessingFolders, StopRequest, TrainingFolders, write_failure
from dataloop_jobs.faults import BadModel, BadParameter
from dataloop_jobs.model_folder import read_model, read_weights
from dataloop_jobs.parameters import Parameters
from tests.jobs.job_folder import LABELS, RUN, SIZE, JobFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A detection training that was run to its end, without a disturbance."""
    job = JobFolder(tmp_path_factory.mktemp("trained") / "job")
    job.add_scenes("train", 20).add_scenes("val", 6).add_scenes("test", 8)
    job.parameters.update(epochs=4, frozen_stages=3)
    done = job.write().run("train")
    assert done.returncode == 0, done.stderr
    return job


def without_folder(job: JobFolder, base: Path, **parameters: Any) -> JobFolder:
    """The same inputs in a new folder, with nothing done yet."""
    shutil.copytree(job.base / "input", base / "input")
    copy = JobFolder.__new__(JobFolder)
    copy.__dict__.update(job.__dict__, base=base, dataset=base / "input" / "data" / "dataset")
    copy.config, copy.images = base / "input" / "config", base / "input" / "data" / "images"
    copy.parameters = {**job.parameters, **parameters}
    return copy.write()


def train_here(job: JobFolder) -> None:
    """Train in this process, which has imported torch already."""
    folders = TrainingFolders(job.base)
    train(folders, Parameters.decode(folders.hyperparameters()), StopRequest())


def no_nan(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_a_training_leaves_every_file_of_the_contract(trained: JobFolder) -> None:
    model, output = trained.base / "model", trained.base / "output" / "data"
    assert {path.name for path in model.iterdir()} == {
        "model.pt", "model.onnx", "model.json", "label_map.json", "model_card.json", "model_card.md",
    }  # fmt: skip
    names = {
        "metrics.json", "curves.json", "confusion.json", "worst.json", "predictions.jsonl", "report.html", "history.json",
    }  # fmt: skip
    assert {path.name for path in output.iterdir()} == names
    for path in [*model.glob("*.json"), *output.glob("*.json")]:
        no_nan(path.read_text(encoding="utf-8"))
    assert not trained.failure


def test_it_learnt_something_and_says_how_much(trained: JobFolder) -> None:
    history, metrics = trained.output("history.json"), trained.output("metrics.json")
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert metrics["primary"]["name"] == "AP50"
    assert metrics["primary"]["value"] == metrics["summary"]["AP50"] > 0
    assert metrics["images"] == 8
    assert metrics["dataset"] == trained.spec["test"]
    assert set(metrics["per_class"]) == set(LABELS)
    assert sum(scores["support"] for scores in metrics["per_class"].values()) == sum(
        len(row["annotations"][0]["labels"]) for row in trained.rows["test"]
    )
    backgrounds = {row["attributes"]["background"] for row in trained.rows["test"]}
    assert set(metrics["slices"]["background"]) == backgrounds
    assert sum(part["images"] for part in metrics["slices"]["background"].values()) == 8
    curve = next(iter(trained.output("curves.json")["pr"].values()))
    assert len(curve["recall"]) == len(curve["precision"]) == 101
    assert trained.output("confusion.json")["labels"] == [*LABELS, "background"]
    assert trained.output("confusion.json")["threshold"] == metrics["threshold"]


def test_predictions_name_every_test_image_and_its_truth(trained: JobFolder) -> None:
    lines = (trained.base / "output" / "data" / "predictions.jsonl").read_text().splitlines()
    found = {line["uid"]: line for line in map(no_nan, lines)}
    assert set(found) == {row["uid"] for row in trained.rows["test"]}
    for row in trained.rows["test"]:
        wanted = [(label["label"], label["box"]) for label in row["annotations"][0]["labels"]]
        for truth, (label, box) in zip(found[row["uid"]]["truth"], wanted, strict=True):
            assert truth["label"] == label
            assert truth["box"] == pytest.approx(box, abs=1e-5)
        for prediction in found[row["uid"]]["predictions"]:
            left, top, width, height = prediction["box"]
            assert 0 <= left < left + width <= 1.000001
            assert 0 <= top < top + height <= 1.000001


def test_the_onnx_file_is_what_model_json_says_and_takes_any_batch(trained: JobFolder) -> None:
    model = read_model(trained.base / "model")
    assert model.labels == LABELS
    assert model.description["onnx"]["max_abs_diff"] <= model.description["onnx"]["tolerance"]
    assert model.description["onnx"]["samples"] == 6
    assert hashlib.sha256(model.graph.read_bytes()).hexdigest() == model.description["onnx"]["sha256"]
    assert str(RUN.parent).encode() not in model.graph.read_bytes()
    session = onnxruntime.InferenceSession(str(model.graph), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == model.description["outputs"]
    for batch in (1, 5):
        outputs = session.run(None, {"images": np.zeros((batch, 3, SIZE, SIZE), np.float32)})
        assert [output.shape for output in outputs] == [(batch, 8, SIZE // s, SIZE // s) for s in (8, 16, 32)]


def test_the_card_tells_where_the_model_comes_from(trained: JobFolder) -> None:
    card = no_nan((trained.base / "model" / "model_card.json").read_text())
    assert card["model_id"] == trained.spec["model_id"]
    assert card["data"]["train"] == trained.spec["dataset"]
    assert card["metrics"] == trained.output("metrics.json")
    assert card["training"]["chosen by"] == "highest AP50 on the val split"
    text = (trained.base / "model" / "model_card.md").read_text()
    assert "d1" in text
    assert "d2" in text


def test_progress_ends_with_done(trained: JobFolder) -> None:
    progress = json.loads((trained.base / "checkpoints" / "progress.json").read_text())
    assert (progress["phase"], progress["done"], progress["total"]) == ("done", 1, 1)


def test_evaluation_of_the_same_test_set_gives_the_same_files(trained: JobFolder) -> None:
    output = trained.processing(trained.base / "model")
    done = trained.run("evaluate")
    assert done.returncode == 0, done.stderr
    for name in ("metrics.json", "curves.json", "confusion.json", "worst.json", "predictions.jsonl", "report.html"):
        assert (output / name).read_bytes() == (trained.base / "output" / "data" / name).read_bytes()


def test_an_evaluation_with_a_baseline_compares_the_two(trained: JobFolder, tmp_path: Path) -> None:
    # given the same model as baseline
    job = JobFolder(tmp_path / "job")
    shutil.copytree(trained.base / "input", job.base / "input", dirs_exist_ok=True)
    output = job.processing(trained.base / "model")
    shutil.copytree(trained.base / "model", job.base / "processing" / "input" / "baseline")
    # when it is evaluated
    done = job.run("evaluate")
    assert done.returncode == 0, done.stderr
    # then neither is better, on every image
    comparison = no_nan((output / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["primary"]["difference"] == 0
    assert comparison["primary"]["model"] == pytest.approx(trained.output("metrics.json")["primary"]["value"], abs=1e-6)
    assert (comparison["images"], comparison["changed"]["fixed"], comparison["changed"]["broken"]) == (8, 0, 0)
    assert "Against the baseline" in (output / "report.html").read_text(encoding="utf-8")
    # and a baseline for something else is refused before any image is read
    baseline = job.base / "processing" / "input" / "baseline" / "model.json"
    description = json.loads(baseline.read_text())
    other = {"task_type": "classification", "decode": {"kind": "softmax"}}
    baseline.write_text(json.dumps(description | other))
    done = job.run("evaluate")
    assert done.returncode == 1
    assert "the baseline is a classification model, the evaluated one is for detection" in job.failure


def test_export_is_verified_and_a_spoiled_artefact_fails_with_both_numbers(trained: JobFolder, tmp_path: Path) -> None:
    output = trained.processing(trained.base / "model")
    done = trained.run("export", EXPORT_FORMAT="onnx")
    assert done.returncode == 0, done.stderr
    verification = json.loads((output / "verification.json").read_text())
    assert verification["passed"] is True
    assert verification["max_abs_diff"] <= verification["tolerance"]
    assert verification["samples"] == 8
    for name, said in verification["files"].items():
        content = (output / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (said["sha256"], said["size_bytes"])

    spoiled = tmp_path / "model"
    shutil.copytree(trained.base / "model", spoiled)
    state = torch.load(spoiled / "model.pt", weights_only=True)
    state["weights"]["head.classes.bias"] += 1
    torch.save(state, spoiled / "model.pt")
    job = JobFolder(tmp_path / "job")
    shutil.copytree(trained.base / "input", job.base / "input", dirs_exist_ok=True)
    job.processing(spoiled)
    done = job.run("export")
    assert done.returncode == 1
    assert "outputs differ from the reference by 1 on 8 samples; at most 0.001 is allowed" in job.failure


def test_an_unknown_export_format_is_named(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORT_FORMAT", "tarball")
    with pytest.raises(BadParameter, match=r"EXPORT_FORMAT='tarball': unknown; there is .*onnx"):
        export(ProcessingFolders(job.base), StopRequest())


def _train_lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout
    for line in process.stdout:
        event = json.loads(line)
        if event.get("phase") == "train":
            yield event


def test_sigterm_in_the_middle_and_a_second_start_give_the_same_model(trained: JobFolder, tmp_path: Path) -> None:
    job = without_folder(trained, tmp_path / "again")
    process = subprocess.Popen(
        [sys.executable, str(RUN), "train"], env=job.environment(), stdout=subprocess.PIPE, text=True
    )
    first = next(_train_lines(process))
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 143, rest
    assert not job.failure
    position = torch.load(job.base / "checkpoints" / "last.pt", weights_only=True)["position"]
    assert first["done"] <= position["step"] < first["total"]

    write_failure("of an earlier start", job.base)
    done = job.run("train")
    assert done.returncode == 0, done.stderr
    assert not job.failure
    ours, theirs = (
        torch.load(folder / "model" / "model.pt", weights_only=True)["weights"] for folder in (job.base, trained.base)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (job.base / "model" / "model.onnx").read_bytes() == (trained.base / "model" / "model.onnx").read_bytes()
    assert job.output("metrics.json") == trained.output("metrics.json")


def test_a_child_starts_from_its_parent_where_labels_match(trained: JobFolder, tmp_path: Path) -> None:
    job = without_folder(trained, tmp_path / "child", epochs=1, learning_rate=1e-6)
    job.labels = ("0", "1", "1b", "2")
    job.write()
    shutil.copytree(trained.base / "model", job.base / "input" / "data" / "parent")
    train_here(job)
    card = json.loads((job.base / "model" / "model_card.json").read_text())
    assert card["training"]["warm start"].endswith("3 known labels")
    # Almost without learning, the child still finds what its parent found.
    child, parent = (folder.output("metrics.json")["summary"]["AP50"] for folder in (job, trained))
    assert child == pytest.approx(parent, abs=0.02)


def test_classification_from_end_to_end(job: JobFolder) -> None:
    job.add_crops("train", 24).add_crops("val", 6).add_crops("test", 6)
    job.add("train", job.images.joinpath(job.objects[0]["key"]).read_bytes(), [])  # no label: left out
    job.parameters.update(task_type="classification", epochs=3, frozen_stages=2)
    done = job.write().run("train")
    assert done.returncode == 0, done.stderr
    metrics = job.output("metrics.json")
    assert metrics["primary"] == {"name": "accuracy", "value": metrics["summary"]["accuracy"]}
    assert metrics["primary"]["value"] > 0.4  # three classes
    assert metrics["threshold"] is None
    card = json.loads((job.base / "model" / "model_card.json").read_text())
    assert card["data"]["images without a label, left out"] == 1
    assert read_model(job.base / "model").description["decode"] == {"kind": "softmax", "threshold": None}
    line = (job.base / "output" / "data" / "predictions.jsonl").read_text().splitlines()[0]
    scores = [prediction["score"] for prediction in json.loads(line)["predictions"]]
    assert sum(scores) == pytest.approx(1, abs=1e-4)


def test_without_val_and_test_a_model_still_comes_out_and_says_what_was_not_measured(job: JobFolder) -> None:
    job.add_scenes("train", 6)
    job.parameters["epochs"] = 1
    train_here(job.write())
    metrics = job.output("metrics.json")
    assert metrics["primary"]["value"] is None
    assert metrics["images"] == 0
    assert "test split is empty" in metrics["note"]
    text = (job.base / "model" / "model_card.md").read_text()
    assert "val split is empty" in text
    assert "test split is empty" in text


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda job: job.parameters.update(learning_rat=1), ["learning_rat=1", "unknown hyperparameter"]),
        (lambda job: job.parameters.update(architecture="vgg"), ["architecture='vgg'"]),
        (lambda job: job.parameters.pop("task_type"), ["task_type", "missing"]),
        (lambda job: job.rows["train"].clear(), ["train split is empty"]),
        (
            lambda job: job.images.joinpath(job.objects[2]["key"]).write_bytes(b"\xff\xd8 broken"),
            ["another content than the manifest says"],
        ),
    ],
)
def test_a_job_that_cannot_run_says_why_and_exits_with_1(job: JobFolder, change: Any, parts: list[str]) -> None:
    job.add_scenes("train", 3)
    change(job)
    done = job.write().run("train")
    assert done.returncode == 1
    for part in parts:
        assert part in job.failure
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_named(job: JobFolder) -> None:
    assert job.run("dance").returncode == 1
    assert "['dance']" in job.failure


def test_a_spoiled_model_folder_is_named(trained: JobFolder, tmp_path: Path) -> None:
    spoiled = tmp_path / "model"
    shutil.copytree(trained.base / "model", spoiled)
    (spoiled / "model.onnx").write_bytes(b"not onnx")
    with pytest.raises(BadModel, match=r"model.onnx is not the file that model.json describes"):
        read_model(spoiled)
    (spoiled / "model.onnx").unlink()
    with pytest.raises(BadModel, match=r"model.onnx is missing"):
        read_model(spoiled)
    (spoiled / "model.json").write_text('{"format": 1}')
    with pytest.raises(BadModel, match=r"not a model description: KeyError\('task_type'\)"):
        read_model(spoiled)
    (spoiled / "model.pt").write_bytes(b"not weights")
    with pytest.raises(BadModel, match=r"model.pt cannot be read"):
        read_weights(spoiled)


def test_a_parent_that_is_no_model_is_named(job: JobFolder) -> None:
    job.add_scenes("train", 2)
    parent = job.base / "input" / "data" / "parent"
    parent.mkdir()
    (parent / "readme.txt").write_text("empty")
    with pytest.raises(BadModel, match=r"model.pt is missing from the model folder \(\['readme.txt'\]\)"):
        train_here(job.write())
