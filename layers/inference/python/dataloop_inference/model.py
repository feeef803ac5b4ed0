"""A trained model that answers: encoded images in, predictions out, exactly as its training job scored it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataloop_inference.decoding import decode
from dataloop_inference.faults import UnreadableImage, UnusableModel
from dataloop_inference.images import Letterbox, Pixels, letterbox, normalise
from dataloop_inference.images import decode as decode_image
from dataloop_inference.predictions import Prediction
from dataloop_inference.session import onnx_runner

FORMAT = 1
DESCRIPTION, GRAPH = "model.json", "model.onnx"
# Kinds of decoding whose cost grows with the pixels of the image itself, because they draw masks of its size.
_MASKS = {"semantic", "fcos_masks"}


@dataclass(frozen=True)
class Description:
    """The part of model.json that a consumer needs. sha256: of model.onnx. threshold: 0 where the task has none."""

    model_id: str | None
    task_type: str
    labels: tuple[str, ...]
    image_size: int
    decode: Mapping[str, Any]
    threshold: float
    sha256: str

    @property
    def draws_masks(self) -> bool:
        """True when an answer costs time for every pixel of the image, not only of the network's input."""
        return self.decode.get("kind") in _MASKS

    @classmethod
    def read(cls, content: bytes) -> Description:
        """Raises UnusableModel saying what is wrong with it."""
        try:
            found = json.loads(content)
            if found["format"] != FORMAT:
                raise UnusableModel(f"{DESCRIPTION} has format {found['format']!r}; this version reads {FORMAT}")
            return cls(
                model_id=found.get("model_id"),
                task_type=str(found["task_type"]),
                labels=tuple(map(str, found["labels"])),
                image_size=_size(found["image_size"]),
                decode=dict(found["decode"]),
                threshold=float(found["decode"].get("threshold") or 0.0),
                sha256=str(found["onnx"]["sha256"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnusableModel(f"{DESCRIPTION} is not a model description: {error!r}") from error


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"image_size is {value!r}")
    return value


class LoadedModel:
    """A model in memory; safe to share between threads.

    Memory: three to five times `size_bytes`, the size of the graph (measured; docs/inference.md).
    """

    def __init__(self, description: Description, graph: bytes, threads: int = 1) -> None:
        """Raises UnusableModel when the graph is not the described one or cannot be loaded."""
        found = hashlib.sha256(graph).hexdigest()
        if found != description.sha256:
            raise UnusableModel(
                f"{GRAPH} has {len(graph)} bytes with sha256 {found}; {DESCRIPTION} describes {description.sha256}"
            )
        self.description = description
        self.size_bytes = len(graph)
        self._run = onnx_runner(graph, threads)

    @classmethod
    def open(cls, folder: Path, threads: int = 1) -> LoadedModel:
        """A model folder, as a training job leaves it. Raises UnusableModel when a file is missing or damaged."""
        for name in (DESCRIPTION, GRAPH):
            if not (folder / name).is_file():
                raise UnusableModel(f"{name} is missing from the model folder")
        return cls(Description.read((folder / DESCRIPTION).read_bytes()), (folder / GRAPH).read_bytes(), threads)

    def predict(
        self, images: Sequence[bytes], *, min_score: float | None = None, limit: int | None = None
    ) -> list[list[Prediction]]:
        """Predictions of each encoded image, best first.

        min_score: predictions from this score on; None is the model's own threshold. limit: at most so many an image.
        Raises UnreadableImage that names the image by its number, UnusableModel.
        """
        found: list[list[Prediction]] = []
        for index, answer in enumerate(self.predict_each(images, min_score=min_score, limit=limit)):
            if isinstance(answer, UnreadableImage):
                raise UnreadableImage(f"image {index}: {answer}") from answer
            found.append(answer)
        return found

    def predict_each(
        self, images: Sequence[bytes], *, min_score: float | None = None, limit: int | None = None
    ) -> Iterator[list[Prediction] | UnreadableImage]:
        """As `predict`, one after the other, with an unreadable image's fault in its place. Raises UnusableModel.

        One image a forward pass: on a CPU larger ones gain nothing, and so an answer never depends on the other images.
        """
        for content in images:
            try:
                pixels, fit = letterbox(decode_image(content), self.description.image_size)
            except UnreadableImage as fault:
                yield fault
                continue
            lowest = self.description.threshold if min_score is None else min_score
            yield [found for found in self._decoded(pixels, fit, lowest) if found.score >= lowest][:limit]

    def _decoded(self, pixels: Pixels, fit: Letterbox, lowest: float) -> list[Prediction]:
        outputs = self._run(normalise(pixels[None]))
        settings = dict(self.description.decode)
        try:
            if "score_floor" in settings:
                # Boxes that would be dropped anyway need not be kept for suppression, which they cannot influence, nor
                # drawn.
                settings["score_floor"] = max(settings["score_floor"], lowest)
            (predictions,) = decode(settings, outputs, [fit])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UnusableModel(f"the outputs of {GRAPH} do not fit {DESCRIPTION}: {error!r}") from error
        if any(not 0 <= found.label < len(self.description.labels) for found in predictions):
            raise UnusableModel(f"{GRAPH} knows more labels than {DESCRIPTION}")
        return predictions
