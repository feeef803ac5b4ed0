"""TorchScript: traced and frozen, for C++ and mobile programs that carry libtorch.

torch calls TorchScript deprecated from 2.13 on, but still writes and reads it; new programs do better with ONNX.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Runner, Verification, verify_outputs
from dataloop_jobs.model_folder import load_network

SCRIPT = "model.torchscript.pt"


class _AsTuple(nn.Module):
    """A traced module may return a tuple, not a list."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(images))


def export(job: ExportJob) -> list[Path]:
    """Trace the network of model.pt with two images; the batch stays free."""
    size = job.model.image_size
    network = _AsTuple(load_network(job.model).to(memory_format=torch.contiguous_format)).eval()  # type: ignore[call-overload]
    target = job.folder / SCRIPT
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Deprecation, and notes that checks of shapes are not part of the trace: the shape is fixed.
        warnings.simplefilter("ignore")
        traced = torch.jit.freeze(torch.jit.trace(network, torch.zeros(2, 3, size, size)))
        torch.jit.save(traced, str(target))
    return [target]


def verify(job: ExportJob) -> Verification:
    """The file, loaded anew, against ONNX Runtime."""
    torch.set_num_threads(job.threads)
    reference = onnx_runner(job.model.graph, job.threads)
    candidate = _runner(job.folder / SCRIPT)
    details = {"torch": torch.__version__}
    return verify_outputs("torchscript", reference, candidate, job.inputs(), job.tolerance(reference), details=details)


def _runner(path: Path) -> Runner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(path), map_location="cpu")

    def run(images: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(images))]

    return run
