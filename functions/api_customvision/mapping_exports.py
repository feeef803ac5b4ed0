"""Platforms and flavors of exports: what each becomes here, and what the archive says in Custom Vision's own words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api_customvision.faults import Refused
from dataloop.domain.projects import Iteration, Project

if TYPE_CHECKING:
    from dataloop.services.iteration_exports import IterationExport

Json = dict[str, Any]

UNSUPPORTED = "BadRequestProjectUnsupportedExportPlatform"
INVALID = "BadRequestExportValidationFailed"


@dataclass(frozen=True, slots=True)
class Wish:
    """A platform and flavor as the service spells them, the format that serves it, and the file of the network in it."""

    platform: str
    flavor: str | None
    format: str
    model_file: str

    @property
    def name(self) -> str:
        """The export's name inside the core, and in an artifact's path."""
        return self.platform if self.flavor is None else f"{self.platform}-{self.flavor}"


# Flavors of the client's enumeration, and ONNXFloat16, which Microsoft's pages and samples use as a plain text.
WISHES = (
    Wish("ONNX", None, "onnx_end_to_end", "model.onnx"),
    Wish("ONNX", "ONNX10", "onnx_end_to_end", "model.onnx"),
    Wish("ONNX", "ONNX12", "onnx_end_to_end", "model.onnx"),
    Wish("ONNX", "ONNXFloat16", "onnx_end_to_end_fp16", "model.onnx"),
    Wish("CoreML", None, "coreml", "model.mlpackage.zip"),
    Wish("TensorFlow", "TensorFlowLite", "litert", "model.tflite"),
    Wish("DockerFile", None, "dockerfile", "model/model.onnx"),
    Wish("DockerFile", "Linux", "dockerfile", "model/model.onnx"),
    Wish("DockerFile", "Windows", "dockerfile", "model/model.onnx"),
    Wish("DockerFile", "ARM", "dockerfile", "model/model.onnx"),
    Wish("OpenVino", None, "openvino", "model.xml"),
)
NAMES = tuple(wish.name for wish in WISHES)
# What a project's domain and an iteration name as exportable: every domain's models are.
PLATFORMS = ("CoreML", "TensorFlow", "DockerFile", "ONNX", "OpenVino")
# Known to the client, and not made here: why.
REFUSED_PLATFORMS = {"vaidk": "VAIDK: the Vision AI Dev Kit and its converter are retired; ask for ONNX or OpenVino"}
REFUSED_FLAVORS = {
    "tensorflownormal": "TensorFlowNormal: frozen TensorFlow graphs are not made here; ask for TensorFlowLite or ONNX",
    "tensorflowsavedmodel": "TensorFlowSavedModel is not made here; ask for TensorFlowLite or ONNX",
    "tensorflowjs": "TensorFlowJs is not made here; ask for ONNX, which ONNX Runtime Web runs in a browser",
}
_STATUS = {"exporting": "Exporting", "done": "Done", "failed": "Failed"}


def wish(platform: str, flavor: str | None) -> Wish:
    """What is asked for, whatever its case. Raises Refused: UNSUPPORTED for a platform, INVALID for a flavor."""
    refused = REFUSED_PLATFORMS.get(platform.lower())
    if refused:
        raise Refused(UNSUPPORTED, f"platform: {refused}")
    able = [each for each in WISHES if each.platform.lower() == platform.lower()]
    if not able:
        raise Refused(UNSUPPORTED, f"platform: must be one of {', '.join(PLATFORMS)} (got {platform[:100]!r})")
    found = next((each for each in able if (each.flavor or "").lower() == (flavor or "").lower()), None)
    if found is None:
        # Without a flavor TensorFlow means the frozen graph.
        asked = flavor or "TensorFlowNormal"
        allowed = ", ".join(each.flavor for each in able if each.flavor) or "none"
        reason = f"{able[0].platform} has these flavors: {allowed} (got {asked[:100]!r})"
        raise Refused(INVALID, f"flavor: {REFUSED_FLAVORS.get(asked.lower(), reason)}")
    return found


def texts(wished: Wish, project: Project, iteration: Iteration) -> dict[str, str]:
    """The files that Custom Vision lays beside an exported model, by name."""
    manifest = {
        "DomainType": "ObjectDetection" if project.task_type == "detection" else "Classification",
        "Platform": wished.platform,
        "Flavor": wished.flavor,
        "ExporterVersion": "2.0",
        "ExportedDate": iteration.trained_at or iteration.updated_at,
        "IterationId": iteration.id,
        "ModelFileName": wished.model_file,
        "LabelFileName": "labels.txt",
        "SchemaVersion": "1.0",
    }
    return {"cvexport.manifest": json.dumps(manifest, indent=2) + "\n"}


def export(found: IterationExport) -> Json:
    """One export; `downloadUri` only when there is something to download."""
    wished = next(each for each in WISHES if each.name == found.name)
    answer: Json = {
        "platform": wished.platform,
        "status": _STATUS[found.status],
        "newerVersionAvailable": found.is_outdated,
    }
    if wished.flavor is not None:
        answer["flavor"] = wished.flavor
    if found.link is not None:
        answer["downloadUri"] = found.link
    return answer
