"""ONNX: the canonical artefact of every training, and the first export format."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from dataloop_inference.session import onnx_runner
from dataloop_jobs.compression.int8_graph import store_int8
from dataloop_jobs.compression.quantization import for_export, is_quantized, weight_scales
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import FLOAT32, Tolerance, Verification, rounded, verify_outputs
from dataloop_jobs.inference import torch_runner
from dataloop_jobs.json_files import replace_file
from dataloop_jobs.model_folder import GRAPH, load_network
from dataloop_jobs.process import without_chatter
from dataloop_jobs.task_types.surface import TaskType

# The lowest set that holds every operator of our networks as the exporter writes them; ONNX Runtime ≥ 1.14 reads it.
OPSET = 18
INPUT = "images"


def convert(network: nn.Module, task: TaskType, image_size: int, path: Path) -> None:
    """Write the network (in evaluation mode, on the CPU) as ONNX; the batch is dynamic, the image size is fixed.

    Cost: about 5 s, most of it the first import of the exporter.
    """
    sample = torch.zeros(2, 3, image_size, image_size)
    # torch.export refuses channels-last parameters in some versions and gains nothing from them.
    plain = for_export(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with without_chatter():
        program = torch.onnx.export(
            plain,
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(task.output_names),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
        assert program is not None
        graph = program.model_proto
    _strip_traces(graph)
    store_int8(graph, weight_scales(network))
    onnx.checker.check_model(graph)
    replace_file(path, graph.SerializeToString(deterministic=True))


def tolerance(network: nn.Module, batches: Iterable[NDArray[np.float32]]) -> Tolerance:
    """How far ONNX Runtime's outputs for these batches may be from those of the network (on the CPU)."""
    return rounded(torch_runner(network, torch.device("cpu")), batches) if is_quantized(network) else FLOAT32


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: stack traces with this machine's paths, twice the size of the graph itself."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def export(job: ExportJob) -> list[Path]:
    """The model's own graph, as it is."""
    target = job.folder / GRAPH
    shutil.copyfile(job.model.graph, target)
    return [target]


def verify(job: ExportJob) -> Verification:
    """The artefact against torch with the weights of model.pt."""
    network = load_network(job.model)
    reference = torch_runner(network, torch.device("cpu"))
    candidate = onnx_runner(job.folder / GRAPH, job.threads)
    return verify_outputs("onnx", reference, candidate, job.inputs(), tolerance(network, job.inputs()), against="torch")
