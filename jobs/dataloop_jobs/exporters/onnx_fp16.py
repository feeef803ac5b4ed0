"""ONNX with float16 weights and arithmetic: half the size; input and outputs stay float32, so clients change nothing."""

from __future__ import annotations

from pathlib import Path

from dataloop_inference.session import onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Tolerance, Verification, verify_outputs
from dataloop_jobs.model_folder import GRAPH

# Measured: 0.015 on logits up to 6.2 (EfficientNet-Lite0, detection, 160 pixels).
TOLERANCE = Tolerance(
    0.1, "float16 carries 11 bits, about 0.0005 of a value, through 60 layers; a score moves by at most 0.025"
)


def export(job: ExportJob) -> list[Path]:
    """Write model.onnx with every tensor in float16."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    # Opset 18 knows quantisation scales in float32 only.
    kept = [*DEFAULT_OP_BLOCK_LIST, "QuantizeLinear", "DequantizeLinear"]
    converted = convert_float_to_float16(onnx.load(job.model.graph), keep_io_types=True, op_block_list=kept)
    # Its casts come last in the file; the standard wants every node after what it reads.
    OnnxModel(converted).topological_sort()
    onnx.checker.check_model(converted)
    target = job.folder / GRAPH
    onnx.save(converted, target)
    return [target]


def verify(job: ExportJob) -> Verification:
    """Against the float32 graph, both by ONNX Runtime."""
    reference = onnx_runner(job.model.graph, job.threads)
    return verify_outputs("onnx_fp16", reference, onnx_runner(job.folder / GRAPH, job.threads), job.inputs(), TOLERANCE)
