"""ONNX with preparation and decoding inside: pixels in, probabilities or boxes out, as programs for devices expect them.

The interface is that of the models that Custom Vision exports from its compact [S1] domains: one input of RGB pixels from 0
to 255; `model_output` (N, labels) of a classifier; `detected_boxes` (1, n, 4) as left, top, right, bottom in shares of the
input, `detected_scores` (1, n) and `detected_classes` (1, n) of a detector, best first. What it wants of pixels stands in
the file's metadata, in the words of Windows ML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.decoding import decode
from dataloop_inference.images import PAD_VALUE, Letterbox
from dataloop_inference.predictions import Prediction
from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Agreement, Tolerance, Verification, latency_ms
from dataloop_jobs.faults import BadModel, VerificationFailed
from dataloop_jobs.model_folder import GRAPH, Model

if TYPE_CHECKING:
    import onnx

INPUT, SCORES = "data", "model_output"
BOXES = ("detected_boxes", "detected_classes", "detected_scores")
METADATA = {
    "Image.BitmapPixelFormat": "Rgb8",
    "Image.ColorSpaceGamma": "SRGB",
    "Image.NominalPixelRange": "NominalRange_0_255",
}
# Scores and shares; both sides compute in float32, only in another order.
_LIMIT = 1e-3
TOLERANCE = Tolerance(_LIMIT, "the same float32 arithmetic in another order, on scores and shares of the image")
# What a network adds beside boxes has no place in this interface.
_ACTIVATIONS = {"softmax": "Softmax", "sigmoid": "Sigmoid"}
# exp(8) strides are more than any image; as in decoding.
_FARTHEST = 8.0


def export(job: ExportJob) -> list[Path]:
    """Write model.onnx with pixels as input and answers as outputs. Raises BadModel for masks, which have no place in it."""
    import onnx

    target = job.folder / GRAPH
    onnx.save(wrap(onnx.load(job.model.graph), job.model), target)
    return [target]


def describe(description: Mapping[str, Any]) -> dict[str, Any]:
    """model.json of this artefact: the pixels stay as they are, and there is nothing left to decode."""
    plain = {**description["preprocess"], "mean": [0] * 3, "std": [1] * 3}
    return {**description, "preprocess": plain, "decode": {"kind": "end_to_end"}}


def verify(job: ExportJob) -> Verification:
    """Its answers against those of the model's own graph."""
    return verify_around(job, job.model.graph)


def verify_around(job: ExportJob, network: Path) -> Verification:
    """Its answers against those of the network inside, decoded by the code that serves predictions.

    Raises VerificationFailed.
    """
    model = job.model
    reference, candidate = onnx_runner(network, job.threads), onnx_runner(job.folder / GRAPH, job.threads)
    size, apart, samples = model.image_size, 0.0, 0
    fit = Letterbox(size, size, size, size)
    for batch in job.inputs():
        for image in batch:
            (wanted,) = decode(model.decode_settings, reference(image[None]), [fit])
            got = answers(candidate(_pixels(image[None])))
            apart = max(apart, difference(wanted, got, model.threshold, _LIMIT))
            samples += 1
    if not apart <= _LIMIT:
        raise VerificationFailed(
            f"onnx_end_to_end: answers differ from the reference by {apart:.3g} on {samples} samples; "
            f"at most {_LIMIT:g} is allowed"
        )
    first = next(iter(job.inputs()))[:1]
    agreement = Agreement(samples, apart, _LIMIT)
    spent = latency_ms(candidate, _pixels(first)), latency_ms(reference, first)
    return Verification("answers", "onnx", agreement, TOLERANCE.reason, *spent)


def _pixels(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's input back to pixels: exact, they are whole numbers."""
    return np.asarray(np.round(images * 128 + PAD_VALUE), dtype=np.float32)


def answers(outputs: Outputs) -> list[Prediction]:
    """Outputs of one image as predictions, boxes as (left, top, width, height); one without area is nothing."""
    if len(outputs) == 1:
        return [Prediction(label, float(score)) for label, score in enumerate(outputs[0][0])]
    boxes, classes, scores = (output[0] for output in outputs)
    return [
        Prediction(int(label), float(score), (left, top, right - left, bottom - top))
        for (left, top, right, bottom), label, score in zip(boxes.tolist(), classes, scores, strict=True)
        if right > left and bottom > top
    ]


def difference(wanted: Sequence[Prediction], got: Sequence[Prediction], threshold: float, margin: float) -> float:
    """The largest difference of a score or side between each prediction that counts and the nearest of its label.

    Infinite when one has no counterpart. Those within `margin` of the threshold may count on one side only.
    """
    largest = 0.0
    for ours, theirs in ((wanted, got), (got, wanted)):
        for one in ours:
            if one.score >= threshold + margin:
                distances = [_distance(one, other) for other in theirs if other.label == one.label]
                largest = max(largest, min(distances, default=np.inf))
    return largest


def _distance(one: Prediction, other: Prediction) -> float:
    sides = zip(one.box or (), other.box or (), strict=True)
    return max([abs(one.score - other.score), *(abs(a - b) for a, b in sides)])


def wrap(network: onnx.ModelProto, model: Model) -> onnx.ModelProto:
    """The graph between what turns pixels into its input and what turns its outputs into answers. Raises BadModel."""
    import onnx

    settings = model.decode_settings
    kind = settings["kind"]
    if kind not in (*_ACTIVATIONS, "fcos"):
        raise BadModel(f"onnx_end_to_end takes classification and detection; {model.task.name} has masks: export onnx")
    graph = network.graph
    inner = graph.input[0].name
    before, after = _Nodes(graph, "before"), _Nodes(graph, "after")
    shifted = before.add("Sub", INPUT, before.constant(np.float32(PAD_VALUE)))
    before.add("Div", shifted, before.constant(np.float32(128)), output=inner)
    raw = [output.name for output in graph.output]
    size = model.image_size
    batch: int | str = 1 if kind == "fcos" else "batch"
    del graph.input[:], graph.output[:]
    graph.input.append(onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [batch, 3, size, size]))
    if kind == "fcos":
        _boxes(after, raw, settings, len(model.labels), size)
        kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT)
        shapes: list[list[int | str]] = [[1, "boxes", 4], [1, "boxes"], [1, "boxes"]]
        found = [onnx.helper.make_tensor_value_info(*each) for each in zip(BOXES, kinds, shapes, strict=True)]
    else:
        attributes = {"axis": 1} if kind == "softmax" else {}
        after.add(_ACTIVATIONS[kind], raw[0], output=SCORES, **attributes)
        shape: list[int | str] = [batch, len(model.labels)]
        found = [onnx.helper.make_tensor_value_info(SCORES, onnx.TensorProto.FLOAT, shape)]
    graph.output.extend(found)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.helper.set_model_props(network, METADATA)
    onnx.checker.check_model(network)
    return network


class _Nodes:
    """Nodes and constants that are added to a graph, under names of their own."""

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self._graph, self._prefix = graph, prefix
        self.nodes: list[onnx.NodeProto] = []
        self._count = 0

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node of one output; its name."""
        return self._several(kind, inputs, [output or self._name()], attributes)[0]

    def pair(self, kind: str, *inputs: str, **attributes: Any) -> tuple[str, str]:
        """A node of two outputs; their names."""
        first, second = self._several(kind, inputs, [self._name(), self._name()], attributes)
        return first, second

    def _several(
        self, kind: str, inputs: Sequence[str], outputs: list[str], attributes: Mapping[str, Any]
    ) -> list[str]:
        import onnx

        self.nodes.append(onnx.helper.make_node(kind, list(inputs), outputs, name=f"{outputs[0]}_node", **attributes))
        return outputs

    def constant(self, value: Any) -> str:
        """A number or an array; its name."""
        import onnx

        name = self._name()
        self._graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"


def _boxes(add: _Nodes, maps: Sequence[str], settings: Mapping[str, Any], classes: int, size: int) -> None:
    """FCOS maps of one image → boxes, as dataloop_inference.decoding.fcos does it."""
    levels = [
        _level(add, name, stride, settings, classes, size)
        for name, stride in zip(maps, settings["strides"], strict=True)
    ]
    boxes, labels, scores = (
        add.add("Concat", *(level[part] for level in levels), axis=0) if len(levels) > 1 else levels[0][part]
        for part in range(3)
    )
    # Suppression within each class: a box has a score in the row of its own class, and 0 in the others.
    rows = add.constant(np.arange(classes, dtype=np.int64)[:, None])
    is_own = add.add("Equal", labels, rows)
    by_class = add.add("Unsqueeze", add.add("Where", is_own, scores, add.constant(np.float32(0))), _axis(add, 0))
    kept = add.add(
        "NonMaxSuppression",
        add.add("Unsqueeze", boxes, _axis(add, 0)),
        by_class,
        _axis(add, settings["boxes_per_image"]),
        add.constant(np.array([settings["overlap_limit"]], np.float32)),
        add.constant(np.array([settings["score_floor"]], np.float32)),
    )
    chosen = add.add("Gather", kept, add.constant(np.int64(2)), axis=1)
    found = add.add("Gather", scores, chosen)
    most = add.add("Min", add.add("Shape", found), _axis(add, settings["boxes_per_image"]))
    best, order = add.pair("TopK", found, most)
    places = add.add("Gather", chosen, order)
    share = add.add("Div", add.add("Gather", boxes, places), add.constant(np.float32(size)))
    add.add("Unsqueeze", share, _axis(add, 0), output=BOXES[0])
    add.add("Unsqueeze", add.add("Gather", labels, places), _axis(add, 0), output=BOXES[1])
    add.add("Unsqueeze", best, _axis(add, 0), output=BOXES[2])


def _level(
    add: _Nodes, name: str, stride: int, settings: Mapping[str, Any], classes: int, size: int
) -> tuple[str, str, str]:
    """Boxes (k, 4) in input pixels, labels (k,) and scores (k,) of the best candidates of one map."""
    side = -(-size // stride)
    cells = side * side
    flat = add.add("Reshape", name, add.constant(np.array([classes + 5, cells], np.int64)))
    logits, distances, center = (
        _rows(add, flat, first, last) for first, last in ((0, classes), (classes, classes + 4), (-1, classes + 5))
    )
    product = add.add("Mul", add.add("Sigmoid", logits), add.add("Sigmoid", center))
    every = add.add("Reshape", add.add("Sqrt", product), _axis(add, -1))
    count = min(settings["candidates_per_level"], classes * cells)
    scores, places = add.pair("TopK", every, _axis(add, count))
    width = add.constant(np.int64(cells))
    cell, labels = add.add("Mod", places, width), add.add("Div", places, width)
    near = add.add("Min", add.add("Gather", distances, cell, axis=1), add.constant(np.float32(_FARTHEST)))
    reach = add.add("Mul", add.add("Exp", near), add.constant(np.float32(stride)))
    ys, xs = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    centers = (np.stack([xs.ravel(), ys.ravel()]).astype(np.float32) + 0.5) * np.float32(stride)
    points = add.add("Gather", add.constant(centers), cell, axis=1)
    low = add.add("Sub", points, _rows(add, reach, 0, 2))
    high = add.add("Add", points, _rows(add, reach, 2, 4))
    corners = add.add("Transpose", add.add("Concat", low, high, axis=0), perm=[1, 0])
    limit = np.float32(side * stride)
    boxes = add.add("Clip", corners, add.constant(np.float32(0)), add.constant(limit))
    return boxes, labels, scores


def _rows(add: _Nodes, name: str, first: int, last: int) -> str:
    return add.add("Slice", name, _axis(add, first), _axis(add, last), _axis(add, 0))


def _axis(add: _Nodes, value: int) -> str:
    return add.constant(np.array([value], np.int64))
