"""Quantisation-aware training: what is rounded, that the ONNX graph is int8 and agrees, that training it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from dataloop_inference.session import onnx_runner
from dataloop_jobs.commands.export import export
from dataloop_jobs.compression.quantization import (
    WEIGHT_STEPS,
    ActivationGrid,
    calibrate,
    is_quantized,
    quantize,
    weight_scale,
)
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.exporters.onnx import convert, tolerance
from dataloop_jobs.exporters.verification import FLOAT32, compare
from dataloop_jobs.faults import BadModel, Interrupted
from dataloop_jobs.inference import torch_runner
from dataloop_jobs.model_folder import load_network, read_model
from tests.jobs.compressing import StopInTraining, built, child_of, outputs, train_here, weights_of
from tests.jobs.job_folder import SIZE, JobFolder
from tests.trained import TrainedModel

IMAGES = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)).clamp(-1, 1)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("task_type", sorted(TASK_TYPES))
def test_the_graph_of_every_task_type_is_int8_and_agrees_with_the_rounding_in_torch(
    task_type: str, tmp_path: Path
) -> None:
    task, network = built(task_type)
    wanted = outputs(network, IMAGES)
    quantized = quantize(network)
    calibrate(quantized, [IMAGES])
    for one, other in zip(outputs(quantized, IMAGES), wanted, strict=True):
        assert 0 < float((one - other).std()) < 0.5 * float(other.std())

    path = tmp_path / "model.onnx"
    convert(quantized, task, SIZE, path)
    graph = onnx.load(path).graph
    layers = [
        name for name, layer in quantized.named_modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    int8 = {item.name for item in graph.initializer if item.data_type == TensorProto.INT8}
    assert {f"{name}.weight.int8" for name in layers} <= int8
    grids = sum(isinstance(module, ActivationGrid) for module in quantized.modules())
    assert operators(path).count("QuantizeLinear") >= grids > len(layers) / 2
    agreed = tolerance(quantized, [IMAGES.numpy()])
    assert isinstance(agreed.limit, tuple)
    assert isinstance(FLOAT32.limit, float) and min(agreed.limit) > FLOAT32.limit
    compare("onnx", torch_runner(quantized, torch.device("cpu")), onnx_runner(path, 1), [IMAGES.numpy()], agreed.limit)


def test_quantising_keeps_the_names_of_the_weights_and_adds_only_ranges() -> None:
    _, network = built("detection")
    names = set(network.state_dict())
    quantized = quantize(network)
    added = set(quantized.state_dict()) - names
    assert names <= set(quantized.state_dict())
    assert added
    assert all(name.startswith("grids.") and name.endswith((".low", ".high")) for name in added)
    assert is_quantized(quantized)


def test_weights_take_at_most_63_steps_to_either_side_in_each_channel() -> None:
    _, network = built("classification")
    quantized = quantize(network)
    layer = dict(quantized.named_modules())["backbone.stem.conv"]
    scale = weight_scale(layer.weight)  # type: ignore[arg-type]
    steps = (layer.weight / scale[:, None, None, None]).abs().flatten(1).amax(dim=1)  # type: ignore[operator]
    assert torch.allclose(steps, torch.full_like(steps, WEIGHT_STEPS))


def test_a_grid_keeps_zero_follows_its_input_only_in_training_and_lets_gradients_through() -> None:
    grid = ActivationGrid().train()
    x = torch.tensor([-1.0, 0.0, 0.4, 3.0], requires_grad=True)
    y = grid(x)
    assert y[1] == 0
    assert float((y - x).detach().abs().max()) <= 4 / 255 / 2 + 1e-6
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(4))
    grid.eval()
    assert grid(torch.tensor([100.0])) == pytest.approx(3.0, abs=4 / 255)
    assert (float(grid.low), float(grid.high)) == (-1.0, 3.0)


def test_a_network_whose_steps_depend_on_its_input_is_refused() -> None:
    class Choosy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum() > 0 else x

    with pytest.raises(BadModel, match="cannot be quantised"):
        quantize(Choosy())


@pytest.fixture(scope="module")
def int8(classifier: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """The classifier, quantised and fine-tuned, without a disturbance."""
    job = child_of(classifier, tmp_path_factory.mktemp("int8") / "job", quantization="int8", compression_max_drop=1.0)
    train_here(job)
    return job


def test_a_quantised_model_is_a_quarter_of_the_size_and_reports_what_it_lost(int8: JobFolder) -> None:
    model = int8.base / "model"
    report = int8.output("compression.json")
    assert report["kind"] == "quantization"
    assert report["after_finetune"]["size_bytes"] == (model / "model.onnx").stat().st_size
    assert report["after_finetune"]["size_bytes"] < 0.35 * report["before"]["size_bytes"]
    assert report["after_finetune"]["macs"] == report["before"]["macs"]
    assert int8.output("metrics.json")["compression"]["kind"] == "quantization"
    assert "QuantizeLinear" in operators(model / "model.onnx")
    description = read_model(model).description
    assert description["quantization"] == "int8"
    assert description["onnx"]["max_abs_diff"] <= description["onnx"]["tolerance"]


def test_a_quantised_model_is_read_back_and_exported(int8: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network(read_model(int8.base / "model"))
    assert is_quantized(network)
    weights = weights_of(int8)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    output = int8.processing(int8.base / "model")
    monkeypatch.setenv("EXPORT_FORMAT", "onnx")
    export(ProcessingFolders(int8.base), StopRequest())
    assert json.loads((output / "verification.json").read_text())["passed"] is True


def test_a_float_child_of_a_quantised_parent_takes_its_weights(int8: JobFolder, tmp_path: Path) -> None:
    child = child_of(TrainedModel(int8, int8.base / "model"), tmp_path / "float", quantization="none", epochs=1)
    train_here(child)
    assert not any(name.startswith("grids.") for name in weights_of(child))
    assert "QuantizeLinear" not in operators(child.base / "model" / "model.onnx")
    assert not (child.base / "model" / "compression.json").exists()
    stem = "backbone.stages.3.0.layers.0.conv.weight"
    assert np.allclose(weights_of(child)[stem], weights_of(int8)[stem], atol=0.05)


def test_sigterm_while_training_in_int8_and_a_second_start_give_the_same_bits(
    int8: JobFolder, classifier: TrainedModel, tmp_path: Path
) -> None:
    job = child_of(classifier, tmp_path / "stopped", quantization="int8", compression_max_drop=1.0)
    with pytest.raises(Interrupted):
        train_here(job, StopInTraining(job))
    train_here(job)
    ours, theirs = weights_of(job), weights_of(int8)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (job.base / "model" / "model.onnx").read_bytes() == (int8.base / "model" / "model.onnx").read_bytes()


def test_a_format_whose_runtime_cannot_round_refuses_a_quantised_model(
    int8: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    int8.processing(int8.base / "model")
    for name in ("coreml", "torchscript"):
        monkeypatch.setenv("EXPORT_FORMAT", name)
        with pytest.raises(BadModel, match=f"{name} cannot take a model that was trained for int8"):
            export(ProcessingFolders(int8.base), StopRequest())


def test_a_parent_without_its_graph_is_refused_by_name(classifier: TrainedModel, tmp_path: Path) -> None:
    job = child_of(classifier, tmp_path / "job", quantization="int8")
    (job.base / "input" / "data" / "parent" / "model.onnx").unlink()
    with pytest.raises(BadModel, match=r"model\.onnx is missing from the parent model"):
        train_here(job)
