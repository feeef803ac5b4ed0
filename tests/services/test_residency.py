"""Restrictions of region and security level where data enters and leaves: write, link, build, export, train, release."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataloop import bootstrap
from dataloop.domain.errors import ResidencyViolation
from dataloop.domain.residency import Clearance
from tests.actions import image, info, label, meta, put, ready_version, run_build, run_release, trained_model
from tests.core import Core

EU = Clearance(frozenset({"EU"}))
CN = Clearance(frozenset({"CN"}))


def labelled_in(core: Core, region: str | None, name: str) -> tuple[str, str]:
    """(uid, annotation id) of an image whose metadata names a region, or none."""
    uid, notice = put(core, f"d/{name}.jpg")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid, split="train") | {"region": region})
    return uid, core.services.annotating.register("default", label(uid)).id


def test_a_key_writes_only_what_it_may(core: Core) -> None:
    uid, _ = put(core, "a.jpg")
    registering = core.services.registering
    with pytest.raises(ResidencyViolation):
        registering.register_metadata("default", meta(uid), EU)
    assert core.services.stores.raw_data.get("default", uid) is None, "nothing was written"
    registering.register_metadata("default", meta(uid), CN)
    with pytest.raises(ResidencyViolation):  # nor may it say that somebody else's file is its own
        registering.register_metadata("default", meta(uid) | {"region": "EU"}, EU)
    results = registering.register_metadata_batch("default", [meta(uid), meta("b" * 32) | {"region": "EU"}], CN)
    assert [isinstance(result, ResidencyViolation) for result in results] == [False, True]


def test_a_key_reads_and_labels_only_what_it_may(core: Core) -> None:
    uid, _ = labelled_in(core, "CN", "a")
    services = core.services
    for forbidden in (
        lambda: services.registering.get("default", uid, EU),
        lambda: services.uploading.link_by_uid("default", uid, EU),
        lambda: services.uploading.link_by_storage("default", "", "raw-bucket", "d/a.jpg", EU),
        lambda: services.annotating.register("default", label(uid, name="dog"), EU),
        lambda: services.annotating.register("default", label("c" * 32), EU),
    ):
        with pytest.raises(ResidencyViolation):
            forbidden()
    results = services.annotating.register_batch("default", [label(uid)], EU)
    assert isinstance(results[0], ResidencyViolation)
    assert services.uploading.link_by_uid("default", uid, CN)
    assert services.uploading.link_by_storage("default", "", "raw-bucket", "d/a.jpg", CN)


@pytest.mark.parametrize("region", ["CN", None])
def test_a_version_takes_only_what_it_may_hold(core: Core, region: str | None) -> None:
    _, inside = labelled_in(core, "EU", "in")
    _, outside = labelled_in(core, region, "out")
    version = core.services.curating.create("default", info(residency={"regions": ["EU"]}))
    with pytest.raises(ResidencyViolation):
        core.services.curating.link("default", version.id, [inside, outside])
    core.services.curating.link("default", version.id, [inside])


def test_a_build_leaves_out_what_moved_outside_after_the_link(core: Core) -> None:
    uid, first = labelled_in(core, "EU", "one")
    _, second = labelled_in(core, "EU", "two")
    version = core.services.curating.create("default", info(residency={"regions": ["EU"]}))
    core.services.curating.link("default", version.id, [first, second])
    core.services.registering.register_metadata("default", meta(uid, split="train") | {"region": "CN"})
    run_build(core, core.services.building.request_build("default", version.id).id)
    built = core.services.curating.get("default", version.id)
    assert built.report["counts"]["train"] == 1
    assert built.report["report"]["counts"] == {"outside_residency": 1}
    assert built.report["residency"] == {"regions": {"EU": 1}, "security_levels": {"low": 1}}


def test_a_built_version_leaves_only_to_who_may_have_it(core: Core) -> None:
    version = ready_version(core, [image(core, "a")])
    with pytest.raises(ResidencyViolation):
        core.services.building.request_download("default", version.id, EU)
    assert core.services.building.request_download("default", version.id, CN).status == "SUCCEEDED"
    with pytest.raises(ResidencyViolation):
        core.services.training.request("default", version.id, clearance=EU)


def test_the_files_of_a_draft_hold_only_what_the_caller_may_have(core: Core) -> None:
    ids = [labelled_in(core, region, f"r{region}")[1] for region in ("EU", "CN")]
    version = core.services.curating.create("default", info())
    core.services.curating.link("default", version.id, ids)
    task = core.services.building.request_download("default", version.id, EU)
    found = run_build(core, task.id)
    assert found["rows"] == 1


def test_a_model_is_released_only_where_its_data_may_go(core: Core) -> None:
    version = ready_version(core, [image(core, "a"), image(core, "b", split="test")])
    parent = trained_model(core, version.id)
    other = ready_version(core, [labelled_in(core, "EU", "eu")[1]], version="2")
    model = trained_model(core, other.id, parent_model_id=parent)
    assert core.services.tracing.model("default", model).holdings["regions"] == {"CN": 2, "EU": 1}, "parents count"

    releasing = core.services.releasing
    for wish in (
        {"residency": {"regions": ["EU"]}},
        {"clearance": EU},
        {"residency": {"max_security_level": "public"}},
    ):
        with pytest.raises(ResidencyViolation):
            releasing.request("default", model, name="r", force=True, **wish)  # type: ignore[arg-type]
    task = releasing.request(
        "default", model, name="r", residency={"regions": ["EU", "CN"], "max_security_level": "low"}
    )
    release_id = run_release(core, task.id)
    assert core.services.stores.releases.get("default", release_id).status == "PUBLISHED"


def test_the_deployment_s_own_restriction_holds_for_everybody(core: Core) -> None:
    _, outside = labelled_in(core, "CN", "out")
    _, inside = labelled_in(core, "EU", "in")
    settings: Any = replace(core.services.settings, data_regions="EU, US")
    services = bootstrap.build(core.clients, settings, core.clock)
    assert services.residency.deployment.regions == {"EU", "US"}
    _, secret = services.keyring.create("default", "k", ["write"], residency={"regions": ["EU", "CN"]})
    principal = services.keyring.authenticate(secret)
    assert principal.clearance.regions == {"EU"}
    version = services.curating.create("default", info())
    with pytest.raises(ResidencyViolation):
        services.curating.link("default", version.id, [outside], principal.clearance)
    services.curating.link("default", version.id, [inside], principal.clearance)
