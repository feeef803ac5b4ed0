"""What changes images of a workspace, and what of it a caller is told."""

from __future__ import annotations

import pytest

from dataloop.domain import projects
from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound
from dataloop.domain.image_changes import NewRegion
from dataloop.domain.projects import Image, Project, ordinal_of
from dataloop.domain.terms import tag_term
from dataloop.services import tagging
from tests.core import Core
from tests.workspaces import images_of, new_project, new_tags, stored

BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def project(core: Core) -> Project:
    return new_project(core)


def now(core: Core, image: Image) -> Image:
    found = core.stores.images.get("default", image.project_id, image.id)
    assert found
    return found


def counts(core: Core, project: Project) -> list[int]:
    return [tag.image_count for tag in core.services.projects.tags(project)]


def test_tags_are_given_once_and_counted_once(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    first, second = stored(core, project, ["1", "2"])
    pairs = [(first.id, cat), (second.id, cat), (first.id, cat), (first.id, dog)]
    done = core.services.tagging.tag(project, pairs)
    assert (sorted(done.created), done.duplicated, done.exceeded) == (sorted(set(pairs)), [], [])
    again = core.services.tagging.tag(project, pairs)
    assert (again.created, sorted(again.duplicated)) == ([], sorted(set(pairs)))
    assert counts(core, project) == [2, 1]
    assert core.services.tagging.untag(project, [first.id, "unknown"], [cat]) == ["unknown"]
    assert counts(core, project) == [1, 1]
    assert list(now(core, first).tags) == [dog]


def test_one_tag_too_many_is_exceeded_and_the_others_are_given(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "MAX_TAGS_AN_IMAGE", 2)
    ids = new_tags(core, project, "a", "b", "c")
    (image,) = stored(core, project, ["1"])
    done = core.services.tagging.tag(project, [(image.id, tag) for tag in ids])
    assert [tag for _, tag in done.created] == ids[:2]
    assert done.exceeded == [(image.id, ids[2])]
    regions = core.services.tagging.add_regions(project, [NewRegion(image.id, tag, *BOX) for tag in ids])
    assert [region.tag_id for _, region in regions.created] == ids[:2]
    assert [entry.tag_id for entry in regions.exceeded] == ids[2:]


def test_nothing_is_written_for_an_unknown_image_or_tag(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"])
    other = new_project(core, "other")
    (theirs,) = stored(core, other, ["1"])
    for image_id in ("nonsense", theirs.id, core.clock.new_id()):
        with pytest.raises(NotFound, match="image"):
            core.services.tagging.tag(project, [(image.id, cat), (image_id, cat)])
    with pytest.raises(NotFound, match="tag"):
        core.services.tagging.tag(project, [(image.id, cat), (image.id, "unknown")])
    with pytest.raises(NotFound, match="tag"):
        core.services.tagging.add_regions(project, [NewRegion(image.id, "unknown", *BOX)])
    assert now(core, image) == image
    assert counts(core, project) == [0]


def test_a_negative_tag_stands_alone(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (nothing,) = new_tags(core, project, "nothing", kind="negative")
    tagged, bare = stored(core, project, ["1", "2"])
    core.services.tagging.tag(project, [(tagged.id, cat)])
    with pytest.raises(InvalidInput) as refused:
        core.services.tagging.tag(project, [(bare.id, nothing), (tagged.id, nothing)])
    assert refused.value.field == "mixed_negative"
    with pytest.raises(InvalidInput):
        core.services.tagging.add_regions(project, [NewRegion(tagged.id, nothing, *BOX)])
    assert counts(core, project) == [1, 0]
    core.services.tagging.tag(project, [(bare.id, nothing)])
    assert counts(core, project) == [1, 1]


def test_regions_are_found_by_their_ids_and_carry_their_tag(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"])
    entries = [NewRegion(image.id, cat, *BOX), NewRegion(image.id, cat, 0, 0, 1, 1), NewRegion(image.id, cat, *BOX)]
    done = core.services.tagging.add_regions(project, entries)
    assert [(id, region.box) for id, region in done.created] == [(image.id, BOX), (image.id, (0, 0, 1, 1))]
    assert done.duplicated == entries[2:]
    assert all(ordinal_of(region.id) == image.ordinal for _, region in done.created)
    assert core.services.tagging.add_regions(project, entries[:2]).duplicated == entries[:2]
    assert counts(core, project) == [1]
    first, second = (region.id for _, region in done.created)
    assert core.services.tagging.delete_regions(project, [first, "unknown", image.id]) == ["unknown", image.id]
    assert counts(core, project) == [1]
    core.services.tagging.delete_regions(project, [second])
    assert counts(core, project) == [0]
    assert now(core, image).regions == ()


@pytest.mark.parametrize(
    "box", [(-0.1, 0, 1, 1), (0, 0, 1.1, 1), (0.5, 0.5, 0.6, 0.1), (0, 0, 0, 1), (0, 0, 1, float("nan"))]
)
def test_a_box_outside_the_image_is_refused_before_anything_is_written(
    core: Core, project: Project, box: tuple[float, float, float, float]
) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["1"])
    with pytest.raises(InvalidInput, match="region 1 of image"):
        core.services.tagging.add_regions(project, [NewRegion(image.id, cat, *BOX), NewRegion(image.id, cat, *box)])
    assert now(core, image) == image


def test_the_rounding_of_a_division_is_no_reason_to_refuse_a_box() -> None:
    assert projects.box_problem((0.7, 0.0, 0.3 + 1e-7, 1.0)) is None


def test_untagging_takes_the_regions_of_the_tag_too(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    (image,) = stored(core, project, ["1"], tag_ids=[cat], boxes=[(cat, BOX), (dog, BOX)])
    core.services.tagging.untag(project, [image.id], [cat])
    assert counts(core, project) == [0, 1]
    assert [region.tag_id for region in now(core, image).regions] == [dog]


def test_metadata_are_merged_and_none_takes_a_key_away(core: Core, project: Project) -> None:
    first, second = stored(core, project, ["1", "2"], metadata={"site": "a"})
    done = core.services.tagging.set_metadata(project, [first.id, "unknown"], {"site": None, "camera": "7"})
    assert [(each.image_id, each.status, each.metadata) for each in done] == [
        (first.id, "ok", {"camera": "7"}),
        ("unknown", "not_found", {}),
    ]
    many = {f"key {number}": "" for number in range(10)}
    done = core.services.tagging.set_metadata(project, [first.id, second.id], many)
    assert [each.status for each in done] == ["exceeded", "exceeded"]
    assert now(core, first).metadata == {"camera": "7"}
    with pytest.raises(LimitExceeded):
        core.services.tagging.set_metadata(project, [first.id], many | {"key 10": ""})
    for given in ({"": "a"}, {"k" * 129: "a"}, {"k": "v" * 257}):
        with pytest.raises(InvalidInput):
            core.services.tagging.set_metadata(project, [first.id], given)


def test_the_longest_metadata_can_be_stored_and_asked_for(core: Core, project: Project) -> None:
    key, value = "\N{SMILING FACE WITH SUNGLASSES}" * 128, "\N{SNOWMAN}" * 256
    (image,) = stored(core, project, ["1"])
    core.services.tagging.set_metadata(project, [image.id], {key: value})
    (term,) = [each for each in now(core, image).terms if each.startswith("meta:")]
    assert list(core.stores.terms.bitmap("default", project.id, term)) == [image.ordinal]


def test_known_content_is_merged_into_the_image_that_stands(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    (nothing,) = new_tags(core, project, "nothing", kind="negative")
    (stands,) = stored(core, project, ["1"], tag_ids=[cat], metadata={"site": "a"})
    given = images_of(core, project, ["1", "2", "1"], [dog], [(dog, BOX)], {"site": "b"})
    done = core.services.tagging.store(project, given)
    assert [(each.status, each.image.id) for each in done] == [
        ("duplicate", stands.id),
        ("ok", given[1].id),
        ("duplicate", stands.id),
    ]
    merged = now(core, stands)
    assert set(merged.tags) == {cat, dog}
    assert merged.metadata == {"site": "b"}
    assert [ordinal_of(region.id) for region in merged.regions] == [stands.ordinal]
    assert counts(core, project) == [1, 2, 0]
    (refused,) = core.services.tagging.store(project, images_of(core, project, ["1"], [nothing]))
    assert (refused.status, refused.image) == ("mixed_negative", merged)
    (refused,) = core.services.tagging.store(
        project, images_of(core, project, ["1"], metadata={f"{number}": "" for number in range(10)})
    )
    assert refused.status == "too_much_metadata"
    assert counts(core, project) == [1, 2, 0]


def test_deleted_images_leave_everything_but_their_numbers(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    images = stored(core, project, range(5), tag_ids=[cat])
    assert core.services.tagging.delete_images(project, [images[0].id, "unknown", images[4].id]) == ["unknown"]
    assert core.services.tagging.delete_images(project, [images[0].id]) == [images[0].id]
    assert counts(core, project) == [3]
    (again,) = stored(core, project, [0])
    assert again.ordinal == 5


def test_a_deleted_tag_is_taken_off_its_images_part_by_part(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    images = stored(core, project, range(5), tag_ids=[cat])
    core.services.tagging.tag(project, [(images[0].id, dog)])
    core.services.projects.delete_tag(project, cat)
    assert core.services.tagging.forget_tag(project, cat, limit=3) is False
    assert core.services.tagging.forget_tag(project, cat, limit=3) is True
    rows = core.stores.images.block("default", project.id, 0)
    assert [list(row.tags) for row in rows] == [[dog], [], [], [], []]
    assert not core.stores.terms.bitmap("default", project.id, tag_term(cat))
    assert len(core.stores.terms.bitmap("default", project.id, "tagged")) == 1


def test_more_images_than_a_request_may_name_are_refused(core: Core, project: Project) -> None:
    for call in (core.services.tagging.delete_images, lambda p, ids: core.services.tagging.untag(p, ids, [])):
        with pytest.raises(LimitExceeded):
            call(project, [str(number) for number in range(257)])


def test_a_batch_settles_each_block_once(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    images = stored(core, project, range(64), tag_ids=[cat])
    core.services.tagging.tag(project, [(images[0].id, dog)])
    core.clients.calls.clear()
    core.services.tagging.tag(project, [(image.id, dog) for image in images[1:]])
    called = core.clients.of("dynamodb")
    assert called["dynamodb.PutItem"] == 63  # the rows
    assert called["dynamodb.TransactWriteItems"] == 1  # the one block, with its count
    assert called["dynamodb.BatchGetItem"] == 3  # rows; block; rows again
