"""Export formats. ONNX is the canonical one (design D10): every other is made from it or checked against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exporter:
    """name as jobs know it; needs_own_environment: its converter does not live with the packages of training, so its
    job installs jobs/exports/<name>.txt first. calibrates: it must see images that the model has learnt from, and may lose
    accuracy within a limit. takes_masks: models that draw masks can be exported so."""

    name: str
    needs_own_environment: bool = False
    calibrates: bool = False
    takes_masks: bool = True


EXPORTERS = (
    Exporter("onnx"),
    Exporter("onnx_fp16"),
    Exporter("onnx_int8", calibrates=True),
    Exporter("onnx_end_to_end", takes_masks=False),
    Exporter("onnx_end_to_end_fp16", takes_masks=False),
    Exporter("openvino", needs_own_environment=True),
    Exporter("coreml", needs_own_environment=True),
    Exporter("litert", needs_own_environment=True),
    Exporter("torchscript"),
    Exporter("dockerfile"),
    Exporter("paddle_inference", needs_own_environment=True),
    Exporter("paddle_lite", needs_own_environment=True),
)
FORMATS = tuple(entry.name for entry in EXPORTERS)


def by_name(name: object) -> Exporter | None:
    """The declaration, or None."""
    return next((entry for entry in EXPORTERS if entry.name == name), None)
