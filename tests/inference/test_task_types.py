"""Every task type: the jobs' own predictions and those of a loaded model are the same, on real images.

The networks are not trained, and boxes count from a lower score: it is the way to the answer that is compared.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from dataloop_inference.masks import decode as unpack
from dataloop_inference.model import LoadedModel
from dataloop_inference.predictions import Prediction
from dataloop_inference.session import onnx_runner
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.declarations import TASK_TYPES, find
from dataloop_jobs.exporters import onnx
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import predict
from dataloop_jobs.parameters import Parameters
from tests.jobs.job_folder import LABELS, SIZE, JobFolder

# Flips of single pixels by the last bit of a float, of a mask's pixels.
FLIPS = 0.01


def is_same(said: Prediction, found: Prediction) -> bool:
    """Label, score and box to six decimals, masks but for flips."""
    if said.label != found.label or said.score != pytest.approx(found.score, abs=2e-6):
        return False
    if said.box is not None and said.mask is None and said.box != pytest.approx(found.box, abs=2e-6):
        return False
    if said.mask is None or found.mask is None:
        return said.mask is found.mask
    ours, theirs = unpack(said.mask), unpack(found.mask)
    return bool((ours != theirs).sum() <= FLIPS * ours.sum())


@pytest.mark.parametrize("name", TASK_TYPES)
def test_a_loaded_model_says_what_the_jobs_say(name: str, tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job").add_masked_scenes("test", 4).write()
    task = find(TASK_TYPES, "task_type", name).load().IMPLEMENTATION
    torch.manual_seed(3)
    network = task.build(Parameters.decode({"task_type": name, "image_size": SIZE}), len(LABELS), pretrained=False)
    onnx.convert(network.eval(), task, SIZE, tmp_path / "model.onnx")
    settings = task.decode_settings()
    if "score_floor" in settings:
        settings["score_floor"] = 1e-4
    description = {
        "format": 1,
        "task_type": name,
        "labels": LABELS,
        "image_size": SIZE,
        "decode": {**settings, "threshold": None},
        "onnx": {"sha256": hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()},
    }
    (tmp_path / "model.json").write_text(json.dumps(description), encoding="utf-8")
    rows = read_dataset(job.dataset, needs="nothing", splits=("test",)).test
    store = ImageStore(job.images, SIZE, 0)
    said = predict(onnx_runner(tmp_path / "model.onnx", 1), task, rows, store, settings)
    images = [(job.images / row.place.key).read_bytes() for row in rows]
    found = LoadedModel.open(tmp_path).predict(images)
    assert sum(map(len, said)) > 0
    for ours, theirs in zip(said, found, strict=True):
        assert len(ours) == len(theirs)
        assert all(map(is_same, ours, theirs))
