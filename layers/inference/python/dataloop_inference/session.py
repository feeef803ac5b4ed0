"""An ONNX graph as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dataloop_inference.faults import UnusableModel

Outputs = list[NDArray[np.float32]]


def onnx_runner(graph: Path | bytes, threads: int) -> Callable[[NDArray[np.float32]], Outputs]:
    """An ONNX file, or its bytes, as a function on numpy arrays, on the CPU; it may be called from several threads.

    Raises UnusableModel when the graph cannot be loaded, and the function when it cannot be run.
    """
    name = graph.name if isinstance(graph, Path) else "the ONNX graph"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Idle threads sleep instead of burning a core that another process may want.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        source = str(graph) if isinstance(graph, Path) else graph
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises kinds of its own for each sort of damage
        raise UnusableModel(f"{name} cannot be loaded by ONNX Runtime: {error}") from error
    inputs = [entry.name for entry in session.get_inputs()]
    if len(inputs) != 1:
        raise UnusableModel(f"{name} has the inputs {inputs}; one is expected")

    def run(images: NDArray[np.float32]) -> Outputs:
        try:
            outputs: Outputs = session.run(None, {inputs[0]: images})
        except Exception as error:  # the same
            raise UnusableModel(f"{name} cannot be run by ONNX Runtime: {error}") from error
        return outputs

    return run
