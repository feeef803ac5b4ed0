"""Runs a Core ML program (MIL) with torch: the check that Linux allows, since Apple's runtime exists for Apple's systems.

The program and its weights are read back from the saved package, so what is checked is what a device would get: operators,
their attributes, weights, order of outputs. What it cannot show is how a device's own arithmetic rounds (half precision on
the Neural Engine, for instance). Meaning of the operators: coremltools' documentation of MIL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from dataloop_inference.session import Outputs
from dataloop_jobs.exporters.verification import Runner
from dataloop_jobs.faults import BadModel

Inputs = Mapping[str, Any]


def program_runner(package: Path) -> Runner:
    """A saved .mlpackage as a function of one image, float32 (1, 3, S, S). Raises BadModel for an unknown operator."""
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

    model = coremltools.models.MLModel(str(package), skip_model_load=True)
    spec = model.get_spec()
    main = load(spec, spec.specificationVersion, model.weights_dir).functions["main"]
    steps = [step for step in main.operations if step.op_type != "const"]
    unknown = sorted({step.op_type for step in steps} - set(OPERATORS))
    if unknown:
        raise BadModel(f"the Core ML program uses {', '.join(unknown)}, which this check does not know")
    (source,) = main.inputs

    def run(images: NDArray[np.float32]) -> Outputs:
        values: dict[str, Tensor] = {source: torch.from_numpy(images)}
        with torch.inference_mode():
            for step in steps:
                inputs = {name: _resolved(value, values) for name, value in step.inputs.items()}
                values[step.outputs[0].name] = OPERATORS[step.op_type](inputs)
        return [values[output.name].numpy() for output in main.outputs]

    return run


def _resolved(value: Any, values: Mapping[str, Tensor]) -> Any:
    """A variable's tensor, or a constant: tensors for weights, plain Python for attributes."""
    if isinstance(value, (list, tuple)):
        return [_resolved(item, values) for item in value]
    if value is None or value.name in values:
        return None if value is None else values[value.name]
    constant = value.val
    if isinstance(constant, np.ndarray) and constant.dtype == np.float32:
        return torch.from_numpy(np.array(constant))
    return constant.tolist() if isinstance(constant, (np.ndarray, np.generic)) else constant


def _padding(inputs: Inputs, kernel: tuple[int, int]) -> list[int]:
    """(left, right, top, bottom) of a convolution."""
    kind = inputs.get("pad_type", "valid")
    if kind == "custom":
        top, bottom, left, right = inputs["pad"]
        return [left, right, top, bottom]
    if kind == "same" and list(inputs["strides"]) == [1, 1]:
        vertical, horizontal = ((side - 1) * step for side, step in zip(kernel, inputs["dilations"], strict=True))
        return [horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2]
    if kind != "valid":
        raise BadModel(
            f"a convolution with pad_type {kind!r} and strides {inputs['strides']} is not known to this check"
        )
    return [0, 0, 0, 0]


def _conv(inputs: Inputs) -> Tensor:
    weight = inputs["weight"]
    padded = F.pad(inputs["x"], _padding(inputs, tuple(weight.shape[2:])))
    return F.conv2d(
        padded,
        weight,
        inputs.get("bias"),
        stride=inputs["strides"],
        dilation=inputs["dilations"],
        groups=inputs["groups"],
    )


def _pad(inputs: Inputs) -> Tensor:
    pairs = [inputs["pad"][index : index + 2] for index in range(0, len(inputs["pad"]), 2)]
    # torch wants the last axis first.
    flat = [side for pair in reversed(pairs) for side in pair]
    return F.pad(inputs["x"], flat, value=inputs["constant_val"])


def _batch_norm(inputs: Inputs) -> Tensor:
    scale = (inputs["x"], inputs["mean"], inputs["variance"], inputs.get("gamma"), inputs.get("beta"))
    return F.batch_norm(*scale, eps=inputs["epsilon"])


def _upsample_bilinear(inputs: Inputs) -> Tensor:
    factors = [inputs["scale_factor_height"], inputs["scale_factor_width"]]
    corners = bool(inputs.get("align_corners", True))
    return F.interpolate(inputs["x"], scale_factor=factors, mode="bilinear", align_corners=corners)


def _resize_bilinear(inputs: Inputs) -> Tensor:
    if inputs["sampling_mode"] != "UNALIGN_CORNERS":
        raise BadModel(f"resize_bilinear in mode {inputs['sampling_mode']!r} is not known to this check")
    size = [inputs["target_size_height"], inputs["target_size_width"]]
    return F.interpolate(inputs["x"], size=size, mode="bilinear", align_corners=False)


def _upsample_nearest(inputs: Inputs) -> Tensor:
    factors = [inputs["scale_factor_height"], inputs["scale_factor_width"]]
    return F.interpolate(inputs["x"], scale_factor=factors, mode="nearest")


OPERATORS: Mapping[str, Callable[[Inputs], Tensor]] = {
    "add": lambda inputs: inputs["x"] + inputs["y"],
    "batch_norm": _batch_norm,
    "clip": lambda inputs: inputs["x"].clamp(inputs["alpha"], inputs["beta"]),
    "concat": lambda inputs: torch.cat(inputs["values"], dim=inputs["axis"]),
    "conv": _conv,
    "linear": lambda inputs: F.linear(inputs["x"], inputs["weight"], inputs.get("bias")),
    "mul": lambda inputs: inputs["x"] * inputs["y"],
    "pad": _pad,
    "real_div": lambda inputs: inputs["x"] / inputs["y"],
    "reduce_mean": lambda inputs: inputs["x"].mean(dim=inputs["axes"], keepdim=inputs["keep_dims"]),
    "relu": lambda inputs: F.relu(inputs["x"]),
    "relu6": lambda inputs: F.relu6(inputs["x"]),
    "reshape": lambda inputs: inputs["x"].reshape(inputs["shape"]),
    "resize_bilinear": _resize_bilinear,
    "sigmoid": lambda inputs: torch.sigmoid(inputs["x"]),
    "sqrt": lambda inputs: torch.sqrt(inputs["x"]),
    "square": lambda inputs: torch.square(inputs["x"]),
    "sub": lambda inputs: inputs["x"] - inputs["y"],
    "upsample_bilinear": _upsample_bilinear,
    "upsample_nearest_neighbor": _upsample_nearest,
}
