"""The primary metric of parts of the test set: by raw-data attribute and by object size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation.bootstrap import primary_interval, resamples_for
from dataloop_jobs.evaluation.evidence import Evidence, Members, plain

OBJECT_SIZE = "object_size"
# An attribute with more values than this tells images apart rather than kinds of images.
MOST_VALUES = 50
# Metrics are kept in a table whose items have a limit of size.
MOST_ATTRIBUTES = 20
LONGEST_VALUE = 100
# Attributes of which the metrics say why they have no slices.
_MOST_REASONS = 50

Slices = dict[str, dict[str, dict[str, Any]]]


def groups(rows: Sequence[Row]) -> tuple[dict[str, dict[str, Members]], dict[str, str]]:
    """Positions of the rows of each value of each attribute that can be sliced by, and why others cannot.

    At most 20 attributes, those with the fewest values first; each with at most 50 values of at most 100 characters.
    """
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        for name, value in row.attributes.items():
            found[name][value].append(index)
    kept: dict[str, dict[str, Members]] = {}
    left_out: dict[str, str] = {}
    for name in sorted(found, key=lambda name: (len(found[name]), name)):
        values = found[name]
        if len(values) > MOST_VALUES:
            left_out[name] = f"{len(values)} values; at most {MOST_VALUES}"
        elif max(map(len, (name, *values))) > LONGEST_VALUE:
            left_out[name] = f"a name or value of more than {LONGEST_VALUE} characters"
        elif len(kept) == MOST_ATTRIBUTES:
            left_out[name] = f"more than {MOST_ATTRIBUTES} attributes"
        else:
            kept[_free_name(name)] = {value: np.array(members) for value, members in sorted(values.items())}
    shown = {name[:LONGEST_VALUE]: reason for name, reason in list(left_out.items())[:_MOST_REASONS]}
    return dict(sorted(kept.items())), shown


def slices(evidence: Evidence, members: Mapping[str, Mapping[str, Members]], seed: int) -> Slices:
    """{attribute: {value: {"primary", "images", "confidence"}}}; object sizes under "object_size".

    confidence: the interval of bootstrap.py over the images of the slice, None where it cannot be computed.
    """
    result: Slices = {}
    for name, values in members.items():
        result[name] = {
            value: _measured(evidence.select(chosen), len(chosen), seed) for value, chosen in values.items()
        }
    sizes = evidence.by_size()
    if sizes:
        result[OBJECT_SIZE] = {name: _measured(part, evidence.size_images(name), seed) for name, part in sizes.items()}
    return result


def _measured(part: Evidence, images: int, seed: int) -> dict[str, Any]:
    return {
        "primary": plain(part.primary(np.ones((1, part.images)))[0]),
        "images": images,
        "confidence": primary_interval(part, resamples_for(part.size), seed),
    }


def _free_name(name: str) -> str:
    """An attribute that has our own name gets another."""
    return f"{name} (attribute)" if name == OBJECT_SIZE else name
