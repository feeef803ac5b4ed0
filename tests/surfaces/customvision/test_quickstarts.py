"""Microsoft's two quickstarts as scripts of a user, in a process of their own, against the deployed stack.

Nothing in them knows of Dataloop: the endpoint, the keys and the folder of images come from the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployed import DeployedStack
from tests.surfaces.customvision.drawings import overlap, write_folder

pytestmark = [pytest.mark.stack, pytest.mark.slow]

SCRIPTS = Path(__file__).parent / "quickstarts"
FIGURES = ("disc", "cross")


def run(stack: DeployedStack, script: str, images: Path) -> list[list[str]]:
    """The lines that the script prints about results, split."""
    environment = {
        **os.environ,
        "VISION_TRAINING_ENDPOINT": stack.url,
        "VISION_PREDICTION_ENDPOINT": stack.url,
        "VISION_TRAINING_KEY": stack.key_of("default", "read", "write", "train"),
        "VISION_PREDICTION_KEY": stack.key_of("default", "predict"),
        "VISION_PREDICTION_RESOURCE_ID": "/subscriptions/0/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/p",
        "IMAGES": str(images),
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script)], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "done"
    return [line.split("\t")[1:] for line in lines if line.startswith("result\t")]


def share(text: str) -> float:
    """A probability as the script prints it."""
    return float(text.removesuffix("%")) / 100


def test_the_classification_quickstart(stack: DeployedStack, tmp_path: Path) -> None:
    for figure in FIGURES:
        write_folder(tmp_path / "train", figure, 10)
        write_folder(tmp_path / "test", figure, 1, seed=1000)
    results = run(stack, "classification.py", tmp_path)
    for figure in FIGURES:
        said = {tag: share(probability) for shown, tag, probability in results if shown == figure}
        assert set(said) == set(FIGURES)
        # Multiclass: the shares of one image are one whole, as far as two printed digits say
        assert sum(said.values()) == pytest.approx(1, abs=0.0002)
        assert max(said, key=lambda tag: said[tag]) == figure
        assert said[figure] > 0.6


def test_the_detection_quickstart(stack: DeployedStack, tmp_path: Path) -> None:
    boxes, wanted = {}, {}
    for figure in FIGURES:
        made = write_folder(tmp_path / "train", figure, 20)
        boxes[figure] = {name: each.box for name, each in made.items()}
        wanted[figure] = write_folder(tmp_path / "test", figure, 1, seed=1000)[f"{figure}_1"].box
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    results = run(stack, "detection.py", tmp_path)
    for figure in FIGURES:
        found = [line for line in results if line[0] == figure]
        assert found, f"nothing was found on the {figure}"
        best = max(found, key=lambda line: share(line[2]))
        assert best[1] == figure
        assert share(best[2]) > 0.3
        left, top, width, height = (float(value) for value in best[3:])
        assert overlap((left, top, width, height), wanted[figure]) > 0.5
