"""Asking a model about a few images, now."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ankerautotrainsdk.errors import ApiError, InvalidInput, LimitExceeded, LocalFileMissing
from ankerautotrainsdk.operations.base import Calls, without_none
from ankerautotrainsdk.results import BatchResult, Inference

# The service's limit of a request.
MAX_IMAGES = 16
# Lambda takes 6 MB a request; the rest of it is for what stands around the images.
MAX_ENCODED_BYTES = 6 * 1024 * 1024 - 16 * 1024
# {"content":""}, and a comma.
_AROUND_BYTES = 16
_UID = re.compile(r"[0-9a-f]{32}")
Image = str | bytes | os.PathLike[str]


class InferenceCalls(Calls):
    """The one call that runs a model while one waits."""

    def infer(
        self,
        images: Iterable[Image],
        *,
        release: str | None = None,
        model_id: str | None = None,
        min_score: float | None = None,
        max_predictions: int | None = None,
    ) -> BatchResult[Inference]:
        """What a model sees in some images; for many, predict is cheaper and has no limit of size.

        images: uids of uploaded images (32 hex characters), paths of local files, or bytes of JPEG, PNG, ….
        release or model_id: which model; a release is whatever its name stands for at that moment.
        min_score: by default the model's own threshold; 0 for everything it found. max_predictions: of an image (100).
        Returns the outcomes in the order of images, refused ones among them. A prediction has label, score, box
        {left, top, width, height} as shares of the image (None where the model finds no boxes), and where the model
        finds masks, mask {size: [height, width], counts}, COCO's.
        Raises NotFound (model, release), IllegalTransition (model not trained), InvalidInput, LocalFileMissing.
        Cost: one call per 16 images or 6 MB.
        """
        if isinstance(images, str | bytes | os.PathLike):
            raise InvalidInput("images must be a list, not one image", details={"field": "images"})
        wish = without_none(release=release, model_id=model_id, min_score=min_score, max_predictions=max_predictions)
        outcomes: list[Inference | ApiError] = []
        for batch in _batches(images):
            outcomes += [batch] if isinstance(batch, ApiError) else self._infer(batch, wish)
        return BatchResult(outcomes)

    def _infer(self, entries: list[dict[str, str]], wish: dict[str, Any]) -> BatchResult[Inference]:
        answer = self._transport.post("/infer", {**wish, "images": entries})
        names = {name: answer[name] for name in ("model_id", "model_version", "release")}
        return BatchResult.from_answer(answer["results"], lambda entry: Inference({**entry, **names}))


def _batches(images: Iterable[Image]) -> Iterator[list[dict[str, str]] | ApiError]:
    """The images of one request each, in order; an image that is too large for any stands as its error."""
    batch: list[dict[str, str]] = []
    size = 0
    for image in images:
        entry = _entry(image)
        is_error = isinstance(entry, ApiError)
        length = 0 if isinstance(entry, ApiError) else sum(map(len, entry.values())) + _AROUND_BYTES
        if batch and (is_error or len(batch) == MAX_IMAGES or size + length > MAX_ENCODED_BYTES):
            yield batch
            batch, size = [], 0
        if isinstance(entry, ApiError):
            yield entry
        else:
            batch.append(entry)
            size += length
    if batch:
        yield batch


def _entry(image: Image) -> dict[str, str] | ApiError:
    if isinstance(image, str) and _UID.fullmatch(image):
        return {"uid": image}
    name = "the image" if isinstance(image, bytes) else os.fspath(image)
    content = image if isinstance(image, bytes) else _read(Path(image))
    limit = (MAX_ENCODED_BYTES - _AROUND_BYTES) // 4 * 3
    if len(content) > limit:
        return LimitExceeded(
            f"{name} has {len(content)} bytes, too many for one request: upload it, and give its uid",
            details={"what": "bytes of an image", "limit": limit, "actual": len(content)},
        )
    return {"content": base64.b64encode(content).decode("ascii")}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise LocalFileMissing(f"there is no {path}", details={"path": str(path)}) from error
