"""What exists: task types, architectures, exporters. A test fails until declaration and implementation pair up.

To add one, write its file in the folder of its family and declare it here; nothing else names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from dataloop_jobs.faults import BadParameter


@dataclass(frozen=True)
class Declaration:
    """name: as clients write it. family: the folder of its module. text: one sentence for people.

    modules: what it imports beyond jobs/requirements.txt. takes_int8: an exporter that can take a model trained for int8.
    """

    name: str
    family: str
    text: str
    supports: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    takes_int8: bool = False

    def load(self) -> ModuleType:
        """The implementing module; imported only when it is used."""
        return importlib.import_module(f"dataloop_jobs.{self.family}.{self.name}")


TASK_TYPES: Mapping[str, Declaration] = {
    item.name: item
    for item in (
        Declaration("classification", "task_types", "one label an image; linear head; accuracy"),
        Declaration(
            "multilabel_classification",
            "task_types",
            "any number of labels an image; linear head; mean average precision",
        ),
        Declaration("detection", "task_types", "labelled boxes; FCOS head; average precision"),
        Declaration(
            "instance_segmentation", "task_types", "boxes with masks; FCOS and prototypes; average precision of masks"
        ),
        Declaration("semantic_segmentation", "task_types", "a label for each pixel; LR-ASPP-like head; mean IoU"),
    )
}

ARCHITECTURES: Mapping[str, Declaration] = {
    item.name: item
    for item in (
        Declaration(
            "efficientnet_lite0",
            "architectures",
            "EfficientNet-Lite0 with ImageNet weights, 3.4 million parameters",
            supports=tuple(TASK_TYPES),
        ),
        Declaration(
            "torchvision_mobilenet_v3_large",
            "architectures",
            "MobileNetV3-Large from torchvision, 3.0 million parameters; needs torchvision, weights as a file",
            supports=tuple(TASK_TYPES),
        ),
        Declaration(
            "torchvision_resnet50",
            "architectures",
            "ResNet-50 from torchvision, 23.5 million parameters; needs torchvision, weights as a file",
            supports=tuple(TASK_TYPES),
        ),
        Declaration(
            "timm_convnext_atto",
            "architectures",
            "ConvNeXt-Atto from timm, 3.4 million parameters; needs timm, weights as a file",
            supports=tuple(TASK_TYPES),
        ),
        Declaration(
            "timm_resnet18",
            "architectures",
            "ResNet-18 from timm, 11.2 million parameters; needs timm, weights as a file",
            supports=tuple(TASK_TYPES),
        ),
    )
}

# The environment variable that names an export job's format.
FORMAT_VARIABLE = "EXPORT_FORMAT"
# modules: what the format needs beyond jobs/requirements.txt; jobs/exports/<name>.txt installs it.
EXPORTERS: Mapping[str, Declaration] = {
    item.name: item
    for item in (
        Declaration("onnx", "exporters", "ONNX, verified against torch with ONNX Runtime", takes_int8=True),
        Declaration("onnx_fp16", "exporters", "ONNX with float16 weights, half the size"),
        Declaration(
            "onnx_int8", "exporters", "ONNX quantised to int8, gated on the accuracy it keeps", takes_int8=True
        ),
        Declaration(
            "onnx_end_to_end",
            "exporters",
            "ONNX with preparation and decoding inside: pixels in, probabilities or boxes out",
            supports=("classification", "multilabel_classification", "detection"),
        ),
        Declaration(
            "onnx_end_to_end_fp16",
            "exporters",
            "the same with float16 weights, half the size",
            supports=("classification", "multilabel_classification", "detection"),
        ),
        Declaration("openvino", "exporters", "OpenVINO IR, float32", modules=("openvino",), takes_int8=True),
        Declaration("coreml", "exporters", "Core ML program for Apple devices", modules=("coremltools",)),
        Declaration("litert", "exporters", "LiteRT (TensorFlow Lite) flatbuffer", modules=("litert_torch",)),
        Declaration("torchscript", "exporters", "TorchScript, traced and frozen"),
        Declaration(
            "dockerfile", "exporters", "archive with Dockerfile and an ONNX Runtime HTTP server", takes_int8=True
        ),
        Declaration("paddle_inference", "exporters", "PaddlePaddle inference model", modules=("paddle",)),
        Declaration("paddle_lite", "exporters", "Paddle Lite model for ARM devices", modules=("paddle",)),
    )
}


# How images are chosen for labelling, and whether that asks a model. What each does: selection/choosing.py.
SELECTIONS: Mapping[str, bool] = {
    "random": False,
    "uncertainty": True,
    "diversity": False,
    "uncertainty_diversity": True,
}


def find(catalog: Mapping[str, Declaration], parameter: str, value: object) -> Declaration:
    """The declaration a client's value names. Raises BadParameter listing what exists."""
    if not isinstance(value, str) or value not in catalog:
        raise BadParameter(parameter, value, f"unknown; there is {', '.join(sorted(catalog))}")
    return catalog[value]
