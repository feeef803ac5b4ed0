"""The graph of `onnx_end_to_end` around float16 weights and arithmetic: pixels and answers stay float32."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from dataloop_jobs.exporters import onnx_end_to_end, onnx_fp16
from dataloop_jobs.exporters.onnx_end_to_end import describe
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Verification
from dataloop_jobs.model_folder import GRAPH

__all__ = ["describe", "export", "verify"]


def export(job: ExportJob) -> list[Path]:
    """Write model.onnx: the float16 network, wrapped. Raises BadModel for masks."""
    import onnx

    (target,) = onnx_fp16.export(job)
    onnx.save(onnx_end_to_end.wrap(onnx.load(target), job.model), target)
    return [target]


def verify(job: ExportJob) -> Verification:
    """Two proofs: the float16 network against model.onnx, as `onnx_fp16`, and what is around it against that network.

    Together, not in one: suppression keeps one box or another for a difference that float16 makes by nature.
    """
    with tempfile.TemporaryDirectory() as scratch:
        inner = replace(job, folder=Path(scratch))
        onnx_fp16.export(inner)
        network = onnx_fp16.verify(inner)
        around = onnx_end_to_end.verify_around(job, inner.folder / GRAPH)
    details = {"around": {"checked": "answers", "max_abs_diff": around.agreement.max_abs_diff}}
    return replace(network, latency_ms=around.latency_ms, details=details)
