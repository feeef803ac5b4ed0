"""Quantisation-aware training: the network learns on while it computes as it will in int8.

Weights are rounded to a grid per output channel, activations to 256 steps between a lowest and a highest value that
training follows (Jacob et al., arXiv 1712.05877); rounding passes gradients straight through. Ranges are buffers of the
network, so that checkpoints, resume and model.pt hold them without knowing of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from dataloop_jobs.faults import BadModel

# Weights take -63..63 of int8's range: with full range, int8 products on x86 without VNNI overflow their 16-bit sums
# (255 × 127 × 2 > 32,767 ≥ 255 × 63 × 2), and the same model would answer differently from machine to machine.
WEIGHT_STEPS = 63
_ACTIVATION_STEPS = 255
# Share of a new batch in the running range.
_MOMENTUM = 0.05
# A range that never opened (a dead channel, an all-black image) still needs a step.
_LEAST_RANGE = 1e-4

_RECTIFIERS = {"relu", "relu6", "hardtanh", "clamp", "hardswish", "silu"}
# They hand values on without computing new ones (what was rounded before them stays rounded), or they hand on sizes.
_PASSING = {"contiguous", "dropout", "flatten", "getattr", "getitem", "identity", "pad", "reshape", "size", "view"}


class ActivationGrid(nn.Module):
    """Rounds a tensor to 256 steps of its running range; follows the range in training mode."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._follow(x.detach())
        scale, zero = self.grid()
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, _ACTIVATION_STEPS)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Step (float32) and the step number that means 0 (int32)."""
        scale = ((self.high - self.low) / _ACTIVATION_STEPS).clamp(min=_LEAST_RANGE / _ACTIVATION_STEPS)
        return scale, (-self.low / scale).round().clamp(0, _ACTIVATION_STEPS).to(torch.int32)

    def _follow(self, x: Tensor) -> None:
        # 0 is always in the range, because padding and rectifiers make exact zeros.
        lowest, highest = x.aminmax()
        low, high = lowest.float().clamp(max=0), highest.float().clamp(min=0)
        is_new = bool(self.high == self.low)
        self.low.copy_(low if is_new else torch.lerp(self.low, low, _MOMENTUM))
        self.high.copy_(high if is_new else torch.lerp(self.high, high, _MOMENTUM))


class OnnxGrid(nn.Module):
    """An `ActivationGrid` as the pair of ONNX operators; torch can export it but not compute it."""

    scale: Tensor
    zero: Tensor

    def __init__(self, grid: ActivationGrid):
        super().__init__()
        scale, zero = grid.grid()
        self.register_buffer("scale", scale.clone())
        self.register_buffer("zero", zero.to(torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.onnx.ops.symbolic(
            "QuantizeLinear", (x, self.scale, self.zero), dtype=torch.uint8, shape=x.shape, version=13
        )
        return torch.onnx.ops.symbolic(
            "DequantizeLinear", (steps, self.scale, self.zero), dtype=torch.float32, shape=x.shape, version=13
        )


def weight_scale(weight: Tensor) -> Tensor:
    """The step of each output channel: float32 (channels,)."""
    return (weight.detach().flatten(1).abs().amax(dim=1) / WEIGHT_STEPS).clamp(min=1e-9)


def _rounded(weight: Tensor) -> Tensor:
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, weight_scale(weight), zero, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


class QuantizedConv2d(nn.Conv2d):
    """A convolution whose weights are rounded before use; same tensors, same names."""

    is_rounded = False

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight if self.is_rounded else _rounded(self.weight), self.bias)


class QuantizedLinear(nn.Linear):
    """A linear layer whose weights are rounded before use; same tensors, same names."""

    is_rounded = False

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight if self.is_rounded else _rounded(self.weight), self.bias)


class _Tracer(fx.Tracer):
    """Looks into modules that hold others and takes all others as one step."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children())


def is_quantized(network: nn.Module) -> bool:
    """Whether `quantize` made this network."""
    return any(isinstance(module, ActivationGrid) for module in network.modules())


def quantize(network: nn.Module) -> fx.GraphModule:
    """The same network with rounding inserted; it shares the tensors of the given one, under the same names.

    Rounded are the weights of all convolutions and linear layers, and every tensor that is computed on the way to one
    of them, after its rectifier where it has one. What leads only to the outputs stays float.
    Ranges are empty until `calibrate` or `load_state_dict`. Raises BadModel when the network cannot be traced.
    """
    try:
        graph = _Tracer().trace(network)
    except fx.proxy.TraceError as error:
        raise BadModel(f"this architecture cannot be quantised, its steps depend on its input: {error}") from error
    traced = fx.GraphModule(network, graph)
    layers = dict(traced.named_modules())
    for node in list(graph.nodes):
        if _is_rounded(node, layers):
            name = f"grids.{node.name}"
            traced.add_submodule(name, ActivationGrid())
            with graph.inserting_after(node):
                grid = graph.call_module(name, (node,))
            node.replace_all_uses_with(grid, delete_user_cb=lambda user, own=grid: user is not own)
    for name, layer in layers.items():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            traced.set_submodule(name, _as_quantized(layer))
    traced.recompile()
    return traced.train(network.training)


def _as_quantized(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """The layer as its quantised kind, with the same tensors."""
    twin = copy.copy(layer)
    twin._parameters = dict(layer._parameters)
    twin.__class__ = QuantizedConv2d if isinstance(layer, nn.Conv2d) else QuantizedLinear
    return twin


def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Open the ranges with a few batches of network input: the start that training moves on from."""
    was_training = network.training
    network.eval()
    grids = [module for module in network.modules() if isinstance(module, ActivationGrid)]
    for grid in grids:
        grid.train()
    with torch.no_grad():
        for images in batches:
            network(images)
    network.train(was_training)


def for_export(network: nn.Module) -> nn.Module:
    """A copy that torch can export: ONNX operators for grids, rounded weights. Other networks are returned as they are."""
    if not is_quantized(network):
        return network
    plain = copy.deepcopy(network)
    for name, module in list(plain.named_modules()):
        if isinstance(module, ActivationGrid):
            plain.set_submodule(name, OnnxGrid(module))
        elif isinstance(module, (QuantizedConv2d, QuantizedLinear)):
            with torch.no_grad():
                module.weight.copy_(_rounded(module.weight))
            module.is_rounded = True
    return plain


def weight_scales(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The steps of every quantised weight tensor by its name, float32 (channels,) each."""
    return {
        f"{name}.weight": weight_scale(module.weight).cpu().numpy()
        for name, module in network.named_modules()
        if isinstance(module, (QuantizedConv2d, QuantizedLinear))
    }


def _is_rounded(node: fx.Node, layers: Mapping[str, nn.Module]) -> bool:
    """Whether a grid follows this step."""
    if node.op in ("output", "get_attr") or _operation(node, layers) in _PASSING:
        return False
    is_rectified = all(_operation(user, layers) in _RECTIFIERS for user in node.users)
    return not is_rectified and _reaches_a_layer(node, layers)


def _reaches_a_layer(node: fx.Node, layers: Mapping[str, nn.Module]) -> bool:
    pending, seen = list(node.users), set()
    while pending:
        user = pending.pop()
        if user in seen:
            continue
        seen.add(user)
        if user.op == "call_module" and isinstance(layers[str(user.target)], (nn.Conv2d, nn.Linear)):
            return True
        pending += user.users
    return False


def _operation(node: fx.Node, layers: Mapping[str, nn.Module]) -> str:
    """The step's name in lower case, whether it is a function, a method or a module."""
    if node.op == "call_module":
        return type(layers[str(node.target)]).__name__.lower()
    return str(getattr(node.target, "__name__", node.target)).lower()
