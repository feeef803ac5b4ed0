"""Frozen images of an iteration: they answer as the live ones did, whatever happens while they are written or erased."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloop.domain.errors import IllegalTransition, NotFound, Unavailable
from dataloop.domain.projects import Image
from dataloop.domain.terms import (
    EVERYTHING,
    TAGGED,
    AllOf,
    AnyOf,
    Except,
    ImageQuery,
    Query,
    Term,
    evaluate,
    has_term,
    meta_term,
    tag_term,
)
from dataloop.manifests.frozen import ROWS_A_PART
from tests.core import ARTIFACTS, Core, account
from tests.services.frozen import TAGS, freeze, image, iteration, some_images

QUERIES: list[Query] = [
    EVERYTHING,
    Term(TAGGED),
    Except(Term(TAGGED)),
    AnyOf((Term(tag_term("tag-a")), Term(tag_term("tag-c")))),
    AllOf((Term(tag_term("tag-a")), Term(tag_term("tag-c")), Term(meta_term("camera", "left")))),
    AllOf((Term(has_term("camera")), Except(Term(meta_term("camera", "left"))))),
    Term(tag_term("nobody has it")),
]


def expected(images: list[Image], where: Query) -> list[Image]:
    """The model: sets of the images' own terms."""
    chosen = evaluate(where, lambda term: {each.ordinal for each in images if term in each.terms})
    return sorted((each for each in images if each.ordinal in chosen), key=lambda each: each.ordinal)


def versions(core: Core) -> list[tuple[str, bytes]]:
    """Every object version of the artifacts, markers left out."""
    listed = core.clients.s3.list_object_versions(Bucket=ARTIFACTS).get("Versions", [])
    found = []
    for entry in listed:
        body = core.clients.s3.get_object(Bucket=ARTIFACTS, Key=entry["Key"], VersionId=entry["VersionId"])["Body"]
        found.append((entry["Key"], body.read()))
    return found


@pytest.mark.parametrize("where", QUERIES, ids=str)
def test_every_question_is_answered_as_the_images_say(core: Core, where: Query) -> None:
    # given images of three parts, some ordinals never taken
    images = some_images(900, every=7)
    snapshot = core.services.snapshots.open(freeze(core.services.snapshots, images))
    wanted = expected(images, where)
    browsing = core.services.browsing
    # then counts, pages in both orders and everything of each image are as they were
    assert browsing.count(snapshot, where) == len(wanted)
    assert browsing.page(snapshot, ImageQuery(where, newest_first=False, skip=3, take=256)) == wanted[3:259]
    assert browsing.page(snapshot, ImageQuery(where, skip=5, take=40)) == wanted[::-1][5:45]


def test_images_by_id_come_in_the_order_asked_and_unknown_ones_are_left_out(core: Core) -> None:
    images = some_images(30)
    snapshot = core.services.snapshots.open(freeze(core.services.snapshots, images))
    stranger = image(7, tags="a")
    stranger = replace(stranger, id=stranger.id[:-1] + ("0" if stranger.id[-1] != "0" else "1"))
    assert snapshot.by_ids([images[9].id, stranger.id, images[2].id, image(5000).id]) == [images[9], images[2]]


def test_a_page_of_a_big_project_is_a_few_reads_and_no_call_of_the_table(core: Core) -> None:
    # given a snapshot that another process wrote
    images = some_images(3 * ROWS_A_PART)
    frozen = freeze(core.services.snapshots, images)
    services = core.again()
    core.clients.calls.clear()
    # when a first page is read, and the one behind it
    where = AnyOf((Term(tag_term("tag-a")), Term(tag_term("tag-b"))))
    services.browsing.page(services.snapshots.open(frozen), ImageQuery(where, skip=100, take=256))
    first = core.clients.of("s3")
    core.clients.calls.clear()
    services.browsing.page(services.snapshots.open(frozen), ImageQuery(where, skip=356, take=256))
    # then the first takes directory, terms and rows; the second only rows
    assert first == {"s3.GetObject": 3}
    assert core.clients.of("s3") == {"s3.GetObject": 1}
    assert not core.clients.of("dynamodb")


def test_metadata_that_differ_in_every_image_are_found_without_reading_all_terms(core: Core) -> None:
    # given more terms than one read holds
    images = [image(number, file=f"{number:06d}-a-name-of-some-length.png") for number in range(1500)]
    services = core.services
    snapshot = services.snapshots.open(freeze(services.snapshots, images))
    core.clients.calls.clear()
    # then each is found with one read
    assert services.browsing.page(snapshot, ImageQuery(Term(meta_term("file", images[777].metadata["file"])))) == [
        images[777]
    ]
    assert core.clients.of("s3") == {"s3.GetObject": 2}  # a page of terms, a block


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * ROWS_A_PART),
            st.sets(st.sampled_from("abc")),
            st.lists(st.sampled_from("abc"), max_size=2),
            st.dictionaries(st.sampled_from(["k", "ключ", "a=b"]), st.text(max_size=3), max_size=2),
        ),
        max_size=40,
        unique_by=lambda entry: entry[0],
    ),
    st.data(),
)
def test_any_images_in_any_places_come_back_and_go_when_forgotten(
    entries: list[tuple[int, set[str], list[str], dict[str, str]]], data: st.DataObject
) -> None:
    images = [
        replace(image(ordinal, sorted(tags), regions), metadata=metadata)
        for ordinal, tags, regions, metadata in sorted(entries, key=lambda entry: entry[0])
    ]
    with account() as core:
        services = core.services
        frozen = freeze(services.snapshots, images)
        gone = data.draw(st.sets(st.sampled_from([each.uid for each in images]))) if images else set()
        core.again().snapshot_erasure.forget(frozen, gone)
        kept = [each for each in images if each.uid not in gone]
        source = core.again().snapshots.open(frozen)
        for term in {"all", "nothing", *(term for each in images for term in each.terms)}:
            assert set(source.bitmap(term)) == {each.ordinal for each in kept if term in each.terms}
        assert source.rows([each.ordinal for each in images]) == kept
        counts = {tag.id: tag.image_count for tag in core.again().snapshots.tags(frozen)}
        assert counts == {tag["id"]: sum(tag["id"] in each.all_tags for each in kept) for tag in TAGS}


def test_the_same_images_give_the_same_bytes_however_often_a_part_is_written(core: Core) -> None:
    images = some_images(300)
    one, other = iteration(number=1), iteration(number=2)
    services = core.services
    freeze(services.snapshots, images, one)
    services.snapshots.write_part(other.snapshot, 0, some_images(300, seed=5))
    freeze(services.snapshots, images, other)
    services.snapshots.write_part(other.snapshot, 0, images)  # a late repeat of a step
    services.snapshots.finish(other.snapshot, 1)
    bodies = {key.removeprefix(one.snapshot): body for key, body in core.objects().items() if one.snapshot in key}
    found = {key.removeprefix(other.snapshot): body for key, body in core.objects().items() if other.snapshot in key}
    assert {key for key in bodies if "/parts/" in key} == set()
    assert {key: found[key] for key in bodies if key != "/directory"} == {
        key: body for key, body in bodies.items() if key != "/directory"
    }
    assert services.snapshots.open(other).rows(range(300)) == images


def test_a_part_that_is_missing_is_noticed(core: Core) -> None:
    # given two parts, of which one was never written
    images = some_images(10)
    services = core.services
    services.snapshots.write_part(iteration().snapshot, 0, images)
    with pytest.raises(NotFound):
        services.snapshots.finish(iteration().snapshot, 2)
    with pytest.raises(IllegalTransition):
        services.snapshots.open(iteration())


def test_an_iteration_without_frozen_images_says_that_it_is_not_trained(core: Core) -> None:
    with pytest.raises(IllegalTransition) as refused:
        core.services.snapshots.open(iteration("TRAINING"))
    assert refused.value.entity == "iteration"


def test_a_process_that_knows_an_older_directory_reads_on_after_an_erasure(core: Core) -> None:
    # given a process that has read the directory and some rows
    images = some_images(600)
    frozen = freeze(core.services.snapshots, images)
    reader = core.again()
    reader.snapshots.open(frozen).rows([0])
    # when another one removes two images for good
    core.services.snapshot_erasure.forget(frozen, {images[1].uid, images[500].uid}, [1, 500])
    # then it gets what is left instead of an error
    assert reader.snapshots.open(frozen).rows([299, 500, 599]) == [images[299], images[599]]


def test_nothing_of_a_forgotten_image_is_left_in_any_version_of_any_object(core: Core) -> None:
    import gzip

    images = [*some_images(40), image(41, tags="a", secret="only here")]
    frozen = freeze(core.services.snapshots, images)
    assert core.services.snapshot_erasure.forget(frozen, [images[-1].uid], [41]) == 1
    for key, body in versions(core):
        plain = body if "terms" in key or not body else gzip.decompress(body)
        assert b"only here" not in plain, key
        assert images[-1].uid.encode() not in plain, key
    # and doing it again finds nothing and harms nothing
    assert core.services.snapshot_erasure.forget(frozen, [images[-1].uid]) == 0
    assert core.again().snapshots.open(frozen).rows(range(50)) == images[:-1]


def test_two_removals_at_the_same_time_both_count(core: Core) -> None:
    # given a removal that another one overtakes between its reading and its writing
    images = some_images(600)
    frozen = freeze(core.services.snapshots, images)
    slow = core.again().snapshot_erasure
    write, others = slow._files.replace_directory, iter([1, 301])

    def overtaken(*given: Any) -> bool:
        other = next(others, None)
        if other is not None:
            core.again().snapshot_erasure.forget(frozen, [images[other].uid], [other])
        return write(*given)

    slow._files.replace_directory = overtaken
    assert slow.forget(frozen, [images[300].uid], [300]) == 1
    # then all three are gone, and everything else can still be read
    assert core.again().snapshots.open(frozen).rows(range(600)) == [
        each for each in images if each.ordinal not in (1, 300, 301)
    ]
    assert len(core.again().snapshots.open(frozen).bitmap("all")) == 597


def test_a_removal_without_erasure_is_gone_for_readers_at_once(core: Core) -> None:
    images = some_images(20)
    frozen = freeze(core.services.snapshots, images)
    assert core.services.snapshots.forget(frozen, [images[3].uid], [3]) == 1
    assert core.services.snapshots.forget(frozen, [images[3].uid], [3]) == 0
    assert core.services.snapshots.open(frozen).rows(range(20)) == [*images[:3], *images[4:]]
    # what still lies there is what the directory names
    keys = [key for key in core.objects() if key.startswith(frozen.snapshot)]
    assert sorted(key.removeprefix(frozen.snapshot)[1:].split("-")[0] for key in keys) == ["directory", "rows", "terms"]


def test_what_is_being_frozen_is_not_erased_behind_its_back(core: Core) -> None:
    training = iteration("TRAINING")
    core.services.snapshots.write_part(training.snapshot, 0, some_images(5))
    with pytest.raises(Unavailable):
        core.services.snapshot_erasure.forget(training, ["any"])
    # a freezing that failed will never be finished: nothing of it stays
    core.services.snapshot_erasure.forget(replace(training, status="FAILED"), ["any"])
    assert versions(core) == []


def test_removing_an_iteration_removes_its_files_and_no_others(core: Core) -> None:
    one, other = iteration(number=1), iteration(number=2)
    services = core.services
    for each in (one, other):
        freeze(services.snapshots, some_images(5), each)
    services.snapshots.remove(one.tenant, one.project_id, one.id)
    services.snapshots.remove(one.tenant, one.project_id, one.id)
    with pytest.raises(IllegalTransition):
        services.snapshots.open(one)
    assert len(services.snapshots.open(other).rows(range(5))) == 5
