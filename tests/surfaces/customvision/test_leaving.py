"""examples/leave_custom_vision.py, driving two endpoints of the same protocol with Microsoft's client."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.cognitiveservices.vision.customvision.training import models as wire

from examples import leave_custom_vision as script
from tests.core import Core
from tests.surfaces.customvision.clients import training_client
from tests.surfaces.customvision.drawings import drawings
from tests.surfaces.customvision.gateway import Gateway


@pytest.fixture
def ends(core: Core, gateway: Gateway, training_key: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of another tenant at the same port, and both keys where the script looks for them."""
    other = core.services.keyring.create("elsewhere", "training", ["read", "write", "train"])[1]
    monkeypatch.setenv("SOURCE_TRAINING_KEY", training_key)
    monkeypatch.setenv("TARGET_TRAINING_KEY", other)
    with training_client(gateway.url, other) as client:
        yield client


def fill(training: Any, project_id: str, *, boxes: bool) -> None:
    """Images of two tags, of none, with metadata; one with both tags; in a detection project with regions."""
    disc = training.create_tag(project_id, "disc", description="red and round")
    cross = training.create_tag(project_id, "cross")
    for figure, tag in (("disc", disc), ("cross", cross)):
        entries = []
        for number, each in enumerate(drawings(figure, 5)):
            left, top, width, height = each.box
            box = wire.Region(tag_id=tag.id, left=left, top=top, width=width, height=height)
            labels = {"regions": [box]} if boxes else {"tag_ids": [tag.id]}
            entries.append(wire.ImageFileCreateEntry(name=f"{figure}{number}", contents=each.content, **labels))
        batch = wire.ImageFileCreateBatch(images=entries[:3], metadata={"site": figure})
        assert training.create_images_from_files(project_id, batch).is_batch_successful
        assert training.create_images_from_files(
            project_id, wire.ImageFileCreateBatch(images=entries[3:])
        ).is_batch_successful
    for each in drawings("disc", 2, seed=100):
        training.create_images_from_data(project_id, each.content)


def contents(client: Any, project_id: str) -> list[Any]:
    """Every image, the oldest first, with what people said of it, without ids and times."""
    return [
        (
            hashlib.sha256(requests.get(image.original_image_uri, timeout=10).content).hexdigest(),
            sorted(tag.tag_name for tag in image.tags or []),
            sorted((r.tag_name, r.left, r.top, r.width, r.height) for r in image.regions or []),
            image.metadata or {},
        )
        for image in client.get_images(project_id, order_by="Oldest", take=256)
    ]


def arguments(gateway: Gateway, project: str, folder: Path) -> list[str]:
    return ["--source", gateway.url, "--project", project, "--target", gateway.url, "--done", str(folder / "done")]


@pytest.mark.parametrize("kind", ["multilabel_project", "detection_project"])
def test_a_project_arrives_whole_and_copying_it_again_changes_nothing(
    ends: Any,
    gateway: Gateway,
    training: Any,
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Several pages and several batches
    monkeypatch.setattr(script, "PAGE", 5)
    monkeypatch.setattr(script, "BATCH", 4)
    project = request.getfixturevalue(kind)
    fill(training, project.id, boxes=kind == "detection_project")
    assert script.main(arguments(gateway, project.name, tmp_path)) == 0
    (made,) = ends.get_projects()
    assert (made.name, made.settings.domain_id) == (project.name, project.settings.domain_id)
    assert made.settings.classification_type == project.settings.classification_type
    before = contents(training, project.id)
    assert len(before) == 12
    assert contents(ends, made.id) == before
    tags = [(tag.name, tag.description, tag.type, tag.image_count) for tag in training.get_tags(project.id)]
    assert [(tag.name, tag.description, tag.type, tag.image_count) for tag in ends.get_tags(made.id)] == tags
    assert "differs" not in capsys.readouterr().out

    # A run that was interrupted: the file of finished images knows half of them
    done = tmp_path / "done"
    done.write_text("".join(f"{line}\n" for line in done.read_text().split()[:5]))
    assert script.main(arguments(gateway, project.id, tmp_path)) == 0
    assert "'OKDuplicate': 7" in capsys.readouterr().out
    assert contents(ends, made.id) == before

    # And one that has nothing left to do sends no image
    asked = len(gateway.requests)
    assert script.main(arguments(gateway, project.id, tmp_path)) == 0
    assert not [line for line in gateway.requests[asked:] if line.startswith("POST")]


def test_a_difference_is_said_and_fails(
    ends: Any,
    gateway: Gateway,
    training: Any,
    multilabel_project: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(training, multilabel_project.id, boxes=False)
    assert script.main(arguments(gateway, multilabel_project.name, tmp_path)) == 0
    (made,) = ends.get_projects()
    ends.delete_images(made.id, image_ids=[ends.get_images(made.id, take=1)[0].id])
    capsys.readouterr()
    assert script.main([*arguments(gateway, multilabel_project.name, tmp_path), "--compare"]) == 1
    assert "differs" in capsys.readouterr().out


def test_an_image_that_cannot_be_downloaded_holds_nothing_up(
    ends: Any,
    gateway: Gateway,
    training: Any,
    multilabel_project: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(training, multilabel_project.id, boxes=False)
    whole, broken = requests.get, iter([True])

    def get(url: str, timeout: float) -> requests.Response:
        if next(broken, False):
            raise requests.ConnectionError(url)
        return whole(url, timeout=timeout)

    monkeypatch.setattr(requests, "get", get)
    assert script.main(arguments(gateway, multilabel_project.name, tmp_path)) == 1
    assert "download failed (ConnectionError)" in capsys.readouterr().err
    (made,) = ends.get_projects()
    assert ends.get_image_count(made.id) == 11
    assert script.main(arguments(gateway, multilabel_project.name, tmp_path)) == 0
    assert ends.get_image_count(made.id) == 12


def test_what_is_wrong_is_said_before_anything_is_made(
    ends: Any, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="0 projects"):
        script.main(arguments(gateway, "nobody's", tmp_path))
    monkeypatch.delenv("TARGET_TRAINING_KEY")
    with pytest.raises(SystemExit, match="TARGET_TRAINING_KEY"):
        script.main(arguments(gateway, "nobody's", tmp_path))
    assert ends.get_projects() == []
