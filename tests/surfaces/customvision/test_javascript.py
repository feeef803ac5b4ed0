"""Microsoft's JavaScript clients against the deployed stack: the main flow of a project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deployed import DeployedStack
from tests.surfaces.customvision.drawings import write_folder

pytestmark = [pytest.mark.stack, pytest.mark.slow]

SOURCE = Path(__file__).parent / "javascript"
FIGURES = ("disc", "cross")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the flow with the clients that its lock file names, outside the source tree."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("node and npm are missing")
    folder = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "package-lock.json", "flow.js"):
        shutil.copy(SOURCE / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm could not install Microsoft's clients: {done.stderr.strip()[-300:]}")
    return folder


@pytest.fixture(scope="module")
def found(stack: DeployedStack, installed: Path) -> dict[str, Any]:
    """What the flow says it found."""
    for figure in FIGURES:
        write_folder(installed / "train", figure, 10)
        write_folder(installed / "test", figure, 1, seed=1000)
    keys = [stack.key_of("default", "read", "write", "train"), stack.key_of("default", "predict")]
    done = subprocess.run(
        ["node", "flow.js", stack.url, *keys, str(installed)],
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_images_are_uploaded_paged_and_tagged(found: dict[str, Any]) -> None:
    assert sorted(found["uploads"]) == ["OK"] * 20 + ["OKDuplicate"] * 2
    assert found["tagged"] == 20
    assert found["page"] == [["disc"]] * 4
    assert (found["untagged"], found["retagged"]) == (True, 1)


def test_a_project_is_trained_published_and_asked(found: dict[str, Any]) -> None:
    assert found["trainedAt"] is True
    assert found["performance"] == sorted(FIGURES)
    assert found["published"] is True
    for figure, said in found["predictions"].items():
        # Best first, and the shares of one image are one whole
        assert said[0][0] == figure
        assert sum(probability for _, probability in said) == pytest.approx(1, abs=1e-4)
    assert found["stored"] == 2


def test_errors_reach_the_client_with_the_services_codes(found: dict[str, Any]) -> None:
    assert found["unknownTag"] == {"status": 404, "code": "NotFoundTag"}
    assert found["sameName"] == {"status": 400, "code": "BadRequestTagNameNotUnique"}
    assert found["noTraining"] == {"status": 400, "code": "BadRequestTrainingNotNeeded"}
    assert found["gone"] == {"status": 404, "code": "NotFoundProject"}
