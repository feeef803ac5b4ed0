"""LiteRT (TensorFlow Lite): one .tflite file for Android, microcontrollers and browsers. Through litert-torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Runner, Verification, one_by_one, verify_outputs
from dataloop_jobs.model_folder import load_network
from dataloop_jobs.process import without_chatter

FLATBUFFER = "model.tflite"


def export(job: ExportJob) -> list[Path]:
    """Convert the network of model.pt; the batch is fixed to one image, the layout stays N×3×S×S."""
    import litert_torch

    size = job.model.image_size
    network = load_network(job.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    target = job.folder / FLATBUFFER
    with without_chatter():
        converted = litert_torch.convert(network.eval(), (torch.zeros(1, 3, size, size),))
        converted.export(str(target))
    return [target]


def verify(job: ExportJob) -> Verification:
    """LiteRT's own interpreter against ONNX Runtime."""
    from importlib.metadata import version

    reference = onnx_runner(job.model.graph, job.threads)
    candidate = one_by_one(_runner(job.folder / FLATBUFFER, job.threads))
    details = {name: version(name) for name in ("litert-torch", "ai-edge-litert")}
    return verify_outputs("litert", reference, candidate, job.inputs(), job.tolerance(reference), details=details)


def _runner(path: Path, threads: int) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    signature = interpreter.get_signature_runner()
    (source,) = signature.get_input_details()
    # Named output_0, output_1, … in the network's order.
    names = sorted(signature.get_output_details(), key=lambda name: int(name.rpartition("_")[2]))

    def run(images: NDArray[np.float32]) -> Outputs:
        outputs = signature(**{source: images})
        return [np.array(outputs[name]) for name in names]

    return run
