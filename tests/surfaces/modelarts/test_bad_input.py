"""Bad input: {"error_code", "error_msg"} with the documented status, never a 5xx, and nothing half-made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloop.domain.splits import SplitPolicy
from tests.core import Core, account
from tests.handlers import handle
from tests.surfaces.modelarts.requests import PROJECT, Surface, event, surface

NOBODY = "01a20320-a200-7000-8000-00000000ffff"


@pytest.fixture(scope="module")
def core() -> Iterator[Core]:
    with account() as made:
        yield made


@pytest.fixture(scope="module")
def api(core: Core) -> Surface:
    return surface(core)


QUERIES = [
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=1.5",
    "limit=ten",
    "limit=99999999999999999999",
    "limit=1&limit=2",
    "limit=٣",
    "offset=-1",
    "offset=1e3",
    "offset=1000000000",
    "order=up",
    "order=DESC",
    "sort_by=size",
    "dataset_type=2",
    "dataset_type=object",
    "dataset_version=v3",
    "check_running_task=yes",
    "contain_versions=1",
    "file_preview=maybe",
    "support_export=2",
    "with_labels=none",
    "running_task_type=8",
    "running_task_type=-1",
    "version_format=3",
    "train_evaluate_ratio=0.5",
    "train_evaluate_ratio=0.9,0.1",
    "train_evaluate_ratio=a,b",
    "train_evaluate_ratio=nan,nan",
    "train_evaluate_ratio=-1,2",
    "train_evaluate_ratio=0,0.5,1",
    f"search_content={'x' * 101}",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_bad_parameter_is_named(api: Surface, query: str) -> None:
    status, body = api("GET", query=query)

    assert (status, body["error_code"]) == (400, "ModelArts.0104")
    assert body["error_msg"].startswith(query.partition("=")[0])


OBJECTS: list[tuple[dict[str, Any], str]] = [
    ({}, "dataset_name"),
    ({"dataset_name": ""}, "dataset_name"),
    ({"dataset_name": "a b"}, "dataset_name"),
    ({"dataset_name": "数据集"}, "dataset_name"),
    ({"dataset_name": "x" * 101}, "dataset_name"),
    ({"dataset_name": 7}, "dataset_name"),
    ({"dataset_type": 2}, "dataset_type"),
    ({"dataset_type": "0"}, "dataset_type"),
    ({"dataset_type": True}, "dataset_type"),
    ({"description": "x" * 257}, "description"),
    ({"description": "a<b"}, "description"),
    ({"description": 5}, "description"),
    ({"data_format": "Parquet"}, "data_format"),
    ({"import_annotations": "true"}, "import_annotations"),
    ({"data_sources": "/raw-bucket/a/"}, "data_sources"),
    ({"data_sources": ["/raw-bucket/a/"]}, "data_sources"),
    ({"data_sources": [{"data_path": "/raw-bucket/a/"}] * 2}, "data_sources"),
    ({"data_sources": [{"data_path": "raw-bucket/a/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/raw-bucket"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/raw-bucket/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/another-bucket/a/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/artifacts-bucket/default/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/raw-bucket/../artifacts-bucket/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/raw-bucket/a//b/"}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_path": "/raw-bucket/tenants/acme/"}]}, "folder"),
    ({"data_sources": [{"data_path": "/raw-bucket/tenants/acme/inner/"}]}, "folder"),
    ({"data_sources": [{"data_path": "/raw-bucket/tenants/"}]}, "folder"),
    ({"data_sources": [{"data_path": "/raw-bucket/" + "x" * 700}]}, "data_sources.data_path"),
    ({"data_sources": [{"data_type": 1}]}, "data_sources.data_type"),
    ({"data_sources": [{"data_type": 9}]}, "data_type"),
    ({"work_path": "out"}, "work_path"),
    ({"data_sources": [{"data_path": "/raw-bucket/a/"}], "work_path": "/raw-bucket/a/out/"}, "work_path"),
    ({"work_path_type": 1}, "work_path_type"),
    ({"labels": {"name": "cat"}}, "labels"),
    ({"labels": [{"name": ""}]}, "labels.name"),
    ({"labels": [{"name": "a\nb"}]}, "labels.name"),
    ({"labels": [{"name": "x" * 101}]}, "name"),
    ({"labels": [{"name": "cat", "type": 2}]}, "type"),
    ({"labels": [{"name": "cat", "property": "red"}]}, "property"),
    ({"labels": [{"name": "cat", "property": {"@modelarts:color": "red"}}]}, "@modelarts:color"),
    ({"labels": [{"name": "cat", "property": {"@modelarts:default_shape": "cube"}}]}, "@modelarts:default_shape"),
    ({"labels": [{"name": "cat", "property": {"@modelarts:rename_to": "dog"}}]}, "@modelarts:rename_to"),
    ({"labels": [{"name": "cat", "attributes": [{"name": "a<b"}]}]}, "attributes.name"),
    ({"labels": [{"name": "cat", "attributes": [{"name": "a", "type": "number"}]}]}, "type"),
    ({"labels": [{"name": f"l{n}"} for n in range(1001)]}, "labels"),
    ({"schema": [{"schema_id": "1"}]}, "schema.schema_id"),
    ({"workforce_information": {"repetition": 0}}, "workforce_information.repetition"),
]


@pytest.mark.parametrize(("fields", "named"), OBJECTS, ids=[str(number) for number in range(len(OBJECTS))])
def test_a_bad_dataset_is_refused_whole(api: Surface, fields: dict[str, Any], named: str) -> None:
    body = fields if "dataset_name" in fields or not fields else {"dataset_name": "bad", "dataset_type": 1, **fields}

    status, answer = api("POST", body=body)

    assert status == 400
    assert answer["error_code"] in ("ModelArts.0104", "ModelArts.0106")
    assert answer["error_msg"].startswith(named)
    assert api.list(search_content="bad") == []


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '"text"', "NaN", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000]
)
def test_a_body_that_is_no_object_is_refused(api: Surface, body: str) -> None:
    status, answer = api("POST", body=body)

    assert (status, answer["error_code"]) == (400, "ModelArts.0104")


def test_a_name_twice(api: Surface) -> None:
    api.create("twice")

    status, answer = api("POST", body={"dataset_name": "twice", "dataset_type": 0})

    assert (status, answer["error_code"]) == (400, "ModelArts.0103")


def test_a_label_twice(api: Surface) -> None:
    status, answer = api("POST", body={"dataset_name": "labels", "labels": [{"name": "cat"}, {"name": "cat"}]})

    assert (status, answer["error_code"]) == (400, "ModelArts.0103")


REQUESTS = [
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("GET", "/versions"),
    ("POST", "/versions"),
    ("GET", "/data-annotations/labels"),
]
IDS = [NOBODY, "gfghHSokody6AJigS5A", "x" * 3000, "%00", "a b", "..", "💥"]


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_unknown_dataset(api: Surface, method: str, path: str, id: str) -> None:
    status, answer = api(method, f"/{id}{path}", {})

    assert status == 404
    assert answer["error_code"] in ("ModelArts.4352", "APIGW.0101")


def test_an_unknown_version(core: Core, api: Surface) -> None:
    id = api.create("versions")
    other = core.services.curating.create("default", {"datasetName": "other", "datasetVersion": "1"})
    drafts, _ = core.services.curating.versions("default", id, 10, None)

    for version_id in (NOBODY, "V001", other.id, drafts[0].id):
        for method in ("GET", "DELETE"):
            status, answer = api(method, f"/{id}/versions/{version_id}")
            assert (status, answer["error_code"]) == (404, "ModelArts.4353")
    status, answer = api("PUT", f"/{id}", {"current_version_id": NOBODY})
    assert (status, answer["error_code"]) == (404, "ModelArts.4353")


def test_another_tenants_dataset_is_not_there(core: Core, api: Surface) -> None:
    other = surface(core, "acme", project="acme-project")
    id = other.create("secret")

    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/versions")):
        status, answer = api(method, f"/{id}{path}", {})
        assert (status, answer["error_code"]) == (404, "ModelArts.4352")
    assert other("GET", f"/{id}")[0] == 200


def test_a_version_that_is_being_built(core: Core, api: Surface) -> None:
    # Given a dataset with a version under construction
    id = api.create("busy")
    version = core.services.curating.create_version("default", "busy", "V001", split=SplitPolicy(), info={})
    core.stores.datasets.move("default", version.id, "BUILDING", core.clock.text(), task_id="t")

    # Then it is shown as being made, and nothing may be done to it
    assert api("GET", f"/{id}/versions/{version.id}")[1]["status"] == 0
    for method, path, body in (
        ("DELETE", f"/{id}/versions/{version.id}", None),
        ("DELETE", f"/{id}", None),
        ("PUT", f"/{id}", {"current_version_id": version.id}),
    ):
        status, answer = api(method, path, body)
        assert (status, answer["error_code"]) == (400, "ModelArts.4712")
    status, answer = api("POST", f"/{id}/versions", {"version_name": "V001"})
    assert (status, answer["error_code"]) == (400, "ModelArts.4371")


VERSIONS = [
    ({"version_name": "a b"}, "version_name"),
    ({"version_name": "x" * 33}, "version_name"),
    ({"version_name": ""}, "version_name"),
    ({"version_format": "CSV"}, "version_format"),
    ({"description": "a<b"}, "description"),
    ({"train_evaluate_sample_ratio": "2"}, "train_evaluate_sample_ratio"),
    ({"train_evaluate_sample_ratio": "0"}, "train_evaluate_sample_ratio"),
    ({"train_evaluate_sample_ratio": "nan"}, "train_evaluate_sample_ratio"),
    ({"train_evaluate_sample_ratio": 0.8}, "train_evaluate_sample_ratio"),
    ({"export_images": True}, "export_images"),
    ({"clear_hard_property": "yes"}, "clear_hard_property"),
]


@pytest.mark.parametrize(("body", "named"), VERSIONS, ids=[str(number) for number in range(len(VERSIONS))])
def test_a_bad_version_is_refused(api: Surface, body: dict[str, Any], named: str) -> None:
    found = api.list(search_content="strict")
    id = found[0]["dataset_id"] if found else api.create("strict")

    status, answer = api("POST", f"/{id}/versions", body)

    assert (status, answer["error_code"]) == (400, "ModelArts.0104")
    assert answer["error_msg"].startswith(named)


def test_a_type_without_data_cannot_be_published(api: Surface) -> None:
    id = api.create("songs", 200)

    status, answer = api("POST", f"/{id}/versions", {})

    assert (status, answer["error_code"]) == (400, "ModelArts.0104")
    assert "published" in answer["error_msg"]


CHANGES = [
    ({"dataset_name": "renamed"}, 400, "ModelArts.0104"),
    ({"description": "a<b"}, 400, "ModelArts.0104"),
    ({"add_labels": [{"name": "cat"}]}, 400, "ModelArts.0103"),
    ({"update_labels": [{"name": "nobody"}]}, 404, "ModelArts.0102"),
    ({"delete_labels": [{"name": "nobody"}]}, 404, "ModelArts.0102"),
    ({"add_labels": "cat"}, 400, "ModelArts.0104"),
    ({"current_version_id": 5}, 400, "ModelArts.0104"),
]


@pytest.mark.parametrize(("body", "status", "code"), CHANGES, ids=[str(number) for number in range(len(CHANGES))])
def test_a_bad_change_changes_nothing(api: Surface, body: dict[str, Any], status: int, code: str) -> None:
    found = api.list(search_content="steady")
    id = found[0]["dataset_id"] if found else api.create("steady", labels=[{"name": "cat"}])
    before = api("GET", f"/{id}")[1]

    assert api("PUT", f"/{id}", body)[0] == status
    assert api("PUT", f"/{id}", body)[1]["error_code"] == code
    assert api("GET", f"/{id}")[1] == before


def test_a_page_that_no_answer_can_hold(api: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given datasets with so many labels that a page of them is more than may be answered (here: a tenth of 6 MB)
    monkeypatch.setattr("api_modelarts.wire.MAX_ANSWER_BYTES", 600_000)
    labels = [{"name": f"label-{number:04d}", "property": {"@modelarts:color": "#3399ff"}} for number in range(1000)]
    for number in range(3):
        api.create(f"heavy-{number}", labels=labels)

    status, answer = api("GET", query="search_content=heavy&with_labels=true&limit=100")

    assert (status, answer["error_code"]) == (400, "ModelArts.0106")
    assert "smaller limit" in answer["error_msg"]
    assert api("GET", query="search_content=heavy&with_labels=true&limit=2")[0] == 200


def test_who_are_you(core: Core) -> None:
    for headers in ({}, {"x-auth-token": "dl_wrong"}, {"x-auth-token": "x" * 5000}, {"authorization": "Basic abc"}):
        answer = handle(core, "api_modelarts", event("GET", f"/v2/{PROJECT}/datasets", "", headers, None))
        assert answer["statusCode"] == 401
        assert '"error_code": "APIGW.0301"' in answer["body"]


def test_a_project_that_the_key_does_not_serve(core: Core, api: Surface) -> None:
    for project in ("f" * 32, "default", "x" * 500):
        status, answer = Surface(core, api.token, project)("GET")
        assert (status, answer["error_code"]) == (404, "ModelArts.0102")


def test_a_key_without_projects_serves_its_tenants_name(core: Core) -> None:
    _, token = core.services.keyring.create("acme", "plain", ["read"])

    assert Surface(core, token, "acme")("GET")[0] == 200
    assert Surface(core, token, PROJECT)("GET")[0] == 404


def test_what_the_key_may_not_do(core: Core) -> None:
    reader = surface(core, "default", "read")

    status, answer = reader("POST", body={"dataset_name": "no"})

    assert (status, answer["error_code"]) == (403, "APIGW.0302")
    assert surface(core, "default", "train")("GET")[0] == 403


def test_a_route_that_is_not_there(api: Surface) -> None:
    status, answer = api("PATCH")

    assert (status, answer["error_code"]) == (404, "APIGW.0101")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "dataset_name",
        "dataset_type",
        "data_sources",
        "description",
        "labels",
        "schema",
        "work_path",
        "workforce_information",
        "version_name",
        "train_evaluate_sample_ratio",
        "add_labels",
        "current_version_id",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.dictionaries(FIELDS, JSON, max_size=4), name=FIELDS, value=st.text(max_size=10), verb=st.sampled_from("gpu")
)
def test_no_request_breaks_the_surface(api: Surface, body: dict[str, Any], name: str, value: str, verb: str) -> None:
    if verb == "g":
        status, answer = api("GET", query={name: value, "limit": value, "train_evaluate_ratio": value})
    elif verb == "p":
        status, answer = api("POST", body=body)
    else:
        status, answer = api("PUT", f"/{NOBODY}", body)

    assert status in (200, 201, 400, 404)
    assert status < 400 or answer.keys() == {"error_code", "error_msg"}
