"""What selection must know of each image: features, doubt, the likeliest label, the perceptual hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from dataloop_inference.decoding import decode
from dataloop_inference.images import Letterbox, normalise
from dataloop_jobs.architectures.efficientnet_lite0 import build_backbone
from dataloop_jobs.dataset import Row
from dataloop_jobs.faults import BadImage
from dataloop_jobs.images import ImageStore
from dataloop_jobs.model_folder import Model, check_labels, load_network
from dataloop_jobs.selection.perceptual_hash import perceptual_hash
from dataloop_jobs.selection.uncertainty import doubts

# Images a forward pass.
_BATCH = 8
# Without a model the ImageNet body looks at images of this size.
DEFAULT_SIZE = 192


@dataclass(frozen=True)
class Seen:
    """One image as selection sees it. features: float32 (D,) of length 1. label: the likeliest, "" for none."""

    row: Row
    hash: int
    features: NDArray[np.float32]
    doubt: float | None
    label: str


class Eye:
    """Looks at images with a model, or with the ImageNet body alone where there is none yet."""

    def __init__(self, model: Model | None, measure: str):
        """Raises BadModel, MissingRequirement."""
        self._model, self._measure = model, measure
        self._network = load_network(model) if model else None
        backbone = self._network.backbone if self._network else build_backbone(0, pretrained=True).eval()
        assert isinstance(backbone, nn.Module)
        self._backbone = backbone
        self._deep: dict[int, torch.Tensor] = {}
        self._backbone.register_forward_hook(self._keep)

    @property
    def image_size(self) -> int:
        """Side of the square input, pixels."""
        return self._model.image_size if self._model else DEFAULT_SIZE

    def look(
        self, rows: Sequence[Row], store: ImageStore, on_progress: Callable[[int, int], None]
    ) -> Iterator[Seen | tuple[Row, str]]:
        """Each image, in order; (row, why) for one that cannot be used. on_progress may raise to stop."""
        on_progress(0, len(rows))
        for start in range(0, len(rows), _BATCH):
            loaded: list[tuple[Row, NDArray[np.uint8], Letterbox]] = []
            for row in rows[start : start + _BATCH]:
                try:
                    loaded.append((row, *store.load(row)))
                except BadImage as error:
                    yield row, str(error)
            if loaded:
                yield from self._look(loaded)
            on_progress(min(start + _BATCH, len(rows)), len(rows))

    def _look(self, loaded: Sequence[tuple[Row, NDArray[np.uint8], Letterbox]]) -> Iterator[Seen]:
        pixels = np.stack([image for _, image, _ in loaded])
        fits = [fit for _, _, fit in loaded]
        with torch.inference_mode():
            batch = torch.from_numpy(normalise(pixels))
            outputs = (self._network or self._backbone)(batch)
        features = _pooled(self._deep)
        opinions = self._opinions([output.numpy() for output in outputs], fits) if self._model else None
        for index, (row, image, fit) in enumerate(loaded):
            shown = Image.fromarray(image[: fit.scale_y, : fit.scale_x])
            doubt, label = opinions[index] if opinions else (None, "")
            yield Seen(row, perceptual_hash(shown), features[index], doubt, label)

    def _opinions(self, outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox]) -> list[tuple[float, str]]:
        assert self._model is not None
        settings = self._model.decode_settings
        predictions = decode(settings, outputs, fits)
        check_labels(predictions, self._model.labels)
        of_batch = doubts(settings, outputs, fits, predictions, self._measure)
        best = [max(found, key=lambda one: one.score, default=None) for found in predictions]
        names = [self._model.labels[one.label] if one else "" for one in best]
        return list(zip(of_batch, names, strict=True))

    def _keep(self, _module: nn.Module, _inputs: object, output: dict[int, torch.Tensor]) -> None:
        self._deep = output


def _pooled(features: dict[int, torch.Tensor]) -> NDArray[np.float32]:
    """Means over the positions of the two deepest outputs, each and then both brought to length 1: float32 (N, D)."""
    parts = [features[stride].mean(dim=(2, 3)) for stride in sorted(features)[-2:]]
    joined = torch.cat([nn.functional.normalize(part, dim=1) for part in parts], dim=1)
    pooled: NDArray[np.float32] = nn.functional.normalize(joined, dim=1).float().numpy()
    return pooled
