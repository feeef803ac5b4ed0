"""Every task type in every format, each converter in its own environment: `make test-exports`.

Prints the table of docs/exports.md. A format whose environment is not built is skipped by name.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloop_jobs.declarations import EXPORTERS, TASK_TYPES, Declaration
from dataloop_jobs.exporters.verification import SAMPLES
from tests.jobs.job_folder import JobFolder

pytestmark = pytest.mark.exports

ENVIRONMENTS = os.environ.get("DATALOOP_EXPORT_ENVIRONMENTS", "")
# As many as a verification takes.
TEST_IMAGES = SAMPLES


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], JobFolder]:
    """A tiny model of each task type, trained when it is first asked for, laid out as a processing job."""
    known: dict[str, JobFolder] = {}

    def train(task_type: str) -> JobFolder:
        if task_type not in known:
            job = JobFolder(tmp_path_factory.mktemp(task_type) / "job")
            job.parameters["task_type"] = task_type
            add = job.add_crops if task_type == "classification" else job.add_scenes
            for split, count in (("train", 16), ("val", 4), ("test", TEST_IMAGES)):
                add(split, count)
            if "segmentation" in task_type:
                outline(job)
            done = job.write().run("train")
            assert done.returncode == 0, done.stderr
            job.processing(job.base / "model")
            known[task_type] = job
        return known[task_type]

    return train


def outline(job: JobFolder) -> None:
    """Give every label its box as a polygon."""
    for row in (row for rows in job.rows.values() for row in rows):
        for label in row["annotations"][0]["labels"]:
            left, top, width, height = label["box"]
            right, bottom = left + width, top + height
            label["polygons"] = [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture(scope="session")
def table() -> Iterator[list[str]]:
    """Lines for docs/exports.md, printed at the end."""
    lines = [
        "",
        "| task type | format | MB | ms | ONNX ms | largest difference | allowed | checked |",
        "|" + "---|" * 8,
    ]
    yield lines
    print("\n".join(lines))  # noqa: T201 - the point of the command


def line(task_type: str, said: dict[str, Any]) -> str:
    cells = [
        task_type,
        said["format"],
        f"{said['size_bytes'] / 1e6:.1f}",
        "—" if said["latency_ms"] is None else f"{said['latency_ms']:.1f}",
        "—" if said["reference_latency_ms"] is None else f"{said['reference_latency_ms']:.1f}",
        f"{said['max_abs_diff']:.1e}",
        "by accuracy" if said["tolerance"] is None else f"{said['tolerance']:g}",
        said["checked"],
    ]
    return f"| {' | '.join(cells)} |"


def require_environment(entry: Declaration) -> None:
    """Skip, by name, a format that cannot be converted here."""
    missing = [module for module in entry.modules if importlib.util.find_spec(module) is None]
    python = Path(ENVIRONMENTS, entry.name, "bin", "python")
    if missing and not (ENVIRONMENTS and python.is_file()):
        pytest.skip(f"{entry.name} needs {missing}: make export-environments FORMATS={entry.name}")


@pytest.mark.parametrize("task_type", sorted(TASK_TYPES))
@pytest.mark.parametrize("format", sorted(EXPORTERS))
def test_the_artefact_says_what_the_model_says(
    trained: Callable[[str], JobFolder], table: list[str], task_type: str, format: str
) -> None:
    require_environment(EXPORTERS[format])
    if EXPORTERS[format].supports and task_type not in EXPORTERS[format].supports:
        pytest.skip(f"{format} has no place for masks")
    job = trained(task_type)
    # A model of 16 images loses what it loses to int8; tests/jobs/test_exports.py tests the gate.
    done = job.run("export", EXPORT_FORMAT=format, EXPORT_MAX_DROP="1", DATALOOP_EXPORT_ENVIRONMENTS=ENVIRONMENTS)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads((job.base / "processing" / "output" / "verification.json").read_text("utf-8"))
    assert said["samples"] == TEST_IMAGES
    assert "note" not in said
    assert said["passed"] is True
    table.append(line(task_type, said))
