"""A model asked about images: python -m … make FOLDER | ours|rival FOLDER COUNT → {"cold_s", "warm_ms", "peak_mb", "says"}.

`make` writes a model folder (ImageNet body, untrained head: speed does not depend on what was learnt) and a photograph.
Both sides read the same request, JSON with the image in base64, and write an answer. `ours` is the function's own path
but for DynamoDB and keys; `rival` is what somebody would write with ONNX Runtime alone, for this one model. `cold_s` is
the CPU time from the start of the process to the first answer, `warm_ms` that of each further one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 224
LABELS = [f"label {number}" for number in range(10)]


def make(folder: Path) -> None:
    import torch
    from PIL import Image
    from skimage import data

    from dataloop_inference.images import preprocess_description
    from dataloop_jobs.declarations import TASK_TYPES, find
    from dataloop_jobs.exporters import onnx
    from dataloop_jobs.parameters import Parameters

    torch.manual_seed(1)
    parameters = Parameters.decode({"task_type": "classification", "image_size": SIZE})
    task = find(TASK_TYPES, "task_type", "classification").load().IMPLEMENTATION
    network = task.build(parameters, len(LABELS), pretrained=True).eval()
    onnx.convert(network, task, SIZE, folder / "model.onnx")
    description = {
        "format": 1,
        "model_id": "bench",
        "task_type": "classification",
        "labels": LABELS,
        "image_size": SIZE,
        "preprocess": preprocess_description(SIZE),
        "decode": {**task.decode_settings(), "threshold": None},
        "onnx": {"sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()},
    }
    (folder / "model.json").write_text(json.dumps(description))
    target = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((1024, 1024)).save(target, "JPEG", quality=90)
    content = base64.b64encode(target.getvalue()).decode()
    (folder / "request.json").write_text(json.dumps({"model_id": "bench", "images": [{"content": content}]}))


def ours(folder: Path) -> Callable[[str], str]:
    from dataloop.domain.models import Model
    from dataloop.services.predicting import Answered
    from infer import wire
    from model_runner.runner import ModelRunner

    class Files:
        """The model's folder in place of the bucket."""

        def get(self, key: str, version_id: str | None = None) -> bytes:
            return (folder / Path(key).name).read_bytes()

        def head(self, key: str, version_id: str | None = None) -> Any:
            return type("Stored", (), {"size_bytes": (folder / Path(key).name).stat().st_size})

    names = ("tenant", "id", "name", "version", "status", "task_type", "architecture", "task_id", "created_at")
    model = Model(**dict.fromkeys(names, "bench"), dataset={}, test={})  # type: ignore[arg-type]
    runner = ModelRunner(folder / "graphs")

    def answer(text: str) -> str:
        question = wire.question(json.loads(text))
        images = [image for image in question.images if isinstance(image, bytes)]
        found = runner.run(model, Files(), images, 0.0, 100)  # type: ignore[arg-type]
        return wire.answer_text(Answered(model, tuple(found)), question)

    return answer


def rival(folder: Path) -> Callable[[str], str]:
    import numpy as np
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answer(text: str) -> str:
        results = []
        for entry in json.loads(text)["images"]:
            image = Image.open(io.BytesIO(base64.b64decode(entry["content"]))).convert("RGB")
            pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.float32)
            logits = session.run(None, {name: ((pixels - 127) / 128).transpose(2, 0, 1)[None]})[0][0]
            odds = np.exp(logits - logits.max())
            shares = odds / odds.sum()
            best = np.argsort(-shares)
            results.append({"predictions": [{"label": LABELS[i], "score": round(float(shares[i]), 6)} for i in best]})
        return json.dumps({"results": results})

    return answer


def main() -> None:
    side, folder = sys.argv[1], Path(sys.argv[2])
    if side == "make":
        make(folder)
        return
    text = (folder / "request.json").read_text()
    answer = {"ours": ours, "rival": rival}[side](folder)
    first = answer(text)
    cold_s = time.process_time()
    count = int(sys.argv[3])
    for _ in range(count):
        answer(text)
    warm_ms = (time.process_time() - cold_s) * 1000 / count
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    says = {one["label"]: one["score"] for one in json.loads(first)["results"][0]["predictions"]}
    print(json.dumps({"cold_s": cold_s, "warm_ms": warm_ms, "peak_mb": peak_mb, "says": says}))


if __name__ == "__main__":
    main()
