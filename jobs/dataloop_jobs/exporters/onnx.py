"""ONNX: the canonical artefact of every training, and the first export format."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from dataloop_jobs.inference import Outputs, onnx_runner, torch_runner
from dataloop_jobs.json_files import replace_file
from dataloop_jobs.model_folder import DESCRIPTION, GRAPH, LABELS, Model, read_weights
from dataloop_jobs.task_types.surface import TaskType

# What is compared with what when the artefact is verified.
REFERENCE = "torch"
# The lowest set that holds every operator of our networks as the exporter writes them; ONNX Runtime ≥ 1.14 reads it.
OPSET = 18
INPUT = "images"


def convert(network: nn.Module, task: TaskType, image_size: int, path: Path) -> None:
    """Write the network (in evaluation mode, on the CPU) as ONNX; the batch is dynamic, the image size is fixed.

    Cost: about 5 s, most of it the first import of the exporter.
    """
    sample = torch.zeros(2, 3, image_size, image_size)
    # torch.export refuses channels-last parameters in some versions and gains nothing from them.
    plain = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with _quiet():
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
    onnx.checker.check_model(graph)
    replace_file(path, graph.SerializeToString(deterministic=True))


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: stack traces with this machine's paths, twice the size of the graph itself."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def export(model: Model, folder: Path) -> list[Path]:
    """Write the artefact's files into `folder`."""
    files = [folder / name for name in (GRAPH, DESCRIPTION, LABELS)]
    for file in files:
        shutil.copyfile(model.folder / file.name, file)
    return files


def runners(
    model: Model, folder: Path, threads: int
) -> tuple[Callable[[NDArray[np.float32]], Outputs], Callable[[NDArray[np.float32]], Outputs]]:
    """(reference, artefact) as functions on network input: torch from model.pt, ONNX Runtime from the artefact."""
    saved = read_weights(model.folder)
    network = model.task.build(saved.parameters, len(saved.labels), pretrained=False)
    network.load_state_dict(saved.weights)
    network.eval()
    return torch_runner(network, torch.device("cpu")), onnx_runner(folder / GRAPH, threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints emoji and deprecations of its own parts; neither is news to a job's log."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
