"""The command: mistakes end it before anything is deployed, and its lines say what took how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloop_demo.__main__ import main
from dataloop_demo.narration import Narrator
from dataloop_demo.shots import digits_story
from tests.demo.coco_folder import write_folder


def test_a_folder_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--data", str(tmp_path / "nowhere"), "--report", str(tmp_path / "report")])

    assert status == 1
    assert "the demo stopped: there is no folder" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_folder_with_too_few_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(write_folder(tmp_path, 5))]) == 1
    assert "at least 30 are needed" in capsys.readouterr().err


def test_a_stage_says_what_came_of_it_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 3.5, 3.5])
    narrator = Narrator(clock=lambda: next(times))

    with narrator.stage("build") as stage:
        stage.result = "12 images"

    assert capsys.readouterr().out == "    3.5 s  build      12 images (2.5 s)\n"
    assert narrator.to_json() == [{"name": "build", "started_s": 1.0, "seconds": 2.5, "result": "12 images"}]


def test_the_demos_own_images_are_held_out_honestly(tmp_path: Path) -> None:
    story = digits_story(tmp_path)

    photographs = {
        split: {shot.group for part in (story.first, story.second) for shot in part.shots if shot.split == split}
        for split in ("train", "val", "test")
    }
    assert not photographs["train"] & photographs["test"]
    assert not photographs["train"] & photographs["val"]
    assert not photographs["val"] & photographs["test"]
    assert story.second.count("test") == 0
    assert all(shot.path.is_file() for part in (story.first, story.second) for shot in part.shots)
    assert all(shot.raw_data()["extra"]["split"] == shot.split for shot in story.first.shots)
