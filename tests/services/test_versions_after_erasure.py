"""Versions from which an image was deleted for good: still proved, still compared, and the image is used nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.actions import labelled, ready_version, run_build, trained_model
from tests.core import Core, account
from tests.erasing import delete, stopped_bucket_clock
from tests.services.test_versions import compare, verify


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found, stopped_bucket_clock(found):
        yield found


def uid_of(core: Core, annotation_id: str) -> str:
    return str(core.services.annotating.get("default", annotation_id).data_ids[0])


def erased(core: Core) -> tuple[str, list[str], Any, Any]:
    """An image that was in two versions, the ids of the annotations, and the versions."""
    ids = labelled(core, 6)
    first, second = ready_version(core, ids[:4], version="1"), ready_version(core, ids, version="2")
    uid = uid_of(core, ids[0])
    core.clock.move(seconds=5)
    delete(core, [uid])
    return uid, ids, *(core.services.curating.get("default", version.id) for version in (first, second))


def test_a_version_with_tombstones_is_still_proved_by_its_digest(core: Core) -> None:
    _, _, first, second = erased(core)
    for version, images in ((first, 3), (second, 5)):
        found = verify(core, version)
        assert found["sound"], found
        assert (found["computed_digest"], found["erased"], found["images"]["proved"]) == (version.digest, 1, images)
        assert version.erased == 1


def test_a_diff_does_not_speak_of_what_both_versions_lost(core: Core) -> None:
    uid, _, first, second = erased(core)
    found = compare(core, first, second)
    assert (found["images"]["added"], found["images"]["unchanged"], found["images"]["erased"]) == (2, 3, 0)
    assert not [key for key, body in core.objects().items() if "/diffs/" in key and uid.encode() in body]


def test_an_erased_image_is_used_nowhere_and_the_model_says_what_touched_it(core: Core) -> None:
    ids = labelled(core, 4)
    version = ready_version(core, ids)
    model = trained_model(core, version.id)
    uid = uid_of(core, ids[0])
    core.clock.move(seconds=5)
    deletion = delete(core, [uid])
    assert core.services.tracing.usage_of("default", uid).places == ()
    found, _, images, _ = core.services.tracing.images_of("default", model, 10, None)
    assert uid not in {image["uid"] for image in images}
    assert len(images) == 3
    assert [touch["deletion_id"] for touch in found.touched_by] == [deletion]
    assert core.services.tracing.find("default", uid).image.status == "ERASED"  # type: ignore[union-attr]


def test_a_restored_version_lacks_what_was_erased_and_keeps_the_rest_where_it_was(core: Core) -> None:
    _, _, first, _ = erased(core)
    draft = core.services.versioning.restore("default", first.id, "3")
    run_build(core, core.services.building.request_build("default", draft.id).id)
    again = core.services.curating.get("default", draft.id)
    # other digests, as docs/versions.md says: the old one covers a tombstone
    assert again.digest != first.digest
    found = compare(core, first, again)
    assert (found["is_same"], found["images"]["unchanged"], found["images"]["changed"]) == (False, 3, 0)
    assert verify(core, again)["sound"]
