"""OpenVINO IR for Intel's processors and accelerators: model.xml and model.bin, float32 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Runner, Verification, verify_outputs

IR = "model.xml"


def export(job: ExportJob) -> list[Path]:
    """Convert model.onnx; the batch stays dynamic. A quantised graph keeps its int8 weights."""
    import openvino

    target = job.folder / IR
    openvino.save_model(openvino.convert_model(str(job.model.graph)), target, compress_to_fp16=False)
    return [target, target.with_suffix(".bin")]


def verify(job: ExportJob) -> Verification:
    """Against ONNX Runtime, with float32 arithmetic asked for: by default OpenVINO takes what the processor has best
    (bfloat16 on newer ones), which is a client's choice and not the artefact's."""
    import openvino

    reference = onnx_runner(job.model.graph, job.threads)
    candidate = _runner(job.folder / IR, job.threads)
    details = {"openvino": openvino.__version__, "inference_precision": "f32"}
    return verify_outputs("openvino", reference, candidate, job.inputs(), job.tolerance(reference), details=details)


def _runner(path: Path, threads: int) -> Runner:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(images: NDArray[np.float32]) -> Outputs:
        result = compiled(images)
        return [np.array(result[port]) for port in compiled.outputs]

    return run
