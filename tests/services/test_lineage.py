"""Lineage both ways: from a model to its bytes, and from an image or an annotation to what was made of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput, NotFound
from tests.actions import image, label, labelled, ready_version, release, trained_model
from tests.core import RAW, Core


def uid_of(core: Core, annotation_id: str) -> str:
    return str(core.services.annotating.get("default", annotation_id).data_ids[0])


def test_a_models_images_lead_to_the_very_bytes_and_statements(core: Core) -> None:
    # given a model
    ids = labelled(core, 4)
    version = ready_version(core, ids)
    model = trained_model(core, version.id)
    # when its lineage is read in pages
    images, cursor = [], None
    for _ in range(3):
        found, behind, items, cursor = core.services.tracing.images_of("default", model, 2, cursor)
        images += items
        if cursor is None:
            break
    # then the chain is closed by digests: model → version, version → images
    assert found.dataset["digest"] == behind.digest == version.digest
    assert sorted(entry["annotation_ids"][0] for entry in images) == sorted(ids)
    for entry in images:
        place = {"Bucket": RAW, "Key": entry["object_name"], "VersionId": entry["version_id"]}
        body = core.clients.s3.get_object(**place)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == entry["sha256"]
        (said,) = entry["annotations"]
        assert said["digest"].startswith(said["id"])
        assert (said["status"], said["method"]) == ("KEPT", "manual")


def test_an_image_is_found_in_every_version_with_its_place_there(core: Core) -> None:
    # given an image in two versions, in a model and in a release, and a version without it
    ids = labelled(core, 8)
    uid = uid_of(core, ids[0])
    first = ready_version(core, ids[:4], version="1")
    again = core.services.annotating.register("default", label(uid, name="dog")).id
    second = ready_version(core, [*ids, again], version="2")
    ready_version(core, ids[4:], version="3")
    model = trained_model(core, first.id)
    release(core, model)
    # when it is asked for
    used = core.services.tracing.usage_of("default", uid)
    # then each place says split, annotations, object version and digest
    places = {place.version.id: place.image for place in used.places}
    assert set(places) == {first.id, second.id}
    assert places[first.id]["annotation_ids"] == [ids[0]]
    assert sorted(places[second.id]["annotation_ids"]) == sorted([ids[0], again])
    assert {place["split"] for place in places.values()} == {"train"}
    assert [found.id for found in used.models] == [model]
    assert used.current == ("scenes",)


def test_an_image_of_a_large_version_is_found_with_few_reads(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a version whose list of objects is longer than what is read at once
    from dataloop.manifests import lookup

    monkeypatch.setattr(lookup, "READ_BYTES", 700)
    ids = labelled(core, 40)
    ready_version(core, ids)
    for id in ids:
        uid = uid_of(core, id)
        core.clients.calls.clear()
        (place,) = core.services.tracing.usage_of("default", uid).places
        # then each is found where it is, within a few ranged reads
        assert (place.image["uid"], place.image["annotation_ids"]) == (uid, [id])
        assert core.clients.of("s3")["s3.GetObject"] <= 7
    assert core.services.tracing.usage_of("default", "f" * 32).places == ()


def test_an_annotation_is_used_where_it_counts_and_not_where_it_was_superseded(core: Core) -> None:
    ids = labelled(core, 3)
    first = ready_version(core, ids, version="1")
    corrected = label(uid_of(core, ids[0]), name="dog", supersedes=ids[0])
    new = core.services.annotating.register("default", corrected).id
    second = ready_version(core, [*ids, new], version="2")
    model = trained_model(core, first.id)

    def versions_of(id: str) -> list[str]:
        _, used = core.services.tracing.usage_of_annotation("default", id)
        return sorted(version.id for version in used.versions)

    assert versions_of(ids[0]) == [first.id]
    assert versions_of(new) == [second.id]
    assert versions_of(ids[1]) == sorted([first.id, second.id])
    assert [found.id for found in core.services.tracing.usage_of_annotation("default", ids[0])[1].models] == [model]
    with pytest.raises(NotFound):
        core.services.tracing.usage_of_annotation("default", "f" * 24)


def test_any_id_is_traced(core: Core) -> None:
    # given one of each
    ids = labelled(core, 4)
    version = ready_version(core, ids)
    model = trained_model(core, version.id)
    released = release(core, model)
    uid = uid_of(core, ids[0])

    def trace(id: str) -> tuple[Any, Any]:
        found = core.again().tracing.find("default", id)
        return found, core.again().tracing.used_by("default", found)

    # then each knows what it is, what it came from and what was made of it
    found, used = trace(released)
    assert (found.kind, found.model.id, found.version.id) == ("release", model, version.id)
    found, used = trace(model)
    assert (found.kind, found.version.digest, used.current) == ("model", version.digest, ("scenes",))
    found, used = trace(version.id)
    assert (found.kind, [each.id for each in used.models], [each.id for each in used.releases]) == (
        "dataset",
        [model],
        [released],
    )
    found, used = trace(uid)
    assert (found.kind, [each.id for each in used.versions]) == ("image", [version.id])
    found, used = trace(ids[0])
    assert (found.kind, [each.id for each in used.models]) == ("annotation", [model])


@pytest.mark.parametrize("id", ["", "x", "F" * 32, "0" * 23, "no-such-model", "../etc"])
def test_what_is_no_id_is_refused(core: Core, id: str) -> None:
    with pytest.raises(InvalidInput):
        core.services.tracing.find("default", id)


def test_nobody_traces_what_is_another_tenants(core: Core) -> None:
    ids = labelled(core, 3)
    version = ready_version(core, ids)
    model = trained_model(core, version.id)
    for id in (model, version.id, release(core, model), ids[0], uid_of(core, ids[0]), core.clock.new_id()):
        with pytest.raises(NotFound):
            core.services.tracing.find("other", id)
    assert core.services.tracing.usage_of("other", uid_of(core, ids[0])).places == ()


def test_an_image_of_no_version_is_used_nowhere(core: Core) -> None:
    id = image(core, "alone")
    used = core.services.tracing.usage_of("default", uid_of(core, id))
    assert (used.places, used.models, used.releases, used.current) == ((), (), (), ())
