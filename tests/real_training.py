"""The real training job as SageMaker would run it, over the objects of an in-process account."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.core import ARTIFACTS, RAW, Core

RUN = Path(__file__).resolve().parents[1] / "jobs" / "run.py"


def run_training(core: Core, job: dict[str, Any], folder: Path, **environment: str) -> str:
    """What CreateTrainingJob would do with the answer of training.prepare; returns the URI of model.tar.gz."""
    for channel in job["input_data_config"]:
        _fetch(core, channel, folder / "input" / "data" / channel["ChannelName"])
    config = folder / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(job["hyper_parameters"]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, str(RUN), "train"],
        env={**kept, "SAGEMAKER_BASE_DIR": str(folder), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,  # far beyond any training of a test: a machine may be busy with others
    )
    assert done.returncode == 0, done.stderr[-3000:]
    prefix = f"{job['output_uri'].removeprefix(f's3://{ARTIFACTS}/')}/{job['job_name']}/output"
    for name, source in (("model", folder / "model"), ("output", folder / "output" / "data")):
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz") as archive:
            for path in sorted(source.rglob("*")):
                archive.add(path, path.relative_to(source).as_posix(), recursive=False)
        core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/{name}.tar.gz", Body=target.getvalue())
    return f"s3://{ARTIFACTS}/{prefix}/model.tar.gz"


def _fetch(core: Core, channel: dict[str, Any], target: Path) -> None:
    """Lay one channel out in a folder; the code is the tree's own."""
    source = channel["DataSource"]["S3DataSource"]
    if channel["ChannelName"] == "code":
        return
    key = source["S3Uri"].removeprefix(f"s3://{ARTIFACTS}/")
    objects = core.objects()
    if source["S3DataType"] == "ManifestFile":
        names = json.loads(objects[key])[1:]
        contents = {name: core.clients.s3.get_object(Bucket=RAW, Key=name)["Body"].read() for name in names}
    else:
        contents = {name.removeprefix(key): body for name, body in objects.items() if name.startswith(key)}
    for name, body in contents.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
