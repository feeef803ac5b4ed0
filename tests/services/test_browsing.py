"""Pages and counts of a workspace: what they answer, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.projects import Project
from dataloop.domain.terms import EVERYTHING, TAGGED, AllOf, AnyOf, Except, ImageQuery, Term, meta_term, tag_term
from tests.core import Core
from tests.workspaces import new_project, new_tags, stored


@pytest.fixture
def project(core: Core) -> Project:
    return new_project(core)


def page(core: Core, project: Project, *args: Any, **more: Any) -> list[int]:
    browsing = core.services.browsing
    return [row.ordinal for row in browsing.page(browsing.workspace(project), ImageQuery(*args, **more))]


def test_pages_go_either_way_and_end(core: Core, project: Project) -> None:
    stored(core, project, range(10))
    assert page(core, project) == list(range(9, -1, -1))
    assert page(core, project, newest_first=False, skip=2, take=3) == [2, 3, 4]
    assert page(core, project, newest_first=True, skip=2, take=3) == [7, 6, 5]
    assert page(core, project, newest_first=True, skip=8, take=3) == [1, 0]
    assert page(core, project, skip=10) == page(core, project, take=0) == page(core, project, skip=10**30) == []


@pytest.mark.parametrize("wrong", [{"skip": -1}, {"take": -1}])
def test_a_negative_skip_or_take_is_refused(core: Core, project: Project, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        page(core, project, **wrong)


def test_more_than_256_are_refused(core: Core, project: Project) -> None:
    with pytest.raises(LimitExceeded):
        page(core, project, take=257)
    with pytest.raises(LimitExceeded):
        core.services.browsing.by_ids(core.services.browsing.workspace(project), ["x"] * 257)


def test_questions_combine_terms(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    for content, tags, site in ((0, [cat], "a"), (1, [cat, dog], "b"), (2, [dog], "a"), (3, [], "a"), (4, [], None)):
        stored(core, project, [content], tag_ids=tags, metadata={"site": site} if site else {})
    both = AllOf((Term(tag_term(cat)), Term(tag_term(dog))))
    either = AnyOf((Term(tag_term(cat)), Term(tag_term(dog))))
    not_a = AllOf((Term("has:site"), Except(Term(meta_term("site", "a")))))
    assert page(core, project, both) == [1]
    assert page(core, project, either) == [2, 1, 0]
    assert page(core, project, Except(Term(TAGGED))) == [4, 3]
    assert page(core, project, not_a) == [1]
    browsing = core.services.browsing
    asked = (both, either, Except(Term(TAGGED)), not_a, EVERYTHING, Term("tag:unknown"))
    counts = [browsing.count(browsing.workspace(project), query) for query in asked]
    assert counts == [1, 3, 2, 1, 5, 0]


def test_images_by_ids_come_in_the_order_asked(core: Core, project: Project) -> None:
    images = stored(core, project, range(3))
    browsing = core.services.browsing
    ids = [images[2].id, "nonsense", images[0].id, core.clock.new_id(), images[2].id]
    assert [each.ordinal for each in browsing.by_ids(browsing.workspace(project), ids)] == [2, 0]


def test_a_count_reads_no_image_and_a_page_only_its_own(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    stored(core, project, range(200), tag_ids=[cat])
    browsing = core.services.browsing
    core.clients.calls.clear()
    assert browsing.count(browsing.workspace(project), AllOf((Term(tag_term(cat)), EVERYTHING))) == 200
    assert core.clients.calls == ["dynamodb.Query"] * 2
    core.clients.calls.clear()
    assert len(page(core, project, Term(tag_term(cat)), skip=100, take=50)) == 50
    assert core.clients.calls == ["dynamodb.Query", "dynamodb.BatchGetItem"]


def test_a_row_that_contradicts_the_terms_is_read_again_strongly(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB's eventual reads may miss what was just written; the doubles never do."""
    (cat,) = new_tags(core, project, "cat")
    old, new = stored(core, project, ["old", "new"])
    core.services.tagging.tag(project, [(old.id, cat), (new.id, cat)])
    read = core.stores.images.rows

    def late(tenant: str, project_id: str, ordinals: Any, *, consistent: bool = True) -> Any:
        return read(tenant, project_id, ordinals) if consistent else [old]  # without its tag; the other is not there

    monkeypatch.setattr(core.stores.images, "rows", late)
    browsing = core.services.browsing
    rows = browsing.page(browsing.workspace(project), ImageQuery(Term(tag_term(cat))))
    assert [(row.ordinal, list(row.tags)) for row in rows] == [(new.ordinal, [cat]), (old.ordinal, [cat])]
