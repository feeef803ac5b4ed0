"""The term index: blocks that say what rows say, and counts that cannot drift, whoever comes late."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyroaring import BitMap

from dataloop.domain.errors import Throttled
from dataloop.domain.projects import Image, Project
from dataloop.domain.terms import tag_term
from dataloop.repositories import terms as terms_module
from tests.core import Core
from tests.workspaces import AT, images_of, new_project, new_tags, stored


@pytest.fixture
def core(fast_core: Core) -> Core:
    """Writes run side by side here, which moto's transactions do not bear."""
    return fast_core


@pytest.fixture
def project(core: Core) -> Project:
    return new_project(core)


def count_of(core: Core, project: Project, tag_id: str) -> int:
    return core.services.projects.tag(project, tag_id).image_count


def retagged(core: Core, image: Image, *tag_ids: str) -> Image:
    """The image's row with these tags and no others; the index knows nothing of it."""
    edited = core.stores.images.edit(image, lambda row: replace(row, tags=dict.fromkeys(tag_ids, AT)))
    assert edited
    return edited[1]


def test_a_late_writer_loses_against_newer_rows_even_when_their_bits_stood_right(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row says yes, a writer reads that and stalls; row says no again; whoever settles that finds the bit right."""
    (cat,) = new_tags(core, project, "cat")
    keeper, image = stored(core, project, ["keeper", "image"])
    core.services.tagging.tag(project, [(keeper.id, cat)])  # so that there is a block
    term, index = tag_term(cat), core.stores.terms
    image = retagged(core, image, cat)
    read_rows = core.stores.images.rows

    def rows_then_a_change(*args: object, **more: object) -> list[Image]:
        monkeypatch.setattr(core.stores.images, "rows", read_rows)
        found = read_rows(*args, **more)
        retagged(core, image)
        index.settle("default", project.id, {term: [image.ordinal]})  # the other request: there is nothing to mend
        return found

    monkeypatch.setattr(core.stores.images, "rows", rows_then_a_change)
    index.settle("default", project.id, {term: [image.ordinal]})
    assert list(index.bitmap("default", project.id, term)) == [keeper.ordinal]
    assert count_of(core, project, cat) == 1


def test_a_block_that_stood_right_and_is_overwritten_by_older_rows_is_set_right_again(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untagged, and the other request has read that; tagged again: the bit still stands; now the other one writes."""
    (cat,) = new_tags(core, project, "cat")
    keeper, image = stored(core, project, ["keeper", "image"], tag_ids=[cat])
    term, table = tag_term(cat), core.stores.table
    read_rows = core.stores.images.rows

    def rows_while_the_other_writes(*args: object, **more: object) -> list[Image]:
        monkeypatch.setattr(core.stores.images, "rows", read_rows)
        table.put(terms_module.block_item("default", project.id, term, BitMap([keeper.ordinal])))
        table.update(f"default|PROJ#{project.id}", f"TAG#{cat}", add={"image_count": -1})
        return read_rows(*args, **more)

    monkeypatch.setattr(core.stores.images, "rows", rows_while_the_other_writes)
    core.stores.terms.settle("default", project.id, {term: [image.ordinal]})
    assert list(core.stores.terms.bitmap("default", project.id, term)) == [keeper.ordinal, image.ordinal]
    assert count_of(core, project, cat) == 2


def test_a_late_writer_cannot_make_a_block_that_newer_rows_do_not_want(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["image"])
    image = retagged(core, image, cat)
    read_rows = core.stores.images.rows

    def rows_then_a_change(*args: object, **more: object) -> list[Image]:
        monkeypatch.setattr(core.stores.images, "rows", read_rows)
        found = read_rows(*args, **more)
        retagged(core, image)
        return found

    monkeypatch.setattr(core.stores.images, "rows", rows_then_a_change)
    core.stores.terms.settle("default", project.id, {tag_term(cat): [image.ordinal]})
    assert not core.stores.terms.bitmap("default", project.id, tag_term(cat))
    assert count_of(core, project, cat) == 0


def test_a_block_ends_at_65536_and_an_empty_one_is_removed_with_its_entry(core: Core, project: Project) -> None:
    core.stores.images.reserve("default", project.id, 65_534)
    (cat,) = new_tags(core, project, "cat")
    images = stored(core, project, range(4), tag_ids=[cat])
    index = core.stores.terms
    assert list(index.bitmap("default", project.id, "all")) == [65_534, 65_535, 65_536, 65_537]
    assert index.blocks("default", project.id) == {number: {"all", "tagged", tag_term(cat)} for number in (0, 1)}
    core.services.tagging.clear(project, images[:2])
    assert index.blocks("default", project.id) == {1: {"all", "tagged", tag_term(cat)}}
    core.services.tagging.clear(project, images[2:])
    assert not [item for item in core.items() if "|TERM" in item["pk"]]
    assert count_of(core, project, cat) == 0


def test_more_new_images_than_a_transaction_can_check_make_one_block(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    stored(core, project, range(200), tag_ids=[cat])
    assert len(core.stores.terms.bitmap("default", project.id, tag_term(cat))) == 200
    assert count_of(core, project, cat) == 200


def test_the_index_works_without_the_tags_row_and_nothing_counts(core: Core, project: Project) -> None:
    (cat,) = new_tags(core, project, "cat")
    (image,) = stored(core, project, ["image"])
    core.services.projects.delete_tag(project, cat)
    retagged(core, image, cat)
    core.stores.terms.settle("default", project.id, {tag_term(cat): [image.ordinal]})
    assert list(core.stores.terms.bitmap("default", project.id, tag_term(cat))) == [image.ordinal]
    assert not [item for item in core.items() if item["sk"] == f"TAG#{cat}"]


def test_a_crowded_block_is_given_up_in_bounded_time(
    core: Core, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cat,) = new_tags(core, project, "cat")
    keeper, image = stored(core, project, ["keeper", "image"])
    core.services.tagging.tag(project, [(keeper.id, cat)])
    image = retagged(core, image, cat)
    read_rows = core.stores.images.rows

    def rows_while_others_write(*args: object, **more: object) -> list[Image]:
        core.stores.table.update(
            f"default|TERM#{project.id}#{tag_term(cat)}", "00000", set={"version": core.clock.new_id()}
        )
        return read_rows(*args, **more)

    monkeypatch.setattr(core.stores.images, "rows", rows_while_others_write)
    monkeypatch.setattr(terms_module, "SETTLE_S", 0.0)
    with pytest.raises(Throttled):
        core.stores.terms.settle("default", project.id, {tag_term(cat): [image.ordinal]})
    assert count_of(core, project, cat) == 1


def test_repair_mends_what_somebody_wrote_beside_the_service(core: Core, project: Project) -> None:
    cat, dog = new_tags(core, project, "cat", "dog")
    images = stored(core, project, range(3), tag_ids=[cat])
    retagged(core, images[0], dog)  # a row without its blocks
    stray = terms_module.block_item("default", project.id, "has:ghost", BitMap([images[1].ordinal]))
    core.stores.table.put_many([stray, terms_module.name_item("default", project.id, "has:ghost", 0)])
    core.stores.table.update(f"default|PROJ#{project.id}", f"TAG#{cat}", add={"image_count": 40})
    repaired = core.services.indexing.repair("default", project.id)
    assert repaired.images == 3
    assert repaired.terms == sorted([tag_term(cat), tag_term(dog), "has:ghost"])
    assert repaired.counts == [cat]
    assert (count_of(core, project, cat), count_of(core, project, dog)) == (2, 1)
    assert core.services.indexing.repair("default", project.id) == replace(repaired, terms=[], counts=[])


def test_a_value_that_no_key_can_hold_is_had_by_no_image(core: Core, project: Project) -> None:
    assert not core.stores.terms.bitmap("default", project.id, f"meta:a={'x' * 3000}")


def test_a_projects_remains_can_be_dropped(core: Core, project: Project) -> None:
    stray = terms_module.block_item("default", project.id, "has:ghost", BitMap([1]))
    core.stores.table.put_many([stray, terms_module.name_item("default", project.id, "has:ghost", 0)])
    core.stores.terms.drop("default", project.id)
    core.stores.images.reserve("default", project.id, 1)
    core.stores.images.forget_sequence("default", project.id)
    assert not [item for item in core.items() if "|TERM" in item["pk"] or "|SEQ#" in item["pk"]]


def test_content_says_where_it_is_and_was(core: Core, project: Project) -> None:
    first, second = stored(core, project, ["one", "two"])
    core.services.tagging.clear(project, [first])
    (again,) = images_of(core, project, ["one"])
    core.services.tagging.store(project, [again])
    found = list(core.stores.images.projects_of("default", first.uid))
    assert {(each.ordinal, each.image_id, each.is_live) for each in found} == {
        (again.ordinal, again.id, True),
        (first.ordinal, first.id, False),
    }
    assert core.stores.images.find("default", project.id, [first.uid, second.uid, "0" * 32]) == {
        first.uid: again.ordinal,
        second.uid: second.ordinal,
    }
    core.stores.images.forget_gone("default", first.uid, project.id, first.ordinal)
    assert len(list(core.stores.images.projects_of("default", first.uid))) == 1
