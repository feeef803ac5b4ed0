"""Builds what SageMaker would hand to a job: channels, hyperparameters, and runs the job as a real process."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dataloop_demo.scenes import Scene, compose
from dataloop_inference.masks import encode_part

RUN = Path(__file__).resolve().parents[2] / "jobs" / "run.py"
LABELS = ("0", "1", "2")
# Small enough for tests; the body needs multiples of 32.
SIZE = 64
QUICK: Mapping[str, Any] = {
    "image_size": SIZE,
    "epochs": 2,
    "batch_size": 4,
    "frozen_stages": 5,
    "threads": 1,
    "seed": 3,
}


def scenes(kind: Any, count: int, seed: int = 5) -> list[Scene]:
    """Small scenes of three digits, one or two a scene."""
    return list(compose(kind, count, seed, SIZE, digits=(0, 1, 2), max_digits=2))


def _shares(box: tuple[float, float, float, float]) -> list[float]:
    """Corners in pixels → left, top, width, height as shares of the image."""
    left, top, right, bottom = box
    return [left / SIZE, top / SIZE, (right - left) / SIZE, (bottom - top) / SIZE]


class JobFolder:
    """A SAGEMAKER_BASE_DIR under construction."""

    def __init__(self, base: Path):
        self.base = base
        self.dataset = base / "input" / "data" / "dataset"
        self.images = base / "input" / "data" / "images"
        self.config = base / "input" / "config"
        for folder in (self.dataset, self.images, self.config):
            folder.mkdir(parents=True)
        self.rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
        self.objects: list[dict[str, Any]] = []
        self.labels: Sequence[str] = LABELS
        self.parameters: dict[str, Any] = {"task_type": "detection", **QUICK}
        self.spec = {
            "model_id": "m" * 32,
            "task_id": "t" * 32,
            "dataset": {"version_id": "v2", "name": "digits", "version": "2", "digest": "d2"},
            "test": {"version_id": "v1", "digest": "d1"},
        }

    def add(
        self,
        split: str,
        content: bytes,
        labels: Iterable[tuple[str, Sequence[float] | None]],
        *,
        size: tuple[int, int] = (SIZE, SIZE),
        method: str = "manual",
        **attributes: str,
    ) -> dict[str, Any]:
        """Add one image with its labels (name, box as shares); returns the row, to be changed before `write`."""
        sha256 = hashlib.sha256(content).hexdigest()
        uid = hashlib.sha256(f"{split}{len(self.objects)}{sha256}".encode()).hexdigest()[:32]
        key = f"{split}/Bild {len(self.objects)}+ü.jpg"
        (self.images / split).mkdir(exist_ok=True)
        (self.images / key).write_bytes(content)
        labelled = [{"label": label, "box": list(box) if box else None, "score": None} for label, box in labels]
        row = {
            "uid": uid,
            "sha256": sha256,
            "width": size[0],
            "height": size[1],
            "group": "g",
            "attributes": attributes,
            "annotations": [{"id": uid[:24], "method": method, "labels": labelled}],
        }
        self.rows[split].append(row)
        self.objects.append({"uid": uid, "bucket": "raw", "key": key, "version_id": None, "size_bytes": len(content)})
        return row

    def add_scenes(self, split: str, count: int, seed: int = 5) -> JobFolder:
        """Add composed scenes with their boxes; attribute background = the photograph."""
        kind = "train" if split == "train" else split
        for scene in scenes(kind, count, seed):
            self.add_scene(split, scene)
        return self

    def add_scene(self, split: str, scene: Scene) -> dict[str, Any]:
        """Add one composed scene with its boxes; returns the row."""
        boxes = [_shares(box) for box in scene.boxes]
        return self.add(split, scene.image_bytes, zip(scene.labels, boxes, strict=True), background=scene.background)

    def add_masked_scenes(self, split: str, count: int, seed: int = 5, part: str = "") -> JobFolder:
        """Add composed scenes with the exact mask of each digit as RLE. part: of the scenes; the split's by default."""
        for scene in scenes(part or split, count, seed):
            row = self.add_scene(split, scene)
            for label, ink, (left, top, _, _) in zip(
                row["annotations"][0]["labels"], scene.inks, scene.boxes, strict=True
            ):
                mask = encode_part(ink, round(left), round(top), SIZE, SIZE)
                label["mask"] = {"size": [SIZE, SIZE], "counts": mask.counts}
        return self

    def add_crops(self, split: str, count: int, seed: int = 5, part: str = "") -> JobFolder:
        """Add single digits cut out of scenes, for classification. part: of the scenes; the split's by default."""
        for scene in scenes(part or split, count, seed):
            with Image.open(io.BytesIO(scene.image_bytes)) as image:
                crop = image.crop(scene.boxes[0])
            buffer = io.BytesIO()
            crop.save(buffer, "PNG")
            self.add(split, buffer.getvalue(), [(scene.labels[0], None)], size=crop.size)
        return self

    def write(self) -> JobFolder:
        """Write manifest and configuration."""
        for split, rows in self.rows.items():
            lines = [json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: str(row.get("uid")))]
            (self.dataset / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        (self.dataset / "objects.jsonl").write_text("".join(json.dumps(o) + "\n" for o in self.objects))
        (self.dataset / "label_map.json").write_text(json.dumps({"labels": list(self.labels)}))
        (self.dataset / "spec.json").write_text(json.dumps(self.spec))
        encoded = {name: json.dumps(value) for name, value in self.parameters.items()}
        (self.config / "hyperparameters.json").write_text(json.dumps(encoded))
        return self

    def environment(self) -> dict[str, str]:
        """The environment of the job's process; no AWS settings, so that nothing can be fetched by accident."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, "SAGEMAKER_BASE_DIR": str(self.base), "DATALOOP_JOB_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the job to its end."""
        return subprocess.run(
            [sys.executable, str(RUN), command],
            env={**self.environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
            # Far beyond any job of a test: a machine may be busy with others.
            timeout=600,
        )

    def processing(self, model: Path) -> Path:
        """Lay the same dataset and images, and a model, out as a processing job; returns its output folder."""
        root = self.base / "processing"
        (root / "input").mkdir(parents=True, exist_ok=True)
        for name, source in (("dataset", self.dataset), ("images", self.images), ("model", model)):
            shutil.copytree(source, root / "input" / name, dirs_exist_ok=True)
        return root / "output"

    @property
    def failure(self) -> str:
        """The content of output/failure, empty when there is none."""
        path = self.base / "output" / "failure"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def output(self, name: str) -> Any:
        """A JSON file of output/data."""
        return json.loads((self.base / "output" / "data" / name).read_text(encoding="utf-8"))
