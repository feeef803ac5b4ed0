"""A tenant never learns that another's id exists; keys open what they say, until they expire or are revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataloop.domain.errors import DomainError, Forbidden, InvalidInput, NotFound, Unauthenticated
from tests.actions import image, labelled, ready_version, release, trained_model
from tests.core import RAW, Core


def world(core: Core, tenant: str) -> dict[str, str]:
    """One of everything that has an id."""
    ids = labelled(core, 4, tenant=tenant)
    version = ready_version(core, ids, tenant=tenant)
    model = trained_model(core, version.id, tenant=tenant)
    rel = release(core, model, tenant=tenant)
    draft = core.services.curating.create(tenant, {"datasetName": "animals", "datasetVersion": "draft"})
    loop = core.services.looping.create(tenant, {"name": "loop", "dataset_name": "animals"})
    key, _ = core.services.keyring.create(tenant, "k", ["read"])
    annotation = core.services.annotating.get(tenant, ids[0])
    return {
        "annotation": ids[0],
        "uid": annotation.data_ids[0],
        "version": version.id,
        "draft": draft.id,
        "model": model,
        "release": rel,
        "task": core.services.tasks.page(tenant, "train", 1, None)[0][0].id,
        "loop": loop.id,
        "key": key.id,
    }


def questions(core: Core, own: dict[str, str], a: dict[str, str], tenant: str) -> dict[str, Callable[[], Any]]:
    """Every use case that takes an id, asked by `tenant` with the ids of `a` (own ids where two are needed)."""
    s = core.services
    return {
        "raw data": lambda: s.registering.get(tenant, a["uid"]),
        "link": lambda: s.uploading.link_by_uid(tenant, a["uid"]),
        "place": lambda: s.uploading.link_by_storage(tenant, None, RAW, "d/i0.jpg"),
        "place by key": lambda: s.uploading.link_by_storage(tenant, None, RAW, "tenants/acme/d/i0.jpg"),
        "annotation": lambda: s.annotating.get(tenant, a["annotation"]),
        "version": lambda: s.curating.get(tenant, a["version"]),
        "link to draft": lambda: s.curating.link(tenant, a["draft"], [own["annotation"]]),
        "link of annotation": lambda: s.curating.link(tenant, own["draft"], [a["annotation"]]),
        "build": lambda: s.building.request_build(tenant, a["draft"]),
        "download": lambda: s.building.request_download(tenant, a["version"]),
        "train": lambda: s.training.request(tenant, a["version"]),
        "warm start": lambda: s.training.request(tenant, own["version"], parent_model_id=a["model"]),
        "evaluate model": lambda: s.judging.request_evaluation(tenant, a["model"], own["version"]),
        "evaluate on": lambda: s.judging.request_evaluation(tenant, own["model"], a["version"]),
        "export": lambda: s.judging.request_export(tenant, a["model"], "onnx"),
        "release": lambda: s.releasing.request(tenant, a["model"]),
        "release by id": lambda: s.releasing.get(tenant, a["release"]),
        "approve": lambda: s.releasing.approve(tenant, a["release"]),
        "reject": lambda: s.releasing.reject(tenant, a["release"]),
        "task": lambda: s.tasks.get(tenant, a["task"]),
        "stop": lambda: s.tasks.stop(tenant, a["task"]),
        "model": lambda: s.tracing.model(tenant, a["model"]),
        "files": lambda: s.tracing.files_of(tenant, a["model"]),
        "lineage": lambda: s.tracing.images_of(tenant, a["model"], 10, None),
        "evaluations": lambda: s.tracing.evaluations(tenant, a["model"]),
        "loop": lambda: s.looping.get(tenant, a["loop"]),
        "start loop": lambda: s.looping.run_once(tenant, a["loop"], True),
        "revoke": lambda: s.keyring.revoke(tenant, a["key"]),
    }


def test_another_tenants_ids_do_not_exist(core: Core) -> None:
    # given two tenants with one of everything, under the same names
    acme = world(core, "acme")
    other = world(core, "other")
    before = core.items()
    # when one asks for each of the other's ids, then it hears what it would hear of an id nobody has
    nobody = {name: "f" * len(id) if name in ("uid", "annotation") else id[::-1] for name, id in acme.items()}
    for what, ask in questions(core, other, acme, "other").items():
        with pytest.raises(NotFound) as theirs:
            # "place" names a file that both have; without its own one there is nothing
            if what == "place":
                core.clients.s3.delete_object(Bucket=RAW, Key="tenants/other/d/i0.jpg")
            ask()
        with pytest.raises(NotFound) as nobodys:
            questions(core, other, nobody, "other")[what]()
        assert theirs.value.entity == nobodys.value.entity, what
    # and nothing was written
    assert core.items() == before


def test_lists_show_only_ones_own(core: Core) -> None:
    world(core, "acme")
    world(core, "other")
    s = core.services
    for found in (
        s.curating.page("acme", 100, None)[0],
        s.tracing.models("acme", 100, None)[0],
        s.releasing.page("acme", None, 100, None)[0],
        s.tasks.page("acme", None, 100, None)[0],
        s.looping.of_tenant("acme"),
        s.keyring.of_tenant("acme"),
        s.registering.of_day("acme", "20261122", 100, None)[0],
    ):
        assert found
        assert {entry.tenant for entry in found} == {"acme"}


def test_a_cursor_opens_no_other_partition(core: Core) -> None:
    for tenant in ("acme", "other"):
        for number in range(3):
            core.services.curating.create(tenant, {"datasetName": "n", "datasetVersion": str(number)})
    _, cursor = core.services.curating.page("acme", 1, None)
    assert cursor
    assert len(core.services.curating.page("acme", 10, cursor)[0]) == 2
    with pytest.raises(InvalidInput):
        core.services.curating.page("other", 10, cursor)


@pytest.mark.parametrize(
    "cursor", ["x", "e30=", "W10=", "bnVsbA==", "\u00fc", "eyJnMXBrIjoiYWNtZXxEU1YifQ==", "9" * 500]
)
def test_a_made_up_cursor_is_an_input_error(core: Core, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        core.services.curating.page("acme", 10, cursor)
    with pytest.raises(InvalidInput):
        core.services.registering.of_day("acme", "20261122", 10, "?" + cursor)


def test_a_key_opens_its_tenant_and_scopes(core: Core) -> None:
    _, secret = core.services.keyring.create("acme", "reader", ["read"])
    principal = core.services.keyring.authenticate(secret)
    assert principal.tenant == "acme"
    principal.require("read")
    for scope in ("write", "train", "release", "admin"):
        with pytest.raises(Forbidden) as refused:
            principal.require(scope)
        assert refused.value.needed == scope
    _, admin = core.services.keyring.create("acme", "admin", ["admin"])
    core.services.keyring.authenticate(admin).require("release")


def test_an_expired_or_revoked_or_unknown_key_opens_nothing(core: Core) -> None:
    key, secret = core.services.keyring.create("acme", "short", ["read"], 1)
    core.clock.move(hours=23)
    core.services.keyring.authenticate(secret)
    core.clock.move(hours=1)
    with pytest.raises(Unauthenticated):
        core.services.keyring.authenticate(secret)
    other, text = core.services.keyring.create("acme", "revoked", ["read"])
    core.services.keyring.revoke("acme", other.id)
    for wrong in (text, "dl_wrong", "", None, "ü", secret + "x"):
        with pytest.raises(Unauthenticated):
            core.services.keyring.authenticate(wrong)
    # and a secret is stored nowhere
    assert all(secret not in repr(item) and text not in repr(item) for item in core.items())
    assert {found.id for found in core.services.keyring.of_tenant("acme")} == {key.id, other.id}


@pytest.mark.parametrize(
    "wrong",
    [("Acme", "n", ["read"]), ("a|b", "n", ["read"]), ("", "n", ["read"]), ("acme", "", ["read"]), ("acme", "n", []),
     ("acme", "n", "read"), ("acme", "n", ["root"]), ("acme", "n", [["read"]]), ("acme", "n", ["read"], 0),
     ("acme", "n", ["read"], True), ("acme", "n", ["read"], "1"), ("acme", "n", ["read"], 1e9)],
)  # fmt: skip
def test_a_wrong_key_request_makes_no_key(core: Core, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(DomainError):
        core.services.keyring.create(*wrong)
    assert core.items() == []


def test_an_annotation_file_cannot_reach_into_another_tenants_area(core: Core) -> None:
    import json

    image(core, "secret", tenant="acme")
    coco = {"images": [{"id": 1, "file_name": "tenants/acme/d/secret.jpg"}], "categories": [], "annotations": []}
    version = core.clients.s3.put_object(Bucket=RAW, Key="annotations/x.json", Body=json.dumps(coco).encode())[
        "VersionId"
    ]
    core.services.importing.import_file("annotations/x.json", version, attempt=12)
    assert [item for item in core.entity("ANN") if item["pk"].startswith("default|")] == []
