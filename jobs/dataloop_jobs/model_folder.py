"""A model as a folder: weights, ONNX graph, how to use them, labels, card."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dataloop_inference.faults import UnusableModel
from dataloop_inference.model import Description
from dataloop_inference.predictions import Prediction
from dataloop_jobs.compression.quantization import quantize
from dataloop_jobs.compression.structure import shrink_to
from dataloop_jobs.declarations import ARCHITECTURES, TASK_TYPES, find
from dataloop_jobs.faults import BadModel, BadParameter, shown
from dataloop_jobs.json_files import read_json, replace_file, write_json
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import TaskType

FORMAT = 1
WEIGHTS, GRAPH, DESCRIPTION, LABELS = "model.pt", "model.onnx", "model.json", "label_map.json"


@dataclass(frozen=True)
class Model:
    """A model folder that was read and checked. description: the content of model.json."""

    folder: Path
    task: TaskType
    labels: tuple[str, ...]
    image_size: int
    description: Mapping[str, Any]

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / GRAPH

    @property
    def decode_settings(self) -> Mapping[str, Any]:
        """What the task's `decode` needs."""
        settings: Mapping[str, Any] = self.description["decode"]
        return settings

    @property
    def threshold(self) -> float:
        """The score from which a prediction counts; 0 where there is no such thing."""
        return float(self.description["decode"].get("threshold") or 0.0)


def read_model(folder: Path) -> Model:
    """Read model.json and check that the ONNX file is the one it describes. Raises BadModel saying what is wrong."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise BadModel(f"{DESCRIPTION} is missing from the model folder ({sorted(p.name for p in folder.iterdir())})")
    description = read_json(path)
    try:
        if description["format"] != FORMAT:
            raise BadModel(f"{DESCRIPTION} has format {description['format']!r}; this job reads {FORMAT}")
        task = find(TASK_TYPES, "task_type", description["task_type"]).load().IMPLEMENTATION
        find(ARCHITECTURES, "architecture", description["architecture"])
        # The same checks as wherever else a model is used.
        known = Description.read(path.read_bytes())
    except BadParameter as error:
        raise BadModel(f"{DESCRIPTION}: {error}") from error
    except (KeyError, TypeError, ValueError, UnusableModel) as error:
        text = str(error) if isinstance(error, UnusableModel) else f"is not a model description: {error!r}"
        raise BadModel(text if text.startswith(DESCRIPTION) else f"{DESCRIPTION} {text}") from error
    _check_description(description, task)
    model = Model(folder, task, known.labels, known.image_size, description)
    if not model.graph.is_file():
        raise BadModel(f"{GRAPH} is missing from the model folder")
    if file_sha256(model.graph) != known.sha256:
        raise BadModel(f"{GRAPH} is not the file that {DESCRIPTION} describes: its sha256 differs")
    return model


def _check_description(description: Mapping[str, Any], task: TaskType) -> None:
    """Raises BadModel for values that a task of this type cannot have."""
    kind, wanted = description["decode"].get("kind"), task.decode_settings()["kind"]
    if kind != wanted:
        raise BadModel(f"{DESCRIPTION}: decode.kind {shown(kind)} is not that of task_type {task.name}, {wanted}")
    labels, size, threshold = description["labels"], description["image_size"], description["decode"].get("threshold")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise BadModel(f"{DESCRIPTION}: labels {shown(labels)} must be a list of names")
    largest = (
        next(field for field in dataclasses.fields(Parameters) if field.name == "image_size").metadata["rule"].high
    )
    if size > largest:
        raise BadModel(f"{DESCRIPTION}: image_size {shown(size)} is more than {largest}")
    if threshold is not None and (not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1):
        raise BadModel(f"{DESCRIPTION}: decode.threshold {shown(threshold)} must be a number from 0 to 1")


def check_labels(predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> None:
    """Raises BadModel when a prediction means a label that model.json does not have."""
    highest = max((found.label for of_image in predictions for found in of_image), default=0)
    if highest >= len(labels):
        raise BadModel(
            f"{GRAPH} says label number {highest}, and {DESCRIPTION} names {len(labels)} labels: they differ"
        )


def save_weights(folder: Path, weights: Mapping[str, Tensor], parameters: Parameters, labels: tuple[str, ...]) -> None:
    """Write model.pt: {"format", "weights", "parameters", "labels"}, loadable with weights_only."""
    buffer = io.BytesIO()
    content = {"format": FORMAT, "weights": dict(weights), "parameters": parameters.to_dict(), "labels": list(labels)}
    torch.save(content, buffer)
    replace_file(folder / WEIGHTS, buffer.getvalue())
    write_json(folder / LABELS, {"labels": list(labels)})


@dataclass(frozen=True)
class SavedWeights:
    """The content of model.pt."""

    weights: dict[str, Tensor]
    parameters: Parameters
    labels: tuple[str, ...]


def read_weights(folder: Path) -> SavedWeights:
    """Read model.pt without running code from it. Raises BadModel."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise BadModel(f"{WEIGHTS} is missing from the model folder ({sorted(p.name for p in folder.iterdir())})")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved = SavedWeights(content["weights"], Parameters.decode(content["parameters"]), tuple(content["labels"]))
        spoiled = [name for name, value in saved.weights.items() if not bool(torch.isfinite(value).all())]
    except BadParameter as error:
        raise BadModel(f"{WEIGHTS} was made with other hyperparameters than this version has: {error}") from error
    except pickle.UnpicklingError as error:  # torch's own text says how to read it unsafely: not to be repeated
        raise BadModel(
            f"{WEIGHTS} cannot be read: it is damaged, or holds more than weights and could run code"
        ) from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise BadModel(
            f"{WEIGHTS} cannot be read, it is damaged or cut short: {str(error) or type(error).__name__}"
        ) from error
    if spoiled:
        raise BadModel(f"{WEIGHTS}: {spoiled[0]} holds values that are not finite numbers: take another model")
    return saved


def load_network(model: Model) -> nn.Module:
    """The torch network of a model, pruned or quantised as it was trained, in evaluation mode on the CPU.

    Raises BadModel.
    """
    saved = read_weights(model.folder)
    network = shrink_to(model.task.build(saved.parameters, len(saved.labels), pretrained=False), saved.weights)
    if saved.parameters.quantization != "none":
        network = quantize(network)
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError as error:  # torch names every tensor that is missing, unknown or of another shape
        raise BadModel(f"{WEIGHTS} does not fit the architecture {saved.parameters.architecture!r}: {error}") from error
    return network.eval()


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
