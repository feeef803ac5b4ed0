"""Search over records and labels: exact, page after page; saved queries become datasets."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import Conflict, InvalidInput, NotFound
from dataloop.domain.residency import Clearance
from dataloop.services import searching
from tests.actions import info, label, meta, put
from tests.core import Core
from tests.pictures import picture


def upload(core: Core, name: str, body: bytes | None = None, **extra: Any) -> str:
    uid, notice = put(core, f"d/{name}.jpg", body)
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid, **extra))
    return uid


def uids(core: Core, where: dict[str, Any], limit: int = 1000) -> list[str]:
    """All pages of a search; each at most as long as asked."""
    found: list[str] = []
    cursor = None
    for _ in range(200):
        page = core.services.searching.page("default", where, limit, cursor)
        assert len(page.found) <= limit
        found += [hit.raw.uid for hit in page.found]
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_hold_every_match_once(core: Core, limit: int) -> None:
    made = [upload(core, f"i{number}", lux=number) for number in range(10)]
    for uid in made[:7]:
        core.services.annotating.register("default", label(uid, name="cat"))
    core.services.annotating.register("default", label(made[8], name="dog"))

    assert sorted(uids(core, {}, limit)) == sorted(made)
    assert sorted(uids(core, {"any_label": ["cat", "dog"]}, limit)) == sorted([*made[:7], made[8]])
    assert uids(core, {"all_labels": ["dog"]}, limit) == [made[8]]
    assert sorted(uids(core, {"state": "none"}, limit)) == sorted([made[7], made[9]])
    dark = {"meta": [{"path": "extra.lux", "op": "lt", "value": 3}]}
    assert sorted(uids(core, dark | {"any_label": ["cat"]}, limit)) == sorted(made[:3])


def test_a_search_over_days_goes_on_where_a_page_ended(core: Core) -> None:
    made = []
    for day in range(5):
        made += [upload(core, f"d{day}-{number}") for number in range(3)]
        core.clock.move(days=30)
    assert sorted(uids(core, {}, 2)) == sorted(made)
    today = core.clock.text()[:10]
    assert uids(core, {"first_day": today}) == []
    # The newest day comes first.
    assert set(uids(core, {})[:3]) == set(made[-3:])


def test_a_corrected_label_leads_nowhere(core: Core) -> None:
    uid = upload(core, "a")
    first = core.services.annotating.register("default", label(uid, name="cat"))
    core.services.annotating.register("default", label(uid, name="dog", supersedes=first.id))
    assert uids(core, {"any_label": ["cat"]}) == []
    assert uids(core, {"any_label": ["dog"]}) == [uid]


def test_what_a_model_is_unsure_of(core: Core) -> None:
    sure, unsure = upload(core, "sure"), upload(core, "unsure")
    for uid, score in ((sure, 0.9), (unsure, 0.4)):
        entry = {"label": "cat", "score": score, "bbox_xyxy": [1, 1, 5, 5]}
        core.services.annotating.register(
            "default", label(uid, labelInfo=[entry], labelMethod="auto", modelName="teacher")
        )
    assert uids(core, {"any_label": ["cat"], "max_score": 0.5, "state": "suggested"}) == [unsure]
    assert uids(core, {"min_score": 0.8}) == [sure]


def test_contents_in_several_places(core: Core) -> None:
    once = upload(core, "once")
    twice = upload(core, "twice", picture(seed=5))
    _, notice = put(core, "d/copy.jpg", picture(seed=5))
    core.services.registering.register_object(notice)
    assert uids(core, {"dedupe": "copies"}) == [twice]
    assert uids(core, {"dedupe": "unique"}) == [once]


def test_a_restricted_caller_finds_only_what_it_may_touch(core: Core) -> None:
    upload(core, "a")
    page = core.services.searching.page("default", {}, 10, None, Clearance(frozenset({"EU"})))
    assert page.found == []
    assert len(core.services.searching.page("default", {}, 10, None, Clearance(frozenset({"CN"}))).found) == 1


@pytest.mark.parametrize("cursor", ["x", "e30", "eyJkYXkiOiJ4In0=", "eyJkYXkiOiIyMDI2MTEyMiIsImRvbmUiOiJ4In0=", "W10="])
def test_a_foreign_cursor_is_refused_or_the_beginning(core: Core, cursor: str) -> None:
    try:
        core.services.searching.page("default", {}, 10, cursor)
    except InvalidInput as refused:
        assert refused.field == "cursor"


def test_a_page_ends_before_it_looks_at_too_much(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_ASKED", 4)
    monkeypatch.setattr(searching, "CHUNK", 2)
    made = [upload(core, f"i{number}") for number in range(9)]
    page = core.services.searching.page("default", {"state": "none"}, 100, None)
    assert len(page.found) == page.scanned == 4
    assert page.cursor is not None
    assert sorted(uids(core, {"state": "none"}, 100)) == sorted(made)


def test_a_label_that_another_tenant_gave_is_not_found(core: Core) -> None:
    uid = upload(core, "a")
    core.services.annotating.register("other", label(uid, name="cat"))
    assert uids(core, {"any_label": ["cat"]}) == []


def test_saved_queries_keep_their_conditions_and_names(core: Core) -> None:
    service = core.services.searching
    made = service.save("default", {"name": "cats", "where": {"any_label": ["cat"]}, "comment": "all"})
    with pytest.raises(Conflict):
        service.save("default", {"name": "cats", "where": {}})
    assert service.save("default", {"name": "x", "where": {}}, made.id) == made, "a repeat answers what stands"
    changed = service.change("default", made.id, {"where": {"any_label": ["dog"]}})
    assert (changed.where, changed.comment, changed.revision) == ({"any_label": ["dog"]}, "all", 2)
    assert [query.name for query in service.queries("default", 10, None)[0]] == ["cats"]
    with pytest.raises(NotFound):
        service.get("other", made.id)
    service.remove("default", made.id)
    with pytest.raises(NotFound):
        service.get("default", made.id)
    assert service.save("default", {"name": "cats", "where": {}}).name == "cats"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"where": {}}, "name"),
        ({"name": "", "where": {}}, "name"),
        ({"name": "a", "where": {"x": 1}}, "where"),
        ({"name": "a", "where": {}, "comment": 1}, "comment"),
        ([], "query"),
    ],
)
def test_a_query_that_cannot_be_kept_names_its_field(core: Core, body: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.searching.save("default", body)
    assert caught.value.field == field


def make_dataset(core: Core, query_id: str, **wish: Any) -> Any:
    task = core.services.querying.request("default", query_id, info() | wish)
    for step in ("prepare", "run", "run", "record", "record"):  # each again, as a lost answer would have it
        getattr(core.again().querying, step)("default", task.id)
    return core.services.tasks.read("default", task.id)


def members(core: Core, version_id: str) -> set[str]:
    found: set[str] = set()
    for segment in core.services.stores.datasets.segments("default", version_id):
        found |= set(core.services.stores.artifacts.get(segment.key).decode().split())
    return found


def test_a_saved_query_becomes_a_draft_of_what_it_finds(core: Core) -> None:
    made = [upload(core, f"i{number}") for number in range(4)]
    cats = [core.services.annotating.register("default", label(uid, name="cat")).id for uid in made[:2]]
    core.services.annotating.register("default", label(made[2], name="dog"))
    core.services.annotating.register(
        "default", label(made[0], annotationType="classification", labelInfo=[{"label": "x"}])
    )
    query = core.services.searching.save("default", {"name": "cats", "where": {"any_label": ["cat"]}})

    task = make_dataset(core, query.id)

    assert task.status == "SUCCEEDED"
    assert (task.result["images"], task.result["annotations"]) == (2, 2)
    assert members(core, task.result["dataset_id"]) == set(cats), "annotations of another type are not linked"
    version = core.services.curating.get("default", task.result["dataset_id"])
    assert version.status == "DRAFT"
    assert version.info["query"]["where"] == {"any_label": ["cat"]}


def test_of_pictures_that_look_alike_the_first_is_kept(core: Core) -> None:
    # The same picture with other bytes behind its end mark: other content, the same look.
    alike = [upload(core, f"alike{number}", picture(seed=7) + bytes([number])) for number in range(3)]
    for uid in alike:
        core.services.annotating.register("default", label(uid))
    query = core.services.searching.save("default", {"name": "all", "where": {"any_label": ["cat"]}})
    task = make_dataset(core, query.id, near_duplicates="keep_first")
    assert (task.result["images"], task.result["near_duplicates"]) == (1, 2)
    with pytest.raises(InvalidInput):
        core.services.querying.request("default", query.id, info(version="2") | {"near_duplicates": "drop"})
