"""ONNX in int8: static post-training quantisation with QuantizeLinear and DequantizeLinear nodes, gated on accuracy.

The ranges come from real training images, the accuracy from the test split. What was tried on this body
(docs/exports.md has the numbers): weights per channel are worth 4 points of AP50; percentile and entropy calibration
gain nothing over the plain extremes; leaving out the depthwise layers makes it worse; the layers that make the outputs
stay in float32, which costs under one per cent of the size.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.session import onnx_runner
from dataloop_jobs.dataset import Dataset, Row, read_dataset
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Runner, Tolerance, Verification, verify_outputs
from dataloop_jobs.faults import BadDataset, BadParameter, VerificationFailed
from dataloop_jobs.inference import input_batches, predict
from dataloop_jobs.model_folder import GRAPH
from dataloop_jobs.process import without_chatter

if TYPE_CHECKING:
    import onnx

DROP_VARIABLE = "EXPORT_MAX_DROP"
# Two points of the primary metric: what a client would hardly see, and well above what the seed of a training moves.
ALLOWED_DROP = 0.02
# More images change the extremes no further (measured: 48 and 100 differ by 0.0003 of AP50).
CALIBRATION_IMAGES = 100
_UNGATED = Tolerance(math.inf, "int8 moves raw outputs by design; what counts is the accuracy it costs, see accuracy")


def export(job: ExportJob) -> list[Path]:
    """Quantise model.onnx. A graph that is quantised already (quantisation-aware training) is taken as it is.

    Raises BadDataset without training images to calibrate on. Cost: about ten runs of 100 images.
    """
    import onnx

    target = job.folder / GRAPH
    graph = onnx.load(job.model.graph)
    if is_quantised(graph):
        onnx.save(graph, target)
    else:
        _quantise(job, target)
    return [target]


def verify(job: ExportJob) -> Verification:
    """Accuracy on the test split, before and after. Raises VerificationFailed, with both, beyond the allowed drop."""
    import onnx

    allowed = allowed_drop()
    reference, candidate = onnx_runner(job.model.graph, job.threads), onnx_runner(job.folder / GRAPH, job.threads)
    outputs = verify_outputs("onnx_int8", reference, candidate, job.inputs(), _UNGATED)
    task = job.model.task
    dataset = read_dataset(job.dataset, needs=task.needs, splits=("test",), labels=job.model.labels)
    before, after = (_accuracy(job, dataset, run) for run in (reference, candidate))
    images = len(task.usable(dataset.test))
    said = f"{task.primary_name} {before:.4f} before, {after:.4f} after, on {images} test images"
    if not before - after <= allowed:
        raise VerificationFailed(
            f"onnx_int8: {said}; a drop of at most {allowed:g} is allowed ({DROP_VARIABLE}). Export onnx_fp16, or "
            "train with quantization=int8"
        )
    accuracy = {
        "metric": task.primary_name,
        "before": before,
        "after": after,
        "max_drop": allowed,
        "images": images,
        "calibration_images": 0 if is_quantised(onnx.load(job.model.graph)) else len(_calibration_rows(job)),
    }
    return Verification(
        "accuracy",
        "onnx",
        outputs.agreement,
        _UNGATED.reason,
        outputs.latency_ms,
        outputs.reference_latency_ms,
        {"accuracy": accuracy},
    )


def allowed_drop() -> float:
    """The allowed loss of the primary metric. Raises BadParameter."""
    text = os.environ.get(DROP_VARIABLE, "") or str(ALLOWED_DROP)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BadParameter(DROP_VARIABLE, text, "must be a number from 0 to 1")
    return value


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether the graph holds quantised layers already."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _quantise(job: ExportJob, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = (images for images, _ in input_batches(_calibration_rows(job), job.store))
    with tempfile.TemporaryDirectory() as scratch, without_chatter():
        prepared = Path(scratch) / GRAPH
        # Symbolic shape inference gives up on group normalisation's reshapes; the plain one suffices.
        quant_pre_process(str(job.model.graph), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Reader(onnx.load(prepared).graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_output_layers(prepared),
        )


class _Reader:
    """ONNX Runtime's calibration interface over network inputs."""

    def __init__(self, name: str, inputs: Iterator[NDArray[np.float32]]):
        self._name, self._inputs = name, inputs

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, or None at the end."""
        images = next(self._inputs, None)
        return None if images is None else {self._name: images}


def _calibration_rows(job: ExportJob) -> list[Row]:
    if not (job.dataset / "train.jsonl").is_file():
        raise BadDataset("train.jsonl is missing from the dataset input: int8 is calibrated on training images")
    rows = read_dataset(job.dataset, needs="nothing", splits=("train",), labels=job.model.labels).train
    if not rows:
        raise BadDataset("the train split is empty: int8 is calibrated on training images")
    return list(rows[:CALIBRATION_IMAGES])


def _output_layers(path: Path) -> list[str]:
    """Names of the layers that make the outputs: their errors reach the client with nothing in between to even out."""
    import onnx

    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    last = [makers[output.name] for output in graph.output]
    joined = [makers[name] for node in last if node.op_type == "Concat" for name in node.input]
    return [node.name for node in (*last, *joined)]


def _accuracy(job: ExportJob, dataset: Dataset, run: Runner) -> float:
    """The primary metric on the test split. Raises VerificationFailed when it cannot be computed."""
    model = job.model
    rows = model.task.usable(dataset.test)
    found = predict(run, model.task, rows, job.store, model.decode_settings) if rows else []
    labels = (*dataset.labels, *dataset.unknown_labels)
    value = model.task.score(rows, found, labels, model.threshold).primary if rows else None
    if value is None:
        raise VerificationFailed(
            f"onnx_int8: {model.task.primary_name} cannot be measured on the test split ({len(rows)} labelled images), "
            "so nothing says what int8 costs; give the model a test split with labels of its own"
        )
    return float(value)
