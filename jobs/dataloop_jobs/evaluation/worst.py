"""The images a model is most wrong about, and why: worst.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataloop_inference.predictions import Prediction, as_json
from dataloop_jobs.dataset import Row, Truth
from dataloop_jobs.evaluation.evidence import Evidence, Fault

MOST_IMAGES = 50
# Of one image; an image with more faults is bad enough without the rest.
_MOST_FAULTS = 50


def worst_images(
    evidence: Evidence,
    rows: Sequence[Row],
    predictions: Sequence[Sequence[Prediction]],
    labels: Sequence[str],
    threshold: float,
) -> list[dict[str, Any]]:
    """Up to 50 images with a fault, highest loss first; equal losses in the order of their uids.

    Each: uid, width, height, loss, why (one word a kind of fault, most frequent first), faults, truth and predictions
    (those with at least the threshold) with label, box and mask or polygons.
    """
    findings = list(enumerate(evidence.findings(threshold)))
    wrong = sorted((pair for pair in findings if pair[1].faults), key=lambda pair: (-pair[1].loss, rows[pair[0]].uid))
    images = []
    for index, finding in wrong[:MOST_IMAGES]:
        row, said = rows[index], predictions[index]
        counts: dict[str, int] = {}
        for fault in finding.faults:
            counts[fault.kind] = counts.get(fault.kind, 0) + 1
        images.append(
            {
                "uid": row.uid,
                "width": row.width,
                "height": row.height,
                "loss": round(finding.loss, 6),
                "why": sorted(counts, key=lambda kind: (-counts[kind], kind)),
                "faults": [_fault(fault, row, said, labels) for fault in finding.faults[:_MOST_FAULTS]],
                "truth": [_truth(truth, labels) for truth in row.truths],
                "predictions": [as_json(one, labels) for one in said if one.score >= threshold],
            }
        )
    return images


def _fault(fault: Fault, row: Row, said: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    truth = None if fault.truth is None else row.truths[fault.truth]
    prediction = None if fault.prediction is None else said[fault.prediction]
    return {
        "kind": fault.kind,
        "label": None if fault.label is None else labels[fault.label],
        "said": None if fault.said is None else _name(fault.said, labels),
        "truth_box": None if truth is None else rounded(truth.box),
        "said_box": None if prediction is None else rounded(prediction.box),
        "score": None if prediction is None else round(prediction.score, 6),
        "iou": None if fault.iou is None else round(fault.iou, 6),
    }


def _name(number: int, labels: Sequence[str]) -> str:
    return labels[number] if number < len(labels) else "background"


def _truth(truth: Truth, labels: Sequence[str]) -> dict[str, Any]:
    shape: dict[str, Any] = {"label": labels[truth.label], "box": rounded(truth.box)}
    if truth.polygons is not None:
        shape["polygons"] = [[round(value, 6) for value in polygon] for polygon in truth.polygons]
    if truth.mask is not None:
        shape["mask"] = {"size": [truth.mask.height, truth.mask.width], "counts": truth.mask.counts}
    return shape


def rounded(box: tuple[float, float, float, float] | None) -> list[float] | None:
    """A box for JSON: six decimals are a thousandth of a pixel at most."""
    return None if box is None else [round(value, 6) for value in box]
