"""Small real pictures, uploaded and labelled through the client, as a device would do it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop_demo.scenes import compose

# A training that is over in seconds: it proves the path, not the accuracy.
QUICK = {"epochs": 1, "image_size": 64, "batch_size": 8, "threads": 1, "frozen_stages": 5, "augment": "none"}


@dataclass(frozen=True)
class Labelled:
    """One uploaded, registered and annotated picture."""

    uid: str
    object_name: str
    annotation_id: str


def raw_data(upload: Any, split: str) -> dict[str, Any]:
    return {
        "uid": upload.uid,
        "type": "image",
        "region": "CN",
        "securityLevel": "low",
        "storage": {"storageId": upload.storage_id, "bucket": upload.bucket, "objectName": upload.object_name},
        "fileMeta": {},
        "bg": "ap",
        "owner": "e2e",
        "extra": {"split": split, "device": "camera-1"},
        "sourceInfo": {"type": "trigger"},
    }


def annotation(uid: str, boxes: Any, labels: Any) -> dict[str, Any]:
    return {
        "annotationType": "detection",
        "bg": "ap",
        "owner": "e2e",
        "dataId": [uid],
        "labelInfo": [
            {"bbox_xyxy": [float(value) for value in box], "label": label}
            for box, label in zip(boxes, labels, strict=True)
        ],
        "labelMethod": "manual",
        "labelScope": [],
    }


def upload_scenes(client: AnkerAutoTrainSDK, folder: Path, name: str, count: int, seed: int) -> list[Labelled]:
    """Scenes in a directory of their own; every fourth is for validation, every fifth for the test."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index, scene in enumerate(compose("train", count, seed, size=96)):
        path = folder / f"{index:03d}.jpg"
        path.write_bytes(scene.image_bytes)
        upload = client.upload_file(str(path), name)
        split = "val" if index % 4 == 1 else "test" if index % 5 == 2 else "train"
        client.upload_raw_data(raw_data(upload, split))
        made = client.upload_annotated_data(annotation(upload.uid, scene.boxes, scene.labels))
        found.append(Labelled(upload.uid, upload.object_name, made.annotation_data_id))
    return found


def dataset_info(name: str, version: str) -> dict[str, Any]:
    return {
        "annotationBy": [],
        "annotationType": "detection",
        "bg": "ap",
        "datasetName": name,
        "datasetVersion": version,
        "modelType": "teacher",
        "owner": "e2e",
        "remark": "",
        "versionType": "train",
    }
