"""The table's stream and the term index: what passes the event source's filter, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ministack.services import dynamodb as engine
from ministack.services.lambda_svc import _apply_filter_criteria

from dataloop.domain.errors import Throttled
from dataloop.domain.projects import Project
from dataloop.domain.terms import tag_term
from dataloop.services.steps import run_step
from tests.core import TABLE, Core, account
from tests.handlers import handle
from tests.infra.template import load_project
from tests.workspaces import AT, new_project, new_tags, stored


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found:
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        found.clients.dynamodb.update_table(TableName=TABLE, StreamSpecification=stream)
        yield found


@pytest.fixture
def project(core: Core) -> Project:
    return new_project(core)


def passing(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the template's filter lets through, by the one-machine runtime's reading of it."""
    events = load_project().document["Resources"]["IndexTermsFunction"]["Properties"]["Events"]
    criteria = {"FilterCriteria": events["Images"]["Properties"]["FilterCriteria"]}
    found: list[dict[str, Any]] = _apply_filter_criteria(json.loads(json.dumps(records, default=str)), criteria)
    return found


def records() -> list[dict[str, Any]]:
    return [record | {"dynamodb": dict(record["dynamodb"])} for record in engine.stream_live_records(TABLE)]


def test_only_images_pass_when_they_come_change_and_go(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"], tag_ids=[cat])
    core.services.tagging.untag(project, [image.id], [cat])
    core.services.tagging.delete_images(project, [image.id])
    found = [(each["eventName"], each["dynamodb"]["Keys"]["pk"]["S"]) for each in passing(records())]
    assert found == [(name, f"default|IMG#{project.id}#0") for name in ("INSERT", "MODIFY", "REMOVE")]


def test_rows_whose_writer_died_are_indexed_and_a_repeat_changes_nothing(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    images = stored(core, project, ["1", "2", "3"], tag_ids=[cat])
    core.stores.images.edit(images[0], lambda row: replace(row, tags={dog: AT}))
    core.stores.images.remove(images[1])
    event = {"Records": passing(records())}
    for _ in range(2):
        assert handle(core, "index_terms", event) == {"batchItemFailures": []}
        terms = core.stores.terms
        assert list(terms.bitmap("default", project.id, tag_term(dog))) == [images[0].ordinal]
        assert list(terms.bitmap("default", project.id, tag_term(cat))) == [images[2].ordinal]
        assert list(terms.bitmap("default", project.id, "all")) == [images[0].ordinal, images[2].ordinal]
        assert [tag.image_count for tag in core.services.projects.tags(project)] == [1, 1]


def test_a_tag_given_while_it_was_deleted_is_taken_off_again(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"])
    core.services.projects.delete_tag(project, cat)
    core.stores.images.edit(image, lambda row: replace(row, tags={cat: AT}))
    handle(core, "index_terms", {"Records": passing(records())})
    (row,) = core.stores.images.block("default", project.id, 0)
    assert row.tags == {}
    assert not core.stores.terms.bitmap("default", project.id, "tagged")


def test_records_of_a_crowded_project_come_again(core: Core, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = new_project(core, "quiet")
    stored(core, quiet, ["1"])
    stored(core, project, ["1"])
    event = {"Records": passing(records())}

    def crowded(self: Any, tenant: str, project_id: str, *_: Any, **__: Any) -> None:
        if project_id == project.id:
            raise Throttled("others keep changing the same terms")

    monkeypatch.setattr("dataloop.repositories.terms.TermIndex.settle", crowded)
    number = event["Records"][1]["dynamodb"]["SequenceNumber"]
    assert handle(core, "index_terms", event) == {"batchItemFailures": [{"itemIdentifier": number}]}


def test_an_operator_repairs_a_project_with_a_step(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"])
    core.stores.images.edit(image, lambda row: replace(row, tags={cat: AT}))
    step = {"step": "projects.repair", "input": {"tenant": "default", "project_id": project.id}}
    assert run_step(core.services, step) == {"images": 1, "terms": sorted(["tagged", tag_term(cat)]), "counts": []}
    assert run_step(core.services, step) == {"images": 1, "terms": [], "counts": []}
