"""Does an annotation still say what its id says? The id is the beginning of a digest over the content."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import digest
from dataloop.domain.ids import annotation_content

# What holds numbers in a label. DynamoDB gives 10.0 back as 10, which is the same number and other bytes.
_NUMBERS = ("bbox_xyxy", "score", "segmentation")
_ALL = "*"


def proved_digest(annotation: Annotation) -> str | None:
    """The SHA-256 of the annotation's content whose first 24 hex characters are its id; None: nothing proves the id.

    Numbers are tried as stored and as floats, field by field: a client may have sent either.
    """
    fields = [name for name in _NUMBERS if any(label.get(name) is not None for label in annotation.labels)]
    choices = [frozenset(chosen) for size in range(len(fields) + 1) for chosen in itertools.combinations(fields, size)]
    for chosen in (*choices, frozenset({_ALL})):
        found = digest(_content(annotation, chosen))
        if found.startswith(annotation.id):
            return found
    return None


def _content(annotation: Annotation, as_floats: frozenset[str]) -> list[object]:
    labels = [
        {name: _as_floats(value) if _ALL in as_floats or name in as_floats else value for name, value in label.items()}
        for label in annotation.labels
    ]
    return annotation_content(
        annotation.data_ids,
        annotation.type,
        labels,
        annotation.model_name,
        annotation.model_version,
        annotation.method,
        annotation.supersedes,
    )


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        # An RLE's size is whole by nature.
        return {name: each if name == "size" else _as_floats(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
