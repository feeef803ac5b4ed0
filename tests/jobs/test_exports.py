"""The formats that need no environment of their own: written, proved, and refused when they are wrong.

`make test-exports` proves the others (tests/exports).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dataloop_inference.model import LoadedModel
from dataloop_inference.server import answer
from dataloop_jobs.commands import export as command
from dataloop_jobs.commands.export import export
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from dataloop_jobs.exporters import dockerfile, onnx_end_to_end, onnx_fp16, onnx_int8, openvino, torchscript
from dataloop_jobs.exporters.verification import FLOAT32, compare, one_by_one
from dataloop_jobs.faults import BadDataset, BadParameter, VerificationFailed
from dataloop_jobs.model_folder import file_sha256
from tests.jobs.job_folder import SIZE
from tests.trained import TrainedModel

HERE = (
    "onnx",
    "onnx_fp16",
    "onnx_int8",
    "onnx_end_to_end",
    "onnx_end_to_end_fp16",
    "openvino",
    "torchscript",
    "dockerfile",
)


def run(base: Path, format: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> tuple[Path, dict[str, Any]]:
    """Export in this process; returns the output folder and verification.json."""
    for name, value in {"EXPORT_FORMAT": format, "DATALOOP_JOB_THREADS": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    folders = ProcessingFolders(base)
    export(folders, StopRequest())
    return folders.output, json.loads((folders.output / "verification.json").read_text("utf-8"))


@pytest.fixture
def detection(detector: TrainedModel, tmp_path: Path) -> Path:
    return laid_out(detector, tmp_path)


def laid_out(trained: TrainedModel, base: Path) -> Path:
    """The trained model's processing job in a folder of its own."""
    for name, source in (
        ("dataset", trained.job.dataset),
        ("images", trained.job.images),
        ("model", trained.folder),
    ):
        shutil.copytree(source, base / "processing" / "input" / name)
    return base


@pytest.mark.parametrize("format", HERE)
@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_it_is_written_and_proved(
    name: str, format: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: TrainedModel = request.getfixturevalue(name)
    # Two tiny models of 13 training images lose what they lose; the gate has a test of its own.
    output, said = run(laid_out(trained, tmp_path), format, monkeypatch, EXPORT_MAX_DROP="1")
    assert said["format"] == format
    assert said["passed"] is True
    assert 5 <= said["samples"] <= 32
    assert said["tolerance"] is None or said["max_abs_diff"] <= said["tolerance"]
    assert said["latency_ms"] > 0
    assert "images; 32 are the rule" in said["note"]
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert written == {*said["files"], "verification.json"}
    assert {"model.json", "label_map.json", "README.md"} < written
    for file, facts in said["files"].items():
        assert facts == {"sha256": file_sha256(output / file), "size_bytes": (output / file).stat().st_size}
    assert said["size_bytes"] == sum(facts["size_bytes"] for facts in said["files"].values())


@pytest.mark.parametrize("format", ["onnx", "onnx_fp16", "onnx_int8"])
def test_a_client_can_use_the_folder_as_it_is(
    classifier: TrainedModel, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = run(laid_out(classifier, tmp_path), format, monkeypatch, EXPORT_MAX_DROP="1")
    images = list(classifier.images.values())
    ours, theirs = (LoadedModel.open(folder).predict(images) for folder in (output, classifier.folder))
    for mine, wanted in zip(ours, theirs, strict=True):
        scores = {found.label: found.score for found in wanted}
        assert {found.label: found.score for found in mine} == pytest.approx(scores, abs=0.2)


def test_half_precision_and_int8_are_smaller(detection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {}
    for format in ("onnx", "onnx_fp16", "onnx_int8"):
        output, _ = run(detection, format, monkeypatch, EXPORT_MAX_DROP="1")
        sizes[format] = (output / "model.onnx").stat().st_size
    assert sizes["onnx_fp16"] < 0.55 * sizes["onnx"]
    assert sizes["onnx_int8"] < 0.35 * sizes["onnx"]


def zeroed(folder: Path) -> None:
    """Spoil an ONNX file: its largest weight becomes nothing."""
    graph = onnx.load(folder / "model.onnx")
    largest = max(graph.graph.initializer, key=lambda item: int(np.prod(item.dims)))
    values = numpy_helper.to_array(largest)
    largest.CopyFrom(numpy_helper.from_array(np.zeros_like(values), largest.name))
    onnx.save(graph, folder / "model.onnx")


def other_bias(folder: Path) -> None:
    """Spoil OpenVINO's weights: half of the file is zero."""
    content = bytearray((folder / "model.bin").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (folder / "model.bin").write_bytes(content)


def other_answers(folder: Path) -> None:
    """Spoil the archive: its server says every score twice as large."""
    path = folder / "dockerfile.zip"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    server = content["dataloop_inference/server.py"].decode()
    content["dataloop_inference/server.py"] = server.replace(
        "round(prediction.score, 6)", "2 * prediction.score"
    ).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in content.items():
            archive.writestr(name, body)


def broken_server(folder: Path) -> None:
    path = folder / "dockerfile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dataloop_inference/__init__.py", "")
        archive.writestr("dataloop_inference/server.py", "raise SystemExit('no model here')")


@pytest.mark.parametrize(
    ("module", "format", "spoil", "said"),
    [
        (
            onnx_fp16,
            "onnx_fp16",
            zeroed,
            r"onnx_fp16: outputs differ from the reference by \S+ on 5 samples; at most 0.1",
        ),
        (
            onnx_end_to_end,
            "onnx_end_to_end",
            zeroed,
            r"onnx_end_to_end: answers differ from the reference by \S+ on 5 samples; at most 0.001",
        ),
        (
            openvino,
            "openvino",
            other_bias,
            r"openvino: outputs differ from the reference by \S+ on 5 samples; at most 0.001",
        ),
        (dockerfile, "dockerfile", other_answers, r"dockerfile: answers differ from the reference by \S+ on 5 samples"),
        (dockerfile, "dockerfile", broken_server, r"dockerfile: the server did not start: no model here"),
    ],
)
def test_a_spoiled_artefact_is_not_offered(
    classifier: TrainedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    format: str,
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    whole = module.export

    def spoiled(job: Any) -> list[Path]:
        files: list[Path] = whole(job)
        spoil(job.folder)
        return files

    monkeypatch.setattr(module, "export", spoiled)
    base = laid_out(classifier, tmp_path)
    with pytest.raises(VerificationFailed, match=said):
        run(base, format, monkeypatch)
    assert not (base / "processing" / "output" / "verification.json").exists()


def test_a_torchscript_of_another_model_is_not_offered(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = torchscript.load_network

    def other(model: Any) -> Any:
        network = whole(model)
        network.classes.bias.data += 1
        return network

    monkeypatch.setattr(torchscript, "load_network", other)
    with pytest.raises(VerificationFailed, match=r"torchscript: outputs differ from the reference by 1 on"):
        run(laid_out(classifier, tmp_path), "torchscript", monkeypatch)


def test_numbers_that_are_none_never_pass() -> None:
    images = np.zeros((2, 3, SIZE, SIZE), np.float32)
    for poison in (np.nan, np.inf):
        with pytest.raises(VerificationFailed, match="differ from the reference by inf on 2 samples"):
            compare("x", lambda i: [np.ones((2, 3))], lambda i, p=poison: [np.array([[1, p, 1]] * 2)], [images], np.inf)
    with pytest.raises(VerificationFailed, match=r"shape \(2, 4\), the reference has \(2, 3\)"):
        compare("x", lambda i: [np.ones((2, 3))], lambda i: [np.ones((2, 4))], [images])
    with pytest.raises(VerificationFailed, match="no image to verify on"):
        compare("x", lambda i: [], lambda i: [], [])
    assert compare("x", lambda i: [i + 1], lambda i: [i + 1 + 1e-4], [images]).max_abs_diff <= FLOAT32.limit


def test_a_runner_of_single_images_is_given_them_one_by_one() -> None:
    seen = []

    def single(images: Any) -> list[Any]:
        seen.append(images.shape)
        return [images.sum(axis=(1, 2, 3)), images[:, 0]]

    images = np.arange(3 * 3 * 4, dtype=np.float32).reshape(3, 3, 2, 2)
    sums, first = one_by_one(single)(images)
    assert seen == [(1, 3, 2, 2)] * 3
    assert np.array_equal(sums, images.sum(axis=(1, 2, 3)))
    assert np.array_equal(first, images[:, 0])


# --- int8 -------------------------------------------------------------------------------------------------------------


def test_int8_beyond_the_allowed_drop_fails_with_both_numbers(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.85])
    monkeypatch.setattr(onnx_int8, "_accuracy", lambda job, dataset, runner: next(scores))
    with pytest.raises(
        VerificationFailed, match=r"accuracy 0.9000 before, 0.8500 after, on 5 test images; a drop of at most 0.04"
    ):
        run(laid_out(classifier, tmp_path), "onnx_int8", monkeypatch, EXPORT_MAX_DROP="0.04")


def test_int8_says_what_it_costs(classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = run(laid_out(classifier, tmp_path), "onnx_int8", monkeypatch, EXPORT_MAX_DROP="1")
    metrics = json.loads((classifier.job.base / "output" / "data" / "metrics.json").read_text())
    accuracy = said["accuracy"]
    assert said["checked"] == "accuracy"
    assert accuracy["before"] == pytest.approx(metrics["primary"]["value"])
    assert 0 <= accuracy["after"] <= 1
    assert (accuracy["metric"], accuracy["images"], accuracy["calibration_images"]) == ("accuracy", 5, 12)
    assert said["max_abs_diff"] > 0


def test_a_model_that_is_quantised_already_is_taken_as_it_is(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = laid_out(classifier, tmp_path / "first")
    output, _ = run(first, "onnx_int8", monkeypatch, EXPORT_MAX_DROP="1")
    again = laid_out(classifier, tmp_path / "again")
    for name in ("model.onnx", "model.json"):
        shutil.copyfile(output / name, again / "processing" / "input" / "model" / name)
    (again / "processing" / "input" / "dataset" / "train.jsonl").unlink()
    output, said = run(again, "onnx_int8", monkeypatch)
    assert said["max_abs_diff"] == 0
    assert said["accuracy"]["before"] == said["accuracy"]["after"]
    assert said["accuracy"]["calibration_images"] == 0


def test_int8_needs_training_images_and_labelled_test_images(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = laid_out(classifier, tmp_path)
    dataset = base / "processing" / "input" / "dataset"
    whole = (dataset / "test.jsonl").read_text("utf-8")
    rows = [json.loads(line) | {"annotations": []} for line in whole.splitlines()]
    (dataset / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(
        VerificationFailed, match=r"accuracy cannot be measured on the test split \(0 labelled images\)"
    ):
        run(base, "onnx_int8", monkeypatch)
    (dataset / "train.jsonl").write_text("")
    with pytest.raises(BadDataset, match="the train split is empty: int8 is calibrated on training images"):
        run(base, "onnx_int8", monkeypatch)
    (dataset / "train.jsonl").unlink()
    with pytest.raises(BadDataset, match=r"train.jsonl is missing"):
        run(base, "onnx_int8", monkeypatch)


@pytest.mark.parametrize("value", ["much", "-0.1", "1.5", "nan"])
def test_a_senseless_drop_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EXPORT_MAX_DROP", value)
    with pytest.raises(BadParameter, match=f"EXPORT_MAX_DROP='{value}': must be a number from 0 to 1"):
        onnx_int8.allowed_drop()


# --- the archive ------------------------------------------------------------------------------------------------------


@contextmanager
def server_with_only(packages: tuple[str, ...], archive: Path, scratch: Path) -> Iterator[str]:
    """The unpacked archive in a Python that sees the standard library and these packages, nothing else."""
    app, site = scratch / "app", scratch / "site"
    site.mkdir()
    with zipfile.ZipFile(archive) as content:
        content.extractall(app)
    for package in packages:
        found = importlib.util.find_spec(package)
        assert found and found.origin
        folder = Path(found.origin).parent
        for source in (folder, *folder.parent.glob(f"{'pillow' if package == 'PIL' else package}.libs")):
            (site / source.name).symlink_to(source)
    start = "import runpy, sys; sys.path[:0] = sys.argv[1:3]; del sys.argv[1:3]; sys.argv[0] = 'server'; "
    start += "runpy.run_module('dataloop_inference.server', run_name='__main__')"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        start,
        str(app),
        str(site),
        "--model",
        str(app / "model"),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=scratch) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())["listening"]
        finally:
            process.kill()


def test_the_archive_answers_with_three_packages_and_nothing_of_ours(
    detector: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = run(laid_out(detector, tmp_path / "job"), "dockerfile", monkeypatch)
    model = LoadedModel.open(detector.folder)
    with server_with_only(("numpy", "PIL", "onnxruntime"), output / "dockerfile.zip", tmp_path) as address:
        for content in detector.images.values():
            wanted = answer(model.predict([content])[0], model.description.labels)["predictions"]
            assert dockerfile.ask(address, content) == wanted


def test_the_archive_is_the_same_for_the_same_model(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = laid_out(classifier, tmp_path)
    first, second = (run(base, "dockerfile", monkeypatch)[0].joinpath("dockerfile.zip").read_bytes() for _ in range(2))
    assert first == second
    with zipfile.ZipFile(base / "processing" / "output" / "dockerfile.zip") as archive:
        names = archive.namelist()
        assert {"Dockerfile", "README.md", "requirements.txt", "model/model.onnx"} < set(names)
        pins = archive.read("requirements.txt").decode().split()
        assert [pin.partition("==")[0] for pin in pins] == ["numpy", "onnxruntime", "pillow"]
        assert b"USER nobody" in archive.read("Dockerfile")
    assert not [name for name in names if "__pycache__" in name or name.startswith("/")]


# --- environments -----------------------------------------------------------------------------------------------------


def test_the_readme_of_an_export_names_its_files(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, said = run(laid_out(classifier, tmp_path), "openvino", monkeypatch)
    text = (output / command.README).read_text("utf-8")
    assert [name for name in said["files"] if name != command.README and f"`{name}`" not in text] == []
    described = json.loads((output / "model.json").read_text())
    assert described["export"] == {"format": "openvino", "files": ["model.bin", "model.xml"]}
