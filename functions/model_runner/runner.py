"""Runs models: fetched once, kept on disk by digest and in memory ready to run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.models import Model
from dataloop.gateways.objects import Bucket
from dataloop.services.predicting import Stated
from dataloop_inference.faults import UnreadableImage, UnusableModel
from dataloop_inference.images import decode, pixels_of
from dataloop_inference.model import DESCRIPTION, GRAPH, Description, LoadedModel
from dataloop_inference.predictions import Prediction
from model_runner.graphs import GraphFolder
from model_runner.loaded import LoadedModels
from model_runner.standing_out import Box, stands_out

# Ours: a loaded graph takes three to five times its size, and the largest image 0.95 GB while it is decoded (measured,
# docs/inference.md); the function has 1.7 GB. A larger graph needs a prediction task.
MAX_GRAPH_BYTES = 96 * 1024 * 1024
# Ours: graphs in memory, together, for the same reason.
KEPT_GRAPH_BYTES = 96 * 1024 * 1024
# Ours: of the 512 MB that a function has in /tmp.
KEPT_FILE_BYTES = 384 * 1024 * 1024
# Ours: decoding is what takes time and memory; 16 photographs of 12 million pixels.
MAX_REQUEST_PIXELS = 192_000_000
# Ours, for models that draw masks: 7 ns a pixel and label, 20 ns a pixel of an object (measured, docs/inference.md).
MAX_MASK_PIXELS = 24_000_000
# A function of 1,769 MB has the time of one CPU (AWS: configuring Lambda memory).
THREADS = 1


class ModelRunner:
    """The models of one execution environment; safe to share between threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: where graphs lie; by default in the temporary folder, which other environments may share."""
        self._graphs = GraphFolder(folder or Path(tempfile.gettempdir()) / "dataloop-graphs", KEPT_FILE_BYTES)
        self._loaded = LoadedModels(KEPT_GRAPH_BYTES)

    def run(
        self, model: Model, files: Bucket, images: Sequence[bytes], min_score: float | None, limit: int
    ) -> list[tuple[Stated, ...] | DomainError]:
        """What the model says about each image, or why the image cannot be used.

        Raises IllegalTransition when the model's files are missing or damaged, LimitExceeded when its graph is too large.
        """
        try:
            loaded = self._loaded.get(model.id, lambda: self._load(model, files))
            return _answers(loaded, images, min_score, limit)
        except UnusableModel as fault:
            raise IllegalTransition("model", model.id, f"unusable ({fault})", "predicting") from fault

    def stands_out(self, content: bytes) -> list[tuple[float, Box]]:
        """Where an image differs from its border (standing_out.py). Raises InvalidInput(image), LimitExceeded (pixels)."""
        (refusal,) = _refusals([content], MAX_REQUEST_PIXELS)
        if refusal is not None:
            raise refusal
        try:
            image = decode(content)
        except UnreadableImage as fault:
            raise InvalidInput("image", str(fault)) from fault
        return stands_out(image)

    def _load(self, model: Model, files: Bucket) -> LoadedModel:
        """1 GET; with the graph not on disk also a HEAD and a GET. Raises UnusableModel, LimitExceeded."""
        try:
            description = Description.read(files.get(f"{model.prefix}/{DESCRIPTION}"))
            graph = self._graphs.read(description.sha256) or _fetch(files, f"{model.prefix}/{GRAPH}")
        except NotFound as missing:
            raise UnusableModel(f"{missing.id.rpartition('/')[2]} is missing") from missing
        loaded = LoadedModel(description, graph, THREADS)
        self._graphs.keep(description.sha256, graph)
        return loaded


def _fetch(files: Bucket, key: str) -> bytes:
    stored = files.head(key)
    if stored is None:
        raise NotFound("object", key)
    if stored.size_bytes > MAX_GRAPH_BYTES:
        raise LimitExceeded("bytes of the model's graph (use a prediction task)", MAX_GRAPH_BYTES, stored.size_bytes)
    return files.get(key)


def _answers(
    loaded: LoadedModel, images: Sequence[bytes], min_score: float | None, limit: int
) -> list[tuple[Stated, ...] | DomainError]:
    labels = loaded.description.labels
    limit_pixels = MAX_MASK_PIXELS if loaded.description.draws_masks else MAX_REQUEST_PIXELS
    refusals = _refusals(images, limit_pixels)
    taken = [image for image, refusal in zip(images, refusals, strict=True) if refusal is None]
    answers = loaded.predict_each(taken, min_score=min_score, limit=limit)
    found: list[tuple[Stated, ...] | DomainError] = []
    for refusal in refusals:
        answer = refusal or next(answers)
        if isinstance(answer, UnreadableImage):
            answer = InvalidInput("image", str(answer))
        found.append(answer if isinstance(answer, DomainError) else tuple(_stated(each, labels) for each in answer))
    return found


def _refusals(images: Sequence[bytes], limit_pixels: int) -> list[DomainError | None]:
    """Why an image is not even decoded: it is none, or with those before it there are too many pixels for one request."""
    total = 0
    found: list[DomainError | None] = []
    for image in images:
        try:
            pixels = pixels_of(image)
        except UnreadableImage as fault:
            found.append(InvalidInput("image", str(fault)))
            continue
        is_too_much = total + pixels > limit_pixels
        what = "pixels of the images up to this one"
        found.append(LimitExceeded(what, limit_pixels, total + pixels) if is_too_much else None)
        total += 0 if is_too_much else pixels
    return found


def _stated(prediction: Prediction, labels: Sequence[str]) -> Stated:
    mask = prediction.mask
    return Stated(
        label=labels[prediction.label],
        score=prediction.score,
        box=prediction.box,
        mask=None if mask is None else {"size": [mask.height, mask.width], "counts": mask.counts},
    )
