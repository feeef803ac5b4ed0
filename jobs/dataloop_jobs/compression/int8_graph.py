"""The ONNX form of a quantised network: weights stored as int8, each followed by its DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def store_int8(model: onnx.ModelProto, scales: Mapping[str, NDArray[np.float32]]) -> None:
    """Replace float weights, in place, by int8 ones with a step per output channel: a quarter of the bytes.

    scales: for each weight's name float32 (channels,), the first axis of the weight. The weights must lie on their
    grid already; then the graph computes the same as before.
    """
    graph = model.graph
    nodes, stored = [], []
    for weight in graph.initializer:
        if weight.name not in scales:
            stored.append(weight)
            continue
        scale = scales[weight.name].astype(np.float32)
        values = numpy_helper.to_array(weight)
        steps = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        names = [f"{weight.name}.{part}" for part in ("int8", "scale", "zero")]
        arrays: tuple[NDArray[Any], ...] = (steps, scale, np.zeros(len(scale), np.int8))
        stored += [numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=True)]
        nodes.append(onnx.helper.make_node(DEQUANTIZE, names, [weight.name], name=weight.name, axis=0))
    del graph.initializer[:]
    graph.initializer.extend(stored)
    computed = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *computed])
