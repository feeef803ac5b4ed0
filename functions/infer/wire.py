"""What the request and the answer look like on the wire."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.services.predicting import Answered, Given, Question, Stated
from edge import api_errors

# Lambda answers with at most 6 MB (AWS: Lambda quotas); the envelope around the text, with its escapes, is inside of it.
MAX_ANSWER_BYTES = 5 * 1024 * 1024
# As predictions.jsonl has them: an answer reads the same, wherever it was given.
_DIGITS = 6


def question(body: Mapping[str, Any]) -> Question:
    """{"model_id" | "release", "images": [{"uid"} | {"content"}], "min_score"?, "max_predictions"?}.

    Raises InvalidInput when the shape is wrong; content that is no base64 is that image's own error.
    """
    entries = body.get("images")
    if not isinstance(entries, list):
        raise InvalidInput("images", "must be a non-empty list")
    return Question(
        model_id=body.get("model_id"),
        release=body.get("release"),
        images=[_image(entry, index) for index, entry in enumerate(entries)],
        min_score=body.get("min_score"),
        max_predictions=body.get("max_predictions"),
    )


def _image(entry: object, index: int) -> Given:
    field = f"images[{index}]"
    if not isinstance(entry, Mapping):
        raise InvalidInput(field, "must be an object with uid or content")
    given = {name: entry[name] for name in ("uid", "content") if entry.get(name) is not None}
    if len(given) != 1:
        raise InvalidInput(field, "must have either uid or content")
    name, value = given.popitem()
    if not isinstance(value, str):
        raise InvalidInput(f"{field}.{name}", "must be a text")
    if name == "uid":
        return value
    try:
        # validate: what is not of the alphabet would be skipped, and another image would be looked at.
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return InvalidInput(f"{field}.content", "is not base64 (RFC 4648, without line breaks)")


def answer_text(answered: Answered, asked: Question) -> str:
    """The answer as JSON. Raises LimitExceeded when it is larger than Lambda may answer."""
    body = {
        "model_id": answered.model.id,
        "release": asked.release,
        "model_version": answered.model.version,
        "results": [_result(result) for result in answered.results],
    }
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    size = len(text.encode())
    if size > MAX_ANSWER_BYTES:
        raise LimitExceeded(
            "bytes of the answer (ask for fewer images or a smaller max_predictions)", MAX_ANSWER_BYTES, size
        )
    return text


def _result(result: tuple[Stated, ...] | DomainError) -> dict[str, Any]:
    if isinstance(result, DomainError):
        return api_errors.item(result)
    return {"predictions": [_prediction(stated) for stated in result]}


def _prediction(stated: Stated) -> dict[str, Any]:
    found: dict[str, Any] = {"label": stated.label, "score": round(stated.score, _DIGITS), "box": None}
    if stated.box is not None:
        names = ("left", "top", "width", "height")
        found["box"] = dict(zip(names, (round(value, _DIGITS) for value in stated.box), strict=True))
    if stated.mask is not None:
        found["mask"] = dict(stated.mask)
    return found
