"""The test application's job: does what its hyperparameters (or EXPORT_FORMAT-like variables) ask for."""

import json
import os
import pathlib
import signal
import sys
import time

BASE = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def train():
    parameters = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    checkpoints = BASE / "checkpoints"
    sys.stdout.write(f"training with {json.dumps(parameters, sort_keys=True)}\n")
    (BASE / "output/data/seen.json").write_text(json.dumps(_seen()))
    (BASE / "model/model.txt").write_text("weights")
    if parameters.get("board"):
        (BASE / "output/tensorboard").mkdir()
        (BASE / "output/tensorboard/events").write_text(parameters["board"])
    if parameters.get("fail"):
        (BASE / "output/failure").write_text(parameters["fail"])
        sys.exit(int(parameters.get("exit", "1")))
    if parameters.get("wait"):
        (checkpoints / "progress.json").write_text(json.dumps({"pid": os.getpid(), "done": 1}))
        if parameters["wait"] == "stubborn":
            signal.signal(signal.SIGTERM, lambda *_: sys.stdout.write("ignoring\n"))
        else:
            signal.signal(signal.SIGTERM, lambda *_: _leave(checkpoints))
        while True:
            time.sleep(0.05)


def _leave(checkpoints):
    (checkpoints / "last.txt").write_text("saved at SIGTERM")
    sys.exit(0)


def _seen():
    files = {str(path.relative_to(BASE)): path.stat().st_size for path in BASE.rglob("*") if path.is_file()}
    return {
        "files": files,
        "environment": dict(os.environ),
        "config": {path.stem: json.loads(path.read_text()) for path in (BASE / "input/config").glob("*.json")},
    }


def process():
    sys.stdout.write("processing\n")
    if os.environ.get("PROBE_FAIL"):
        sys.exit("processing was told to fail")
    output = BASE / "processing/output"
    (output / "seen.json").write_text(json.dumps(_seen()))
    (output / "nested").mkdir()
    (output / "nested/file.txt").write_text("nested")


if __name__ == "__main__":
    {"train": train, "process": process}[sys.argv[1]]()
