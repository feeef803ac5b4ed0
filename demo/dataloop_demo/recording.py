"""Gathers what the service, its jobs and its meter say of a finished run, as one JSON document.

The report is drawn from this document alone, so every figure in it can be traced: the document is written beside it.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop_demo.scoring import Agreement, agreement

Json = dict[str, Any]

# Files of a model that the report shows: (name, key in the document).
_FILES = {
    "model_card.json": "card",
    "model.json": "description",
    "metrics.json": "metrics",
    "curves.json": "curves",
    "confusion.json": "confusion",
    "history.json": "history",
}
_BEST = _WORST = 6
# (split, arrived in round 2) of the images whose origin is shown.
_LINEAGE = (("train", False), ("train", True), ("val", False), ("test", False))
_PICTURE_SIDE = 480


def model_facts(client: AnkerAutoTrainSDK, model_id: str, work: Path) -> Json:
    """A model's record and the files its job wrote. Cost: one call and one download a file."""
    folder = work / "models" / model_id
    record: Json = client.get_model(model_id).to_dict()
    facts: Json = {"model": record}
    for name, key in _FILES.items():
        facts[key] = json.loads(
            Path(client.download_model_file(model_id, name, folder, overwrite=True).path).read_bytes()
        )
    lines = (
        Path(client.download_model_file(model_id, "predictions.jsonl", folder, overwrite=True).path)
        .read_text()
        .splitlines()
    )
    facts["predictions"] = [json.loads(line) for line in lines]
    return facts


def samples(client: AnkerAutoTrainSDK, shown: Json, before: Json | None, work: Path) -> list[Json]:
    """Held-out images with truth and predictions: the best and the worst scenes of the shown model.

    shown, before: model_facts of the model that is released, and of the one before it, for comparison.
    Predictions below the model's own threshold are left out, as on a device.
    """
    ranked = sorted(_judged(shown), key=lambda pair: (pair[1].f1, pair[1].found, pair[0]["uid"]))
    # A scene without objects says little; of those that are all right the busiest are the most telling.
    worst = ranked[:_WORST]
    best = [pair for pair in reversed(ranked) if pair not in worst][:_BEST]
    earlier = {row["uid"]: judged for row, judged in _judged(before)} if before else {}
    found = []
    for kind, pairs in (("best", best), ("worst", worst)):
        for row, judged in pairs:
            old = earlier.get(row["uid"])
            found.append(
                {
                    "uid": row["uid"],
                    "kind": kind,
                    "picture": picture(client, row["uid"], work),
                    "boxes": judged.boxes,
                    "found": judged.found,
                    "missed": judged.missed,
                    "wrong": judged.wrong,
                    "before": {"found": old.found, "missed": old.missed, "wrong": old.wrong} if old else None,
                }
            )
    return found


def _judged(facts: Json) -> Iterator[tuple[Json, Agreement]]:
    threshold = float(facts["metrics"].get("threshold") or 0)
    for row in facts["predictions"]:
        if row["truth"]:
            yield row, agreement(row["truth"], [each for each in row["predictions"] if each["score"] >= threshold])


def picture(client: AnkerAutoTrainSDK, uid: str, work: Path) -> Json:
    """An image, downloaded from the service and made small, as a data URI with its size in pixels."""
    path = Path(client.download_file_by_uid(uid, work / "pictures" / uid, overwrite=True).path)
    with Image.open(path) as image:
        is_small = image.format == "JPEG" and max(image.size) <= _PICTURE_SIDE
        data = path.read_bytes()
        if not is_small:
            small = image.convert("RGB")
            small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=85)
            data = buffer.getvalue()
            return _data_uri(data, small.width, small.height)
        return _data_uri(data, image.width, image.height)


def _data_uri(data: bytes, width: int, height: int) -> Json:
    return {"src": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", "width": width, "height": height}


def lineage(client: AnkerAutoTrainSDK, model_id: str, new_uids: frozenset[str], work: Path) -> Json:
    """From the model to some of its images, and from one image back to everything it is in.

    new_uids: the images of round 2. Four images at most, one of each kind in _LINEAGE that the model has.
    """
    page = client.why(model_id, limit=1000)
    rows = [each.to_dict() for each in page.images]
    chosen = []
    for split, is_new in _LINEAGE:
        found = (row for row in rows if row["split"] == split and (row["uid"] in new_uids) == is_new)
        chosen += [row for row in [next(found, None)] if row]
    images = []
    for row in chosen:
        labels = [label["label"] for each in client.get_annotations(row["uid"]) for label in each["labelInfo"]]
        is_new = row["uid"] in new_uids
        images.append(row | {"picture": picture(client, row["uid"], work), "labels": sorted(labels), "is_new": is_new})
    usage = client.get_usage(images[0]["uid"]).to_dict()
    return {"dataset": page.dataset.to_dict(), "images": images, "usage": {"uid": images[0]["uid"], **usage}}


def tasks(client: AnkerAutoTrainSDK) -> list[Json]:
    """Every task of the run, oldest first, without links that expire."""
    names = ("task_id", "kind", "status", "target", "parent_id", "attempt", "error", "created_at", "updated_at")
    found = [{name: task.to_dict().get(name) for name in names} for task in client.iter_tasks()]
    return sorted(found, key=lambda task: str(task["created_at"]))
