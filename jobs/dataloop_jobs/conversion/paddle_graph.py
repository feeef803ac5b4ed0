"""An ONNX graph as a Paddle static program. X2Paddle, the converter of the Paddle project, stopped at onnx 1.17 and sends
usage data home; our networks need a dozen operators, so they are translated here, one small function each.

`paddle` is imported by the caller and passed in: importing it takes seconds and prints.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.faults import BadModel

if TYPE_CHECKING:
    import onnx

Value = Any
Constants = dict[str, NDArray[Any]]


@dataclass
class Translation:
    """The state of one translation. values: Paddle variables by ONNX name. weights: what to set before saving."""

    paddle: Any
    constants: Constants
    values: dict[str, Value]
    weights: dict[str, NDArray[Any]]

    def constant(self, name: str) -> NDArray[Any]:
        """A constant's value; most attributes of newer opsets are constant inputs. Raises BadModel."""
        if name not in self.constants:
            raise BadModel(f"{name!r} must be a constant to be translated to Paddle")
        return self.constants[name]

    def value(self, name: str) -> Value:
        """A Paddle variable; a constant becomes a parameter of the program the first time it is asked for."""
        if name not in self.values:
            content = self.constant(name).astype(np.float32)
            self.values[name] = self.parameter(content if content.ndim else content.reshape(1))
        return self.values[name]

    def parameter(self, content: NDArray[Any]) -> Value:
        """A weight of the program."""
        name = f"weight_{len(self.weights)}"
        self.weights[name] = np.ascontiguousarray(content, dtype=np.float32)
        return self.paddle.static.create_parameter(list(content.shape), "float32", name=name)


Operator = Callable[[Translation, "onnx.NodeProto", Mapping[str, Any]], Value]


def translate(paddle: Any, model: onnx.ModelProto, source: Value) -> tuple[list[Value], dict[str, NDArray[Any]]]:
    """Append the graph to the current static program.

    source: the Paddle variable that feeds the graph's only input. Returns the outputs, in the graph's order, and the
    weights to set by name after the start-up program ran. Raises BadModel naming an operator that is not translated.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    state = Translation(paddle, constants, {graph.input[0].name: source}, {})
    for node in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Constant":
            state.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        translated = OPERATORS.get(node.op_type)
        if translated is None:
            raise BadModel(f"the graph's operator {node.op_type} has no translation to Paddle; export another format")
        result = translated(state, node, attributes)
        if isinstance(result, np.ndarray):
            state.constants[node.output[0]] = result
        else:
            state.values[node.output[0]] = result
    return [state.value(item.name) for item in graph.output], state.weights


def _conv(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return state.paddle.nn.functional.conv2d(
        state.value(node.input[0]),
        state.value(node.input[1]),
        bias=state.value(node.input[2]) if len(node.input) > 2 and node.input[2] else None,
        stride=list(attributes.get("strides", (1, 1))),
        padding=[top, bottom, left, right],
        dilation=list(attributes.get("dilations", (1, 1))),
        groups=attributes.get("group", 1),
    )


def _gemm(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    weight = state.constant(node.input[1])
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise BadModel(f"Gemm {node.name!r} scales or transposes its input: not translated to Paddle")
    plain = weight.T if attributes.get("transB", 0) else weight
    bias = state.value(node.input[2]) if len(node.input) > 2 else None
    return state.paddle.nn.functional.linear(state.value(node.input[0]), state.parameter(plain), bias)


def _clip(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    low, high = (float(state.constant(name)) for name in node.input[1:3])
    # Not relu6, even where it is one: Paddle Lite asks that operator for a limit which Paddle 3 no longer writes.
    return state.paddle.clip(state.value(node.input[0]), low, high)


def _pad(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    pads = state.constant(node.input[1]).tolist()
    _, _, top, left, _, _, bottom, right = pads
    value = float(state.constant(node.input[2])) if len(node.input) > 2 and node.input[2] else 0.0
    return state.paddle.nn.functional.pad(state.value(node.input[0]), [left, right, top, bottom], value=value)


def _resize(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    """Nearest by a whole factor, or linear by pixel centres: what torch's interpolate writes."""
    value = state.value(node.input[0])
    modes = {b"nearest": "nearest", b"linear": "bilinear"}
    ways = {"nearest": (b"asymmetric",), "bilinear": (b"half_pixel", b"pytorch_half_pixel")}
    mode = modes.get(attributes.get("mode", b"nearest"), "")
    if attributes.get("coordinate_transformation_mode", b"half_pixel") not in ways.get(mode, ()):
        raise BadModel(f"Resize {node.name!r} works in a way that is not translated to Paddle")
    if len(node.input) > 3 and node.input[3]:
        size = [int(number) for number in state.constant(node.input[3])[2:]]
    else:
        factors = state.constant(node.input[2])[2:]
        size = [round(float(side) * float(factor)) for side, factor in zip(value.shape[2:], factors, strict=True)]
    return state.paddle.nn.functional.interpolate(value, size=size, mode=mode, align_corners=False)


def _reduce_mean(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    axes = state.constant(node.input[1]).tolist() if len(node.input) > 1 else list(attributes["axes"])
    return state.paddle.mean(state.value(node.input[0]), axis=axes, keepdim=bool(attributes.get("keepdims", 1)))


def _instance_norm(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    """(N, groups, length): what a group normalisation becomes between two reshapes."""
    value = state.value(node.input[0])
    mean = state.paddle.mean(value, axis=[-1], keepdim=True)
    centred = value - mean
    variance = state.paddle.mean(centred * centred, axis=[-1], keepdim=True)
    normal = centred / state.paddle.pow(variance + float(attributes.get("epsilon", 1e-5)), 0.5)
    scale, shift = (state.constant(name).reshape(1, -1, 1) for name in node.input[1:3])
    if not np.all(scale == 1):
        normal = normal * state.parameter(scale)
    return normal + state.parameter(shift) if np.any(shift) else normal


def _shape(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    """Known but for the batch, which a reshape copies (0)."""
    return np.array([0, *(int(side) for side in state.value(node.input[0]).shape[1:])])


def _reshape(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    return state.paddle.reshape(state.value(node.input[0]), [int(side) for side in state.constant(node.input[1])])


def _concat(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    return state.paddle.concat([state.value(name) for name in node.input], axis=attributes["axis"])


def _scaled(state: Translation, node: onnx.NodeProto, rank: int, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scale and zero point, shaped to multiply along the axis."""
    scale = state.constant(node.input[1]).astype(np.float32)
    zero = state.constant(node.input[2]).astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
    shape = [1] * rank
    if scale.ndim:
        shape[axis] = scale.size
    return scale.reshape(shape), zero.reshape(shape)


def _quantize(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    """Values stay in float32 but take the steps of the integer type."""
    value = state.value(node.input[0])
    limits = np.iinfo(state.constant(node.input[2]).dtype if len(node.input) > 2 else np.uint8)
    scale, zero = _scaled(state, node, 1, 0)
    steps = _append(state, "round", value / float(scale[0])) + float(zero[0])
    return state.paddle.clip(steps, float(limits.min), float(limits.max))


def _dequantize(state: Translation, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Value:
    name = node.input[0]
    if name in state.constants:
        content = state.constants[name]
        scale, zero = _scaled(state, node, content.ndim, attributes.get("axis", 1))
        return np.asarray((content.astype(np.float32) - zero) * scale, dtype=np.float32)
    scale, zero = _scaled(state, node, 1, 0)
    return (state.value(name) - float(zero[0])) * float(scale[0])


def _append(state: Translation, kind: str, value: Value) -> Value:
    """Append an elementwise operator by name: Paddle 3 calls some of them only in its newer program format."""
    helper = state.paddle.base.layer_helper.LayerHelper(kind)
    result = helper.create_variable_for_type_inference("float32")
    helper.append_op(type=kind, inputs={"X": [value]}, outputs={"Out": [result]})
    return result


def _unary(kind: str) -> Operator:
    return lambda state, node, attributes: _append(state, kind, state.value(node.input[0]))


def _binary(apply: Callable[[Value, Value], Value]) -> Operator:
    return lambda state, node, attributes: apply(*(state.value(name) for name in node.input))


OPERATORS: Mapping[str, Operator] = {
    "Add": _binary(operator.add),
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": _binary(operator.truediv),
    "Gemm": _gemm,
    "Identity": lambda state, node, attributes: state.value(node.input[0]),
    "InstanceNormalization": _instance_norm,
    "Mul": _binary(operator.mul),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMean": _reduce_mean,
    "Relu": _unary("relu"),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _unary("sigmoid"),
    "Sub": _binary(operator.sub),
}
