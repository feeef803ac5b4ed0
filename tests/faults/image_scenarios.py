"""Requests that change images of a workspace, repeated by their client; what a death left undone, the stream brings after."""

from __future__ import annotations

from typing import Any

from dataloop.domain.image_changes import NewRegion
from tests.core import Core
from tests.faults.injection import Scenario
from tests.workspaces import images_of, new_project, new_tags, stored

State = dict[str, Any]
BOX = (0.25, 0.25, 0.5, 0.5)


def workspace(core: Core) -> State:
    """Two images with a tag, a box and metadata each, and two that are not stored yet."""
    project = new_project(core)
    cat, dog = new_tags(core, project, "cat", "dog")
    images = stored(core, project, ["1", "2"], tag_ids=[cat], boxes=[(dog, BOX)], metadata={"site": "a"})
    fresh = images_of(core, project, ["2", "3"], [dog], metadata={"site": "b"})
    return {"project": project, "cat": cat, "dog": dog, "ids": [image.id for image in images], "fresh": fresh}


def store(core: Core, state: State) -> None:
    core.again().tagging.store(state["project"], state["fresh"])


def tag(core: Core, state: State) -> None:
    core.again().tagging.tag(state["project"], [(id, state["dog"]) for id in state["ids"]])


def untag(core: Core, state: State) -> None:
    core.again().tagging.untag(state["project"], state["ids"], [state["cat"], state["dog"]])


def add_regions(core: Core, state: State) -> None:
    entries = [NewRegion(id, state["cat"], *BOX) for id in state["ids"]]
    core.again().tagging.add_regions(state["project"], entries)


def set_metadata(core: Core, state: State) -> None:
    core.again().tagging.set_metadata(state["project"], state["ids"], {"site": None, "camera": "7"})


def delete(core: Core, state: State) -> None:
    core.again().tagging.delete_images(state["project"], state["ids"])


def repair(core: Core, state: State) -> None:
    """What the stream does for a client that never comes back, an operator may do, too."""
    core.again().indexing.repair("default", state["project"].id)


SCENARIOS = [
    Scenario(f"images: {step.__name__}", workspace, [step, repair])
    for step in (store, tag, untag, add_regions, set_metadata, delete)
]
