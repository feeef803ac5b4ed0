"""A request that adds images, hit at every AWS call: whoever repeats it has every image once, whole, and findable."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from dataloop.domain.errors import Unavailable
from dataloop.domain.projects import Project
from dataloop.domain.terms import ImageQuery, tag_term
from dataloop.services.adding import Added, NewImage
from dataloop.services.renditions import prefix_of
from tests.core import Core, account
from tests.faults.injection import FAULTS, Death, Injector
from tests.pictures import picture

BOX = (0.1, 0.2, 0.3, 0.4)


def world(core: Core, name: str) -> tuple[Project, Any, Any]:
    project = core.services.projects.create("default", name, task_type="detection")
    cat, dog = (core.services.projects.create_tag(project, tag) for tag in ("cat", "dog"))
    return project, cat, dog


def bodies_of(seed: int) -> list[bytes]:
    """One picture, sent twice in a request: so it is new and a duplicate, and large enough for a copy."""
    return [picture("JPEG", (300, 200), seed)] * 2


def request(core: Core, project: Project, cat: Any, dog: Any, bodies: list[bytes]) -> list[Added]:
    entries = [
        NewImage(str(number), lambda body=body: body, [cat.id], [(dog.id, BOX)])  # type: ignore[misc]
        for number, body in enumerate(bodies)
    ]
    return core.again().adding.add(project, entries, metadata={"site": "a"})


def seen(core: Core, project: Project, dog: Any) -> list[Any]:
    """What a user sees of the project: images with their labels and bytes, by tag, and the counts of tags."""
    services = core.again()
    services.indexing.repair("default", project.id)  # as the table's stream does
    source = services.browsing.workspace(project)
    images = services.browsing.page(source, ImageQuery(newest_first=False))
    found: list[Any] = []
    for image in sorted(images, key=lambda each: each.width):
        body = services.stores.raw.get(image.key, image.version_id)
        record = services.registering.get("default", image.uid)
        copies = sum(1 for _ in services.stores.artifacts.keys(prefix_of("default", image.uid)))
        boxes = [region.box for region in image.regions]
        shown = Image.open(io.BytesIO(body)).size
        found.append((shown, record.status, copies, len(image.tags), boxes, dict(image.metadata)))
    counts = {tag.name: tag.image_count for tag in services.projects.tags(project)}
    return [found, counts, len(source.bitmap(tag_term(dog.id)))]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_of_a_request_that_adds_images(fault: str) -> None:
    with account() as core:
        project, cat, dog = world(core, "undisturbed")
        bodies = bodies_of(0)
        with Injector(core) as undisturbed:
            assert [each.status for each in request(core, project, cat, dog, bodies)] == ["ok", "duplicate"]
        wanted = seen(core, project, dog)
        assert len(wanted[0]) == 1 and wanted[1] == {"cat": 1, "dog": 1}

        for at in range(len(undisturbed.calls)):
            project, cat, dog = world(core, f"hit at {at}")
            bodies = bodies_of(at + 1)
            with Injector(core, at, fault) as injector:
                try:
                    statuses = {each.status for each in request(core, project, cat, dog, bodies)}
                    assert statuses <= {"ok", "duplicate", "storage"}, injector.calls[at]
                except (Unavailable, Death):
                    pass  # the client sends it again
            again = request(core, project, cat, dog, bodies)
            assert [each.status for each in again] in (["ok", "duplicate"], ["duplicate", "duplicate"])
            assert seen(core, project, dog) == wanted, (at, injector.calls[at])
