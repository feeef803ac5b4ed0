"""A zip archive with everything for a container: Dockerfile, HTTP server on ONNX Runtime, and the model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dataloop_inference
from dataloop_inference.predictions import Prediction
from dataloop_inference.server import answer
from dataloop_inference.session import onnx_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Agreement, Tolerance, Verification
from dataloop_jobs.faults import VerificationFailed
from dataloop_jobs.inference import predict
from dataloop_jobs.model_folder import DESCRIPTION, GRAPH, LABELS

ARCHIVE = "dockerfile.zip"
_LIMIT = 1e-4
TOLERANCE = Tolerance(
    _LIMIT, "the same graph in the same runtime; scores and boxes are rounded to six digits in between"
)
_PORT = 8080
_ANSWER_LIMIT_S = 60
# Zip entries carry a date; one fixed makes the archive the same for the same content.
_DATE = (2020, 1, 1, 0, 0, 0)

_DOCKERFILE = f"""\
# Build: docker build -t model .    Run: docker run --rm -p 127.0.0.1:80:{_PORT} model
# The base image and all wheels exist for amd64 and arm64; nothing here depends on the processor.
FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY dataloop_inference dataloop_inference
COPY model model
USER nobody
EXPOSE {_PORT}
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{_PORT}/')"]
CMD ["python", "-m", "dataloop_inference.server", "--model", "model", "--host", "0.0.0.0", "--port", "{_PORT}"]
"""

_README = f"""\
# The model as an HTTP server

    docker build -t model .
    docker run --rm -p 127.0.0.1:80:{_PORT} model
    curl -X POST http://127.0.0.1/image -H "Content-Type: application/octet-stream" --data-binary @photo.jpg

Without Docker: `pip install -r requirements.txt`, then `python -m dataloop_inference.server --port {_PORT}`.

The server has no log-in and no encryption: put it behind something that has both before strangers can reach it.
POST /image takes bytes or a multipart form, up to 20 MB. POST /url is refused: the server fetches nothing.
"""


def export(job: ExportJob) -> list[Path]:
    """Write the archive: a few milliseconds."""
    package = Path(dataloop_inference.__file__).parent
    sources = [path for path in package.rglob("*.py") if "__pycache__" not in path.parts]
    content = {f"dataloop_inference/{path.relative_to(package).as_posix()}": path.read_bytes() for path in sources}
    content |= {f"model/{name}": (job.model.folder / name).read_bytes() for name in (GRAPH, DESCRIPTION, LABELS)}
    # The very versions that the verification below runs with.
    pins = [f"{name}=={version(name)}\n" for name in ("numpy", "onnxruntime", "pillow")]
    content |= {"Dockerfile": _DOCKERFILE.encode(), "README.md": _README.encode()}
    content["requirements.txt"] = "".join(pins).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content[name])
    target = job.folder / ARCHIVE
    target.write_bytes(buffer.getvalue())
    return [target]


def verify(job: ExportJob) -> Verification:
    """Unpack the archive, start its server as a process of its own, and ask it each sample over HTTP."""
    model = job.model
    run = onnx_runner(model.graph, job.threads)
    wanted = predict(run, model.task, job.samples, job.store, model.decode_settings)
    largest, spent = 0.0, []
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(job.folder / ARCHIVE) as archive:
            archive.extractall(scratch)
        with running(Path(scratch), job.threads) as address:
            for row, expected in zip(job.samples, wanted, strict=True):
                counted = [found for found in expected if found.score >= model.threshold]
                start = time.perf_counter()
                got = ask(address, job.store.content(row))
                spent.append(time.perf_counter() - start)
                largest = max(largest, _difference(row.uid, counted, got, model.labels))
    if not largest <= _LIMIT:
        raise VerificationFailed(
            f"dockerfile: answers differ from the reference by {largest:.3g} on {len(job.samples)} samples; "
            f"at most {_LIMIT:g} is allowed"
        )
    agreement = Agreement(len(job.samples), largest, _LIMIT)
    latency = round(1000 * sorted(spent)[len(spent) // 2], 2)
    return Verification("answers", "onnx", agreement, TOLERANCE.reason, latency)


@contextmanager
def running(folder: Path, threads: int) -> Iterator[str]:
    """The unpacked archive's server on a free port; yields its address. Raises VerificationFailed when it does not start."""
    command = [sys.executable, "-m", "dataloop_inference.server", "--port", "0", "--threads", str(threads)]
    # The archive's own modules only: nothing of ours may help it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(  # noqa: S603 - fixed arguments
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        if not first:
            raise VerificationFailed(f"dockerfile: the server did not start: {process.stderr.read()[-500:]}")
        yield str(json.loads(first)["listening"])
    finally:
        process.kill()
        process.communicate()


def ask(address: str, content: bytes) -> list[dict[str, Any]]:
    """The server's predictions for one encoded image. Raises VerificationFailed with its answer."""
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{address}/image", content, headers)  # noqa: S310 - our own server
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_LIMIT_S) as response:
            predictions: list[dict[str, Any]] = json.load(response)["predictions"]
            return predictions
    except urllib.error.HTTPError as error:
        raise VerificationFailed(f"dockerfile: the server answered {error.code}: {error.read()[:300]!r}") from error


def _difference(uid: str, wanted: list[Prediction], got: list[dict[str, Any]], labels: tuple[str, ...]) -> float:
    """Largest difference of a score or side of a box. Raises VerificationFailed when labels or masks differ."""
    expected = answer(wanted, labels)["predictions"]
    names = [entry["tagName"] for entry in expected]
    if [entry["tagName"] for entry in got] != names:
        said = [entry["tagName"] for entry in got]
        raise VerificationFailed(f"dockerfile: image uid={uid}: the server says {said}, the reference {names}")
    largest = 0.0
    for ours, theirs in zip(expected, got, strict=True):
        if ours.get("segmentation") != theirs.get("segmentation"):
            raise VerificationFailed(f"dockerfile: image uid={uid}: the mask of {ours['tagName']} differs")
        boxes = (ours.get("boundingBox", {}), theirs.get("boundingBox", {}))
        pairs = [(ours["probability"], theirs["probability"]), *((boxes[0][side], boxes[1][side]) for side in boxes[0])]
        largest = max(largest, *(abs(first - second) for first, second in pairs))
    return largest
