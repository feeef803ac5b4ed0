"""Network outputs → predictions, outside the graph and in numpy: one path for torch, ONNX Runtime and every export.

One module a kind, named in model.json under decode.kind; each has `decode(outputs, fits, settings)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.faults import UnusableModel
from dataloop_inference.images import Letterbox
from dataloop_inference.predictions import Prediction

KINDS = ("softmax", "sigmoid", "fcos", "fcos_masks", "semantic")


def decode(
    settings: Mapping[str, Any], outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox]
) -> list[list[Prediction]]:
    """Outputs of a batch → predictions of each image, best first.

    settings: the `decode` of model.json. outputs: in its order, first axis the image. fits: how each image lies in the
    input. Raises UnusableModel for a kind that this version does not know, and for outputs of another.
    """
    kind = settings.get("kind")
    if kind not in KINDS:
        raise UnusableModel(f"decode kind {kind!r} is unknown; there is {', '.join(KINDS)}")
    module = importlib.import_module(f"{__name__}.{kind}")
    try:
        predictions: list[list[Prediction]] = module.decode(outputs, fits, settings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnusableModel(f"the model's outputs do not fit the decode settings of model.json: {error!r}") from error
    return predictions
