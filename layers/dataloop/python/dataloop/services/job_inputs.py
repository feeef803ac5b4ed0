"""What jobs read: dataset folders for training and evaluation, made from manifests by copying, never by reading tables."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.gateways.objects import Bucket
from dataloop.services.held_back import HeldBack

# Ours: what a quantiser measures its ranges on (jobs/dataloop_jobs/exporters/onnx_int8.py reads no more).
CALIBRATION_IMAGES = 100


class JobInputs:
    """Writes the `dataset` channel of a job below a prefix."""

    def __init__(self, artifacts: Bucket, raw: Bucket) -> None:
        self._artifacts = artifacts
        self._raw = raw

    def for_training(self, target: str, version: DatasetVersion, test: DatasetVersion, spec: Mapping[str, Any]) -> None:
        """train and val of one version, test of another (or the same), without what the test set has (HeldBack).

        A frozen test set only tells the truth when nothing of it was learnt: rows of train and val whose image or
        group is in it, or that look like one of it, are left out, and counted in spec["held_back"].
        """
        source, frozen = f"{version.manifest_prefix}", f"{test.manifest_prefix}"
        labels = set(self._labels(source)) | set(self._labels(frozen))
        held_back = 0
        if version.id == test.id:
            for name in ("train.jsonl", "val.jsonl", "test.jsonl", "objects.jsonl", "images.manifest"):
                self._artifacts.copy(f"{source}/{name}", f"{target}/{name}")
        else:
            self._artifacts.copy(f"{frozen}/test.jsonl", f"{target}/test.jsonl")
            held_back = self._without_test(version, test, target, ("train.jsonl", "val.jsonl"))
        self._put(f"{target}/label_map.json", {"labels": sorted(labels)})
        self._put(f"{target}/spec.json", dict(spec) | {"held_back": held_back})

    def for_validation(
        self, target: str, version: DatasetVersion, test: DatasetVersion, labels: list[str], spec: Mapping[str, Any]
    ) -> None:
        """The val split of one version alone, without what is in the frozen test set: choices made on it leak nothing."""
        source = f"{version.manifest_prefix}"
        held_back = self._without_test(version, test, target, ("val.jsonl",), keep_test=False)
        self._put(f"{target}/label_map.json", {"labels": sorted(set(labels) | set(self._labels(source)))})
        self._put(f"{target}/spec.json", dict(spec) | {"held_back": held_back})

    def _without_test(
        self,
        version: DatasetVersion,
        test: DatasetVersion,
        target: str,
        names: tuple[str, ...],
        *,
        keep_test: bool = True,
    ) -> int:
        source, frozen = f"{version.manifest_prefix}", f"{test.manifest_prefix}"
        out = HeldBack(self._artifacts, version, test)
        held_back, kept = 0, set(out.uids) if keep_test else set()
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                path = Path(folder, name)
                with path.open("wb") as file:
                    for line in self._artifacts.lines(f"{source}/{name}"):
                        row = json.loads(line)
                        if row in out:
                            held_back += 1
                            continue
                        kept.add(row["uid"])
                        file.write(line + b"\n")
                self._artifacts.upload(path, f"{target}/{name}")
            self._objects([source, frozen], kept, target, Path(folder))
        return held_back

    def for_test(
        self,
        target: str,
        test: DatasetVersion,
        labels: list[str],
        spec: Mapping[str, Any],
        calibration: DatasetVersion | None = None,
    ) -> None:
        """The test split of one version alone, with the labels of the model that will be judged by it.

        calibration: a version whose first training images come too, as train.jsonl: what a quantiser looks at.
        """
        frozen = f"{test.manifest_prefix}"
        self._artifacts.copy(f"{frozen}/test.jsonl", f"{target}/test.jsonl")
        uids, sources = {json.loads(line)["uid"] for line in self._artifacts.lines(f"{frozen}/test.jsonl")}, [frozen]
        if calibration is not None:
            sources.append(f"{calibration.manifest_prefix}")
            out = HeldBack(self._artifacts, calibration, test)
            lines = self._artifacts.lines(f"{calibration.manifest_prefix}/train.jsonl")
            rows = ((line, json.loads(line)) for line in lines)
            # Rows are in order of uids, which are digests: the first ones are a sample.
            free = (pair for pair in rows if pair[1] not in out)
            taken = list(islice(free, CALIBRATION_IMAGES))
            self._artifacts.put(f"{target}/train.jsonl", b"".join(line + b"\n" for line, _ in taken))
            uids = uids | {row["uid"] for _, row in taken}
        with tempfile.TemporaryDirectory() as folder:
            self._objects(sources, uids, target, Path(folder))
        self._put(f"{target}/label_map.json", {"labels": sorted(set(labels) | set(self._labels(frozen)))})
        self._put(f"{target}/spec.json", spec)

    def _objects(self, sources: list[str], wanted: set[str], target: str, folder: Path) -> None:
        """objects.jsonl and images.manifest of the wanted images; a place named by two versions is written once."""
        pending, keys = set(wanted), []
        path = folder / "objects.jsonl"
        with path.open("wb") as file:
            for source in sources:
                for line in self._artifacts.lines(f"{source}/objects.jsonl"):
                    place = json.loads(line)
                    if place["uid"] in pending:
                        pending.discard(place["uid"])
                        keys.append(place["key"])
                        file.write(line + b"\n")
        self._artifacts.upload(path, f"{target}/objects.jsonl")
        images = [{"prefix": f"s3://{self._raw.name}/"}, *dict.fromkeys(keys)] if keys else []
        self._put(f"{target}/images.manifest", images)

    def _labels(self, prefix: str) -> list[str]:
        labels: list[str] = json.loads(self._artifacts.get(f"{prefix}/label_map.json"))["labels"]
        return labels

    def _put(self, key: str, value: object) -> None:
        self._artifacts.put(key, canonical_json(value))


def processing_inputs(*, code: str, dataset: str, images: str | None, **models: str | None) -> list[dict[str, Any]]:
    """ProcessingInputs of CreateProcessingJob; images: the URI of a manifest; models: folders by input name.

    SageMaker refuses an input without a location, so there is none for what is None.
    """
    folders = {"code": code, "dataset": dataset} | {name: uri for name, uri in models.items() if uri is not None}
    found = [folder_input(name, uri) for name, uri in folders.items()]
    listed = [] if images is None else [folder_input("images", images, "ManifestFile")]
    return [*found[:2], *listed, *found[2:]]


def folder_input(name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
    """One ProcessingInput: what lies below a prefix, or what a manifest names, in a folder of the job."""
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"/opt/ml/processing/input/{name}",
            "S3DataType": kind,
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }
