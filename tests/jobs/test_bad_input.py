"""Jobs in the hands of a hostile or careless user: each wrong input ends with a message that names it, never a trace.

In this process as far as possible: run.py's own main, exit code and output/failure, without the seconds of a start.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from dataloop_inference.predictions import Prediction
from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.contract import FAILURE_LIMIT, TrainingFolders, write_failure
from dataloop_jobs.dataset import Needs, read_dataset
from dataloop_jobs.faults import BadDataset, BadModel, BadParameter, JobFault, reason
from dataloop_jobs.json_files import replace_file
from dataloop_jobs.model_folder import check_labels, read_model, read_weights, save_weights
from dataloop_jobs.parameters import Parameters
from tests.jobs.job_folder import LABELS, RUN, SIZE, JobFolder

BEYOND_FLOAT = 10**400
DEEP = "[" * 100_000
TASKS = (
    "classification",
    "detection",
    "instance_segmentation",
    "multilabel_classification",
    "semantic_segmentation",
)


@pytest.fixture(scope="module")
def entry() -> ModuleType:
    """run.py as a module."""
    spec = importlib.util.spec_from_file_location("run_entry", RUN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def failed(entry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[JobFolder, str], str]]:
    """Run a command that must fail; returns what it left in output/failure."""
    before = signal.getsignal(signal.SIGTERM)

    def run(job: JobFolder, command: str) -> str:
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.base))
        assert entry.main([command]) == 1
        assert 0 < len(job.failure) <= FAILURE_LIMIT
        assert not job.failure.startswith("unexpected"), job.failure
        return job.failure

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    yield run
    signal.signal(signal.SIGTERM, before)


# -- hyperparameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", BEYOND_FLOAT),
        ("epochs", 1e308),
        ("epochs", [1]),
        ("epochs", "many" * 2000),
        ("epochs", None),
        ("learning_rate", float("nan")),
        ("learning_rate", {}),
        ("milestones", [BEYOND_FLOAT]),
        ("milestones", [[0.5]]),
        ("max_cpu_seconds", BEYOND_FLOAT),
        ("max_cpu_seconds", -1),
        ("task_type", ["detection"]),
        ("architecture", "vgg" * 2000),
        ("pretrained", 1),
        ("n" * 10_000, 1),
    ],
)
def test_a_wrong_hyperparameter_is_named_with_its_value_and_what_is_wrong(name: str, value: Any) -> None:
    with pytest.raises(BadParameter) as caught:
        Parameters.decode({"task_type": "detection", name: value})
    text = str(caught.value)
    assert text.startswith(f"parameter {name[:80]}=")
    assert len(text) <= FAILURE_LIMIT
    assert ": must be " in text or ": unknown hyperparameter" in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", DEEP, "\udcff", '{"epochs": "1e400"}'])
def test_hyperparameters_that_are_no_object_fail_the_job(
    job: JobFolder, failed: Callable[[JobFolder, str], str], text: str
) -> None:
    job.write()
    (job.config / "hyperparameters.json").write_text(text, errors="surrogateescape")
    said = failed(job, "train")
    assert "hyperparameters.json" in said or "epochs=inf" in said


def test_missing_hyperparameters_name_what_must_be_given(
    job: JobFolder, failed: Callable[[JobFolder, str], str]
) -> None:
    assert "task_type" in failed(job, "train")


@pytest.mark.parametrize("content", ["[]", '{"hosts": 5}', '{"hosts": [1]}', '{"current_host": ["a"]}'])
def test_hosts_that_cannot_be_understood_are_named(job: JobFolder, content: str) -> None:
    (job.config / "resourceconfig.json").write_text(content)
    with pytest.raises(BadDataset, match=r"resourceconfig\.json"):
        TrainingFolders(job.base).hosts()


# -- dataset --------------------------------------------------------------------------------------------------------

Change = dict[str, Any]
RLE = {"size": [SIZE, SIZE], "counts": "PP40"}


def read_changed(job: JobFolder, needs: Needs, row: Change, label: Change) -> None:
    added = job.add("train", b"x", [("0", (0.1, 0.1, 0.5, 0.5))])
    added["annotations"][0]["labels"][0].update(label)
    added.update(row)
    read_dataset(job.write().dataset, needs=needs)


@pytest.mark.parametrize(
    "row",
    [
        {"width": "abc"},
        {"width": -5},
        {"height": float("inf")},
        {"width": [1]},
        {"sha256": 5},
        {"uid": ["a"]},
        {"attributes": [1]},
        {"annotations": {"a": 1}},
        {"annotations": [1]},
        {"annotations": [{"labels": 5}]},
        {"annotations": [{"labels": ["0"]}]},
    ],
)
def test_a_row_that_is_not_one_is_named_with_its_value(job: JobFolder, row: Change) -> None:
    with pytest.raises(BadDataset, match=r"train\.jsonl, uid ") as caught:
        read_changed(job, "nothing", row, {})
    assert next(iter(row)) in str(caught.value) or "labels" in str(caught.value)


@pytest.mark.parametrize(
    ("needs", "label", "says"),
    [
        ("nothing", {"label": ["0"]}, r"label \['0'\] is not in"),
        ("nothing", {"label": "c" * 10_000}, "is not in label_map.json"),
        ("box", {"box": [BEYOND_FLOAT, 0, 1, 1]}, "four finite numbers"),
        ("box", {"box": [float("nan"), 0, 1, 1]}, "four finite numbers"),
        ("box", {"box": list(range(9000))}, "four finite numbers"),
        ("box", {"box": [0.5, 0.5, -0.2, 0.1]}, "no area"),
        ("box", {"box": [0.5, 0.5, 1e-300, 0.1]}, "no area"),
        ("box", {"box": [0.5, 0.5, 0.9, 0.1]}, "leaves the image"),
        ("mask", {}, "no mask"),
        ("mask", {"polygons": [[BEYOND_FLOAT, 0, 1, 1, 0, 1]]}, "finite numbers"),
        ("mask", {"polygons": "x" * 9000}, "must be a list"),
        ("mask", {"polygons": [[0, 0, 1, 1]]}, "at least three points"),
        ("mask", {"mask": {**RLE, "size": [SIZE, 4]}}, "not the image's"),
        ("mask", {"mask": {**RLE, "counts": "o" * 100_000}}, "beyond any image"),
        ("mask", {"mask": {**RLE, "counts": "ü"}}, "mask counts"),
    ],
)
def test_a_label_that_cannot_be_used_is_named_in_few_words(
    job: JobFolder, needs: Needs, label: Change, says: str
) -> None:
    with pytest.raises(BadDataset, match=says) as caught:
        read_changed(job, needs, {}, label)
    assert len(str(caught.value)) < 400
    assert job.rows["train"][0]["uid"] in str(caught.value)


@pytest.mark.parametrize("name", ["train.jsonl", "objects.jsonl", "label_map.json", "spec.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{", b"[1]", DEEP.encode(), b'{"uid": "a", "label": "\\ud800"}'])
def test_a_file_that_is_not_json_is_named(job: JobFolder, name: str, content: bytes) -> None:
    job.add("train", b"x", [])
    (job.write().dataset / name).write_bytes(content)
    with pytest.raises(BadDataset, match=name):
        read_dataset(job.dataset, needs="nothing")


def test_an_image_is_learnt_from_or_scored_never_both(job: JobFolder) -> None:
    row = job.add("train", b"x", [])
    job.rows["test"].append(row)
    with pytest.raises(BadDataset, match=f"uid {row['uid']} is in test.jsonl and in train.jsonl"):
        read_dataset(job.write().dataset, needs="nothing")


def test_of_two_thousand_labels_the_one_that_is_there_twice_is_named(job: JobFolder) -> None:
    job.labels = [*map(str, range(2000)), "777"]
    with pytest.raises(BadDataset, match="holds the label '777' twice"):
        read_dataset(job.write().dataset, needs="nothing")


@pytest.mark.parametrize("task_type", TASKS)
def test_nothing_to_learn_from_fails_each_task_type(
    job: JobFolder, failed: Callable[[JobFolder, str], str], task_type: str
) -> None:
    job.parameters["task_type"] = task_type
    assert "train split is empty" in failed(job.write(), "train")
    job.add("train", b"x", [])
    said = failed(job.write(), "train")
    assert "nothing to learn" in said or "nothing to tell apart" in said


# -- images ---------------------------------------------------------------------------------------------------------


def encoded(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 30,000 × 30,000 pixels."""
    content = bytearray(encoded("RGB", (1, 1), "PNG"))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes"),
        (b"hello", "none of JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of JPEG"),
        (encoded("RGB", (64, 64), "JPEG")[:300], "cannot be decoded"),
        (bomb(), "too large"),
    ],
)
def test_an_image_that_cannot_be_used_fails_a_training_before_it_starts(
    job: JobFolder, failed: Callable[[JobFolder, str], str], content: bytes, says: str
) -> None:
    row = job.add("train", content, [("0", (0.1, 0.1, 0.5, 0.5))])
    said = failed(job.write(), "train")
    assert says in said
    assert row["uid"] in said
    assert job.objects[0]["key"] in said


@pytest.mark.parametrize("key", ["x" * 300, "../../../../etc/passwd", "a/\0/b", "."])
def test_a_key_that_is_no_file_name_is_an_image_that_is_missing(
    job: JobFolder, failed: Callable[[JobFolder, str], str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("dataloop_jobs.images._fetch", lambda row, problem: problem.encode())
    job.add("train", b"x", [("0", (0.1, 0.1, 0.5, 0.5))])
    job.objects[0]["key"] = key
    assert job.rows["train"][0]["uid"] in failed(job.write(), "train")


# -- model folders and checkpoints ----------------------------------------------------------------------------------

DESCRIPTION = {
    "format": 1,
    "task_type": "classification",
    "architecture": "efficientnet_lite0",
    "image_size": SIZE,
    "labels": list(LABELS),
    "decode": {"kind": "softmax", "threshold": None},
    "onnx": {"sha256": hashlib.sha256(b"graph").hexdigest()},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": "abc"}, "labels 'abc'"),
        ({"labels": []}, r"labels \[\]"),
        ({"image_size": 10**6}, "image_size 1000000"),
        ({"image_size": "64"}, "image_size"),
        ({"task_type": "dance"}, "model.json: parameter task_type='dance'"),
        ({"task_type": "detection"}, "decode.kind 'softmax'"),
        ({"architecture": "vgg"}, "architecture='vgg'"),
        ({"decode": {}}, "decode.kind None"),
        ({"decode": {"kind": "softmax", "threshold": float("nan")}}, "threshold nan"),
        ({"onnx": {"sha256": "0"}}, "its sha256 differs"),
        ({"format": 9}, "format 9"),
    ],
)
def test_a_model_description_that_is_wrong_says_where(tmp_path: Path, change: Change, says: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.json").write_text(json.dumps({**DESCRIPTION, **change}))
    with pytest.raises(BadModel, match=says):
        read_model(tmp_path)


def test_a_model_that_says_more_labels_than_it_names_is_refused() -> None:
    with pytest.raises(BadModel, match=r"label number 3, and model\.json names 3 labels"):
        check_labels([[], [Prediction(3, 0.5)]], LABELS)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": _Bomb()}, "could run code"),
        ({"weights": [1]}, "cannot be read"),
        ({"weights": {"a": "text"}}, "cannot be read"),
        ({"weights": {"a": torch.tensor([1.0, float("nan")])}}, "a holds values that are not finite"),
        ({"parameters": {"task_type": "detection", "new_one": 1}}, "new_one=1"),
    ],
)
def test_damaged_or_dangerous_weights_are_refused(tmp_path: Path, change: Change, says: str) -> None:
    save_weights(tmp_path, {"a": torch.zeros(2)}, Parameters.decode({"task_type": "detection"}), LABELS)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    torch.save({**content, **change}, tmp_path / "model.pt")
    with pytest.raises(BadModel, match=says):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "content", [{"identity": [1]}, {"identity": {"format": 2}}, {"identity": {"format": 2, "run": 1}, "position": {}}]
)
def test_a_checkpoint_that_lacks_its_parts_never_breaks_a_start(tmp_path: Path, content: Change) -> None:
    torch.save(content, tmp_path / "last.pt")
    folder = CheckpointFolder(tmp_path, {"run": 1})
    try:
        assert folder.load() is None
        assert (tmp_path / "last.pt.unreadable").is_file()
    except JobFault as fault:
        assert "another run (run None → 1)" in str(fault)


# -- the volume -----------------------------------------------------------------------------------------------------


def test_a_full_or_closed_volume_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model" / "model.pt"
    target.parent.mkdir()
    target.write_bytes(b"earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_file(target, b"new")
    assert reason(caught.value).startswith("model/model.pt could not be read or written: No space left on device; give")
    assert target.read_bytes() == b"earlier"
    assert [path.name for path in target.parent.iterdir()] == ["model.pt"]
    assert reason(PermissionError(13, "Permission denied", "checkpoints")).startswith("checkpoints could not be")


def test_memory_that_torch_cannot_have_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert reason(caught.value).startswith("out of memory: lower batch_size")


def test_a_reason_that_no_file_can_take_is_still_written(tmp_path: Path) -> None:
    write_failure("label '\ud800'" + "é" * 5000, tmp_path)
    assert len((tmp_path / "output" / "failure").read_text(encoding="utf-8")) == FAILURE_LIMIT


def test_the_images_channel_that_is_missing_is_named(job: JobFolder, failed: Callable[[JobFolder, str], str]) -> None:
    job.add("train", b"x", [("0", (0.1, 0.1, 0.5, 0.5))])
    shutil.rmtree(job.write().images)
    assert "input channel 'images' is missing" in failed(job, "train")
