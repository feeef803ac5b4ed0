"""A SAGEMAKER_BASE_DIR made from examples, and the job run in it as SageMaker would run it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Usage, run

_RUN = ROOT / "jobs" / "run.py"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Example:
    """One image with its labels as they stand in a manifest: {"label", "box", "score"} and perhaps "polygons" or "mask"."""

    content: bytes
    width: int
    height: int
    labels: Sequence[Mapping[str, Any]]
    group: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The content names the image."""
        return hashlib.sha256(self.content).hexdigest()[:32]


class JobRun:
    """One folder, one training, and the processing jobs after it."""

    def __init__(self, base: Path):
        self.base = base
        self._dataset = base / "input" / "data" / "dataset"
        self._images = base / "input" / "data" / "images"

    def write(self, examples: Mapping[str, Iterable[Example]], labels: Sequence[str]) -> JobRun:
        """Lay out the channels dataset and images. examples: by split."""
        for folder in (self._dataset, self._images, self.base / "input" / "config"):
            folder.mkdir(parents=True, exist_ok=True)
        places: dict[str, dict[str, Any]] = {}
        for split in SPLITS:
            rows = sorted(
                (self._row(example, places) for example in examples.get(split, ())), key=lambda row: row["uid"]
            )
            _write_lines(self._dataset / f"{split}.jsonl", rows)
        _write_lines(self._dataset / "objects.jsonl", [places[uid] for uid in sorted(places)])
        (self._dataset / "label_map.json").write_text(json.dumps({"labels": list(labels)}))
        (self._dataset / "spec.json").write_text(json.dumps({"model_id": None, "dataset": {}, "test": {}}))
        return self

    def _row(self, example: Example, places: dict[str, dict[str, Any]]) -> dict[str, Any]:
        sha256, uid = hashlib.sha256(example.content).hexdigest(), example.uid
        (self._images / uid).write_bytes(example.content)
        size = len(example.content)
        places[uid] = {"uid": uid, "bucket": "raw", "key": uid, "version_id": None, "size_bytes": size}
        return {
            "uid": uid,
            "sha256": sha256,
            "width": example.width,
            "height": example.height,
            "group": example.group or uid,
            "attributes": dict(example.attributes),
            "annotations": [{"id": uid[:24], "method": "manual", "labels": list(example.labels)}],
        }

    def train(self, *, parent: Path | None = None, **parameters: Any) -> Usage:
        """Run the training job to its end. parent: a model folder. Raises ChildFailed."""
        encoded = {name: json.dumps(value) for name, value in parameters.items()}
        (self.base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(encoded))
        if parent is not None:
            shutil.copytree(parent, self.base / "input" / "data" / "parent", dirs_exist_ok=True)
        return self._run("train")

    def process(
        self, command: str, dataset: Mapping[str, Sequence[Mapping[str, Any]]], model: Path | None, **environment: str
    ) -> Usage:
        """Run a processing job with the same images. dataset: file name → rows; objects.jsonl is added."""
        inputs = self.base / "processing" / "input"
        shutil.rmtree(self.base / "processing", ignore_errors=True)
        (inputs / "dataset").mkdir(parents=True)
        for name, rows in dataset.items():
            _write_lines(inputs / "dataset" / name, rows)
        shutil.copy(self._dataset / "objects.jsonl", inputs / "dataset")
        (inputs / "images").symlink_to(self._images, target_is_directory=True)
        if model is not None:
            shutil.copytree(model, inputs / "model")
        return self._run(command, **environment)

    def _run(self, command: str, **environment: str) -> Usage:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        own = {"SAGEMAKER_BASE_DIR": str(self.base), "DATALOOP_JOB_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return run([sys.executable, str(_RUN), command], {**kept, **own, **environment})

    @property
    def model(self) -> Path:
        """The trained model's folder."""
        return self.base / "model"

    def report(self, name: str) -> Any:
        """A JSON file of the training's output."""
        return json.loads((self.base / "output" / "data" / name).read_text())

    def primary(self) -> float:
        """The number that models are compared by; 0 when the test split gave none."""
        return float(self.report("metrics.json")["primary"]["value"] or 0.0)

    def answer(self, name: str) -> dict[str, Any]:
        """A JSON file of the last processing job."""
        found: dict[str, Any] = json.loads((self.base / "processing" / "output" / name).read_text())
        return found


def image_row(example: Example) -> dict[str, Any]:
    """A row of images.jsonl."""
    return {
        "uid": example.uid,
        "sha256": hashlib.sha256(example.content).hexdigest(),
        "width": example.width,
        "height": example.height,
        "group": example.group or example.uid,
        "attributes": dict(example.attributes),
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
