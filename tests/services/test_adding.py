"""New images of a project: what is taken, what is not and why, and that a repetition completes what a crash left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput, LimitExceeded, Unavailable
from dataloop.domain.projects import Project, Tag
from dataloop.domain.residency import Clearance
from dataloop.domain.terms import tag_term
from dataloop.services.adding import MAX_BYTES, Added, NewImage
from tests.core import ARTIFACTS, RAW, Core
from tests.erasing import delete, stopped_bucket_clock
from tests.pictures import picture, png_header

BOX = (0.1, 0.2, 0.3, 0.4)


def some_project(core: Core, tenant: str = "default") -> Project:
    return core.services.projects.create(tenant, "animals", task_type="detection")


def tag_of(core: Core, project: Project, name: str = "cat", kind: str = "regular") -> Tag:
    return core.services.projects.create_tag(project, name, kind=kind)


def entry(body: bytes, source: str = "a", tags: Sequence[str] = (), regions: Sequence[Any] = ()) -> NewImage:
    return NewImage(source, lambda: body, tags, regions)


def add(core: Core, project: Project, *entries: NewImage, **wish: Any) -> list[Added]:
    return core.again().adding.add(project, entries, **wish)


def said(core: Core, project: Project, *bodies: bytes, **wish: Any) -> list[str]:
    return [each.status for each in add(core, project, *(entry(body) for body in bodies), **wish)]


def having(core: Core, project: Project, tag: Tag) -> list[int]:
    return list(core.services.browsing.workspace(project).bitmap(tag_term(tag.id)))


def uid(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


@pytest.mark.parametrize(("format", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("BMP", "bmp"), ("GIF", "gif")])
def test_each_format_is_kept_as_it_came(core: Core, format: str, suffix: str) -> None:
    project, body = some_project(core), picture(format, (40, 30))

    [added] = add(core, project, entry(body))

    assert added.status == "ok" and added.image is not None
    assert (added.image.width, added.image.height, added.image.uid) == (40, 30, uid(body))
    assert core.objects(RAW) == {f"projects/{project.id}/{uid(body)}.{suffix}": body}
    record = core.services.registering.get("default", uid(body))
    assert record.status == "REGISTERED" and record.location is not None
    assert (record.location.key, record.location.version_id) == (added.image.key, added.image.version_id)


def test_the_event_of_the_object_repeats_the_registration(core: Core) -> None:
    from dataloop.services.registering import ObjectNotice

    project = some_project(core)
    [added] = add(core, project, entry(picture()))
    assert added.image is not None
    before = core.services.registering.get("default", added.image.uid)

    core.again().registering.register_object(ObjectNotice(added.image.key, added.image.version_id, "0055AE"))

    after = core.services.registering.get("default", added.image.uid)
    assert (after.status, after.facts, len(after.locations)) == (before.status, before.facts, 1)
    assert after.location is not None and after.location.version_id == added.image.version_id


def test_another_tenant_has_its_own_place(core: Core) -> None:
    project, body = some_project(core, "other"), picture()
    add(core, project, entry(body))
    assert list(core.objects(RAW)) == [f"tenants/other/projects/{project.id}/{uid(body)}.jpg"]
    assert core.again().registering.get("other", uid(body)).status == "REGISTERED"


def test_labels_of_the_request_and_of_the_image_come_together(core: Core) -> None:
    project = some_project(core)
    cat, dog, hat = (tag_of(core, project, name) for name in ("cat", "dog", "hat"))

    [added] = add(
        core,
        project,
        entry(picture(), tags=[dog.id], regions=[(hat.id, BOX), (hat.id, BOX)]),
        tag_ids=[cat.id],
        metadata={"site": "a"},
    )

    image = added.image
    assert image is not None and set(image.tags) == {cat.id, dog.id}
    assert [(region.tag_id, region.box) for region in image.regions] == [(hat.id, BOX)]
    assert image.metadata == {"site": "a"}
    assert having(core, project, hat) == [image.ordinal]
    assert {tag.name: tag.image_count for tag in core.services.projects.tags(project)} == {"cat": 1, "dog": 1, "hat": 1}


def test_order_of_the_request_is_the_order_of_the_images(core: Core) -> None:
    project = some_project(core)
    added = add(core, project, *(entry(picture(seed=seed), str(seed)) for seed in range(20)))
    assert [each.source for each in added] == [str(seed) for seed in range(20)]
    assert [each.image.ordinal for each in added if each.image] == list(range(20))


def test_a_duplicate_brings_what_the_image_lacks(core: Core) -> None:
    project, body = some_project(core), picture()
    cat, dog = tag_of(core, project, "cat"), tag_of(core, project, "dog")
    [first] = add(core, project, entry(body), tag_ids=[cat.id], metadata={"site": "a"})
    core.clients.calls.clear()

    [again] = add(core, project, entry(body, regions=[(dog.id, BOX)]), tag_ids=[dog.id], metadata={"line": "7"})

    assert again.status == "duplicate" and first.image and again.image
    assert again.image.id == first.image.id
    assert set(again.image.tags) == {cat.id, dog.id} and len(again.image.regions) == 1
    assert again.image.metadata == {"site": "a", "line": "7"}
    assert core.clients.of("s3") == {}  # its bytes are there
    assert having(core, project, dog) == [first.image.ordinal]


def test_sending_an_image_again_takes_no_new_number(core: Core) -> None:
    project, body = some_project(core), picture()
    for _ in range(3):
        add(core, project, entry(body))
    assert core.stores.images.last_ordinal("default", project.id) == 1


def test_the_same_content_twice_in_a_request_is_one_image(core: Core) -> None:
    project, body = some_project(core), picture()
    cat, dog = tag_of(core, project, "cat"), tag_of(core, project, "dog")

    first, second, third = add(
        core, project, entry(body, tags=[cat.id]), entry(picture(seed=1)), entry(body, tags=[dog.id])
    )

    assert [each.status for each in (first, second, third)] == ["ok", "ok", "duplicate"]
    assert first.image and third.image and third.image.id == first.image.id
    assert set(third.image.tags) == {cat.id, dog.id}


def test_two_projects_may_have_the_same_content(core: Core) -> None:
    body = picture()
    one = core.services.projects.create("default", "one", task_type="classification")
    two = core.services.projects.create("default", "two", task_type="classification")
    assert said(core, one, body) == said(core, two, body) == ["ok"]
    assert len(core.services.registering.get("default", uid(body)).live_locations) == 2


def padded(size: int) -> bytes:
    """A sound JPEG of so many bytes: what follows the end mark is no part of the picture."""
    body = picture()
    return body + b"\0" * (size - len(body))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", "bad_format", "empty"),
        (b"not a picture", "bad_format", "no JPEG"),
        (picture("WEBP"), "bad_format", "image/webp"),
        (picture("TIFF"), "bad_format", "image/tiff"),
        (picture()[:-20], "bad_format", "cut short"),
        (picture("PNG", (64, 64))[:60] + b"\0" * 400 + picture("PNG", (64, 64))[-12:], "bad_format", "decoded"),
        (padded(MAX_BYTES + 1), "too_large", "at most 6291456"),
        (png_header(10_241, 100), "bad_size", "10241 x 100"),
        (png_header(10_000, 10_000), "bad_size", "10000 x 10000"),
        (png_header(60_000, 60_000), "bad_size", "more than twice"),
        (picture("PNG", (52, 2)), "bad_size", "25 times"),
    ],
)
def test_what_is_not_taken(core: Core, body: bytes, status: str, words: str) -> None:
    project = some_project(core)
    fine = picture(seed=5)

    bad, good = add(core, project, entry(body, "bad"), entry(fine, "good"))

    assert (bad.status, good.status) == (status, "ok")
    assert words in bad.reason and bad.image is None
    assert list(core.objects(RAW).values()) == [fine]


def test_what_is_just_taken(core: Core) -> None:
    project = some_project(core)
    assert said(core, project, padded(MAX_BYTES), picture("PNG", (50, 2)), picture("PNG", (1, 1))) == ["ok"] * 3


def test_labels_that_are_not_taken(core: Core) -> None:
    project = some_project(core)
    cat, nothing = tag_of(core, project), tag_of(core, project, "nothing", "negative")
    unknown = "00000000-0000-0000-0000-000000000000"
    many = [(cat.id, (0.0, 0.0, 0.5, (index + 1) / 400)) for index in range(301)]

    added = add(
        core,
        project,
        entry(picture(seed=1), tags=[unknown]),
        entry(picture(seed=2), regions=[(unknown, BOX)]),
        entry(picture(seed=3), tags=[nothing.id, cat.id]),
        entry(picture(seed=4), tags=[nothing.id], regions=[(cat.id, BOX)]),
        entry(picture(seed=5), regions=many),
        entry(picture(seed=6), tags=[nothing.id]),
    )

    assert [each.status for each in added] == [
        "bad_tag",
        "bad_tag",
        "mixed_negative",
        "mixed_negative",
        "too_many_regions",
        "ok",
    ]
    assert all(each.reason for each in added[:5])
    assert len(core.objects(RAW)) == 1


def test_a_duplicate_that_cannot_be_merged_changes_nothing(core: Core) -> None:
    project, body = some_project(core), picture()
    cat, nothing = tag_of(core, project), tag_of(core, project, "nothing", "negative")
    [first] = add(core, project, entry(body), tag_ids=[cat.id])

    [again] = add(core, project, entry(body), tag_ids=[nothing.id])

    assert again.status == "mixed_negative" and again.reason
    assert first.image and again.image and again.image.tags == first.image.tags


@pytest.mark.parametrize(
    "box", [(-0.1, 0, 0.5, 0.5), (0.6, 0, 0.5, 0.5), (0, 0.6, 0.5, 0.5), (0, 0, 0, 0.5), (0, 0, float("nan"), 1)]
)
def test_a_region_outside_of_the_image_stops_the_request(core: Core, box: Any) -> None:
    project = some_project(core)
    cat = tag_of(core, project)
    with pytest.raises(InvalidInput) as caught:
        add(core, project, entry(picture()), entry(picture(seed=1), regions=[(cat.id, box)]))
    assert caught.value.field == "region" and "image 1" in caught.value.reason
    assert core.objects(RAW) == {}


def test_a_request_has_its_limits(core: Core) -> None:
    project = some_project(core)
    ids = [tag_of(core, project, f"tag {number}").id for number in range(21)]
    fine = entry(picture())
    for entries, wish, what in (
        ([fine] * 65, {}, "images of a request"),
        ([fine], {"tag_ids": ids}, "tags of a request"),
        ([entry(picture(), tags=ids)], {}, "tags of a request"),
        ([fine], {"metadata": {str(number): "x" for number in range(11)}}, "metadata"),
    ):
        with pytest.raises(LimitExceeded) as caught:
            add(core, project, *entries, **wish)
        assert caught.value.what == what
    assert core.objects(RAW) == {}
    assert said(core, project, *(picture(seed=seed) for seed in range(64)), tag_ids=ids[:20]) == ["ok"] * 64


def test_a_source_that_fails_is_one_image_that_fails(core: Core) -> None:
    def broken() -> bytes:
        raise InvalidInput("url", "answers with status 404", "http://example.com/a.png")

    def endless() -> bytes:
        raise LimitExceeded("url: bytes", MAX_BYTES)

    project = some_project(core)
    added = add(core, project, NewImage("one", broken), NewImage("two", endless), entry(picture()))
    assert [each.status for each in added] == ["source_failed", "too_large", "ok"]
    assert "status 404" in added[0].reason


def test_urls_of_a_request_share_its_time(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataloop.services import adding

    monkeypatch.setattr(adding, "FETCH_SECONDS", 0.0)
    read = core.services.adding.url_reader()
    [added] = add(core, some_project(core), NewImage("u", read("http://example.com/a.png")))
    assert added.status == "source_failed" and "fewer others" in added.reason


def test_what_there_is_no_time_for_is_left_to_the_next_request(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataloop.services import adding

    project, known, new = some_project(core), picture(seed=1), picture(seed=2)
    assert said(core, project, known) == ["ok"]
    monkeypatch.setattr(adding, "KEEP_SECONDS", -1.0)
    assert said(core, project, known, new) == ["duplicate", "storage"]
    monkeypatch.undo()
    assert said(core, project, known, new) == ["duplicate", "ok"]


def test_an_erased_image_that_is_added_lives_again(core: Core) -> None:
    project, body = some_project(core), picture()
    with stopped_bucket_clock(core):
        add(core, project, entry(body))
        delete(core, [uid(body)])
        assert core.services.registering.get("default", uid(body)).status == "ERASED"
        core.clock.move(hours=1)

        other = core.services.projects.create("default", "other", task_type="classification")
        [added] = add(core, other, entry(body))

    assert added.status == "ok" and added.image is not None
    record = core.again().registering.get("default", uid(body))
    assert record.status == "REGISTERED" and record.location is not None
    assert record.location.version_id == added.image.version_id


def test_an_image_that_comes_in_the_second_of_its_erasure_is_asked_for_again(core: Core) -> None:
    project, body = some_project(core), picture()
    with stopped_bucket_clock(core):
        add(core, project, entry(body))
        core.clock.move(hours=1, milliseconds=700)
        _, task = core.again().erasing.request("default", [uid(body)], "asked for", by="test")
        core.again().erasure_steps.plan("default", task.id)
        other = core.services.projects.create("default", "other", task_type="classification")
        [added] = add(core, other, entry(body))
    assert added.status == "storage" and "send it again" in added.reason


def test_a_limited_caller_adds_only_what_it_may_touch(core: Core) -> None:
    project, allowed, unsaid = some_project(core), picture(seed=1), picture(seed=2)
    core.services.registering.register_metadata("default", {"uid": uid(allowed), "region": "eu"})
    europe = Clearance(regions=frozenset({"eu"}))

    first, second = add(core, project, entry(allowed), entry(unsaid), clearance=europe)

    assert (first.status, second.status) == ("ok", "restricted")
    assert "region not stated" in second.reason
    assert list(core.objects(RAW).values()) == [allowed]


@pytest.mark.parametrize("failing", range(4))
def test_storage_that_fails_for_a_moment_is_said_of_each_image(
    core: Core, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The other images of the request are taken, and the repetition takes the rest."""
    project, bodies = some_project(core), [picture(seed=seed) for seed in range(4)]
    services = core.again()
    put: Callable[..., str] = services.stores.raw.put_version

    def fails(key: str, body: bytes, *rest: Any) -> str:
        if body == bodies[failing]:
            raise Unavailable("S3: SlowDown")
        return put(key, body, *rest)

    monkeypatch.setattr(services.stores.raw, "put_version", fails)
    added = services.adding.add(project, [entry(body) for body in bodies])
    assert [each.status for each in added] == ["storage" if index == failing else "ok" for index in range(4)]
    expected = ["ok" if index == failing else "duplicate" for index in range(4)]
    assert said(core, project, *bodies) == expected
    assert list(core.objects(ARTIFACTS)) == []  # small pictures need no copies
