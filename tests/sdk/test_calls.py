"""Every call, by the request it makes; and the rules of the calls with arguments of their own."""

from __future__ import annotations

import inspect

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, Conflict, InvalidInput, TaskFailed, TaskStopped, TaskTimeout
from tests.sdk.fake_service import FakeService, Scripted

TASK = {"task_id": "t1", "kind": "train", "status": "RUNNING", "phase": "epoch 1", "progress": {"done": 1, "total": 4}}
PAGE = {"items": [{"task_id": "t1", "status": "RUNNING"}], "cursor": "c2"}

ROUTES = [
    (lambda c: c.get_raw_data("u"), "GET", "/raw-data/u", None, {}),
    (lambda c: c.get_annotations("u"), "GET", "/raw-data/u/annotations", None, [{"id": "a"}]),
    (lambda c: c.get_usage("u"), "GET", "/raw-data/u/usage", None, {"versions": [], "models": [], "releases": []}),
    (lambda c: c.get_annotation("a"), "GET", "/annotations/a", None, {}),
    (lambda c: c.list_raw_data("2024-10-24", limit=5), "GET", "/raw-data", {"day": "2024-10-24", "limit": "5"}, PAGE),
    (lambda c: c.get_file_link("u"), "GET", "/files/u/link", None, {"url": "x"}),
    (lambda c: c.get_dataset("d"), "GET", "/datasets/d", None, {}),
    (lambda c: c.list_datasets(cursor="c"), "GET", "/datasets", {"cursor": "c"}, PAGE),
    (lambda c: c.build_dataset("d"), "POST", "/datasets/d/build", None, TASK),
    (lambda c: c.get_task("t1"), "GET", "/tasks/t1", None, TASK),
    (lambda c: c.list_tasks("train", limit=2), "GET", "/tasks", {"kind": "train", "limit": "2"}, PAGE),
    (lambda c: c.stop_task("t1"), "POST", "/tasks/t1/stop", None, TASK),
    (lambda c: c.train("d"), "POST", "/train", {"dataset_id": "d", "parameters": {}}, TASK),
    (
        lambda c: c.train(
            "d",
            task_type="detection",
            architecture="efficientnet_lite0",
            parameters={"epochs": 3},
            model_name="m",
            parent_model_id="p",
        ),
        "POST",
        "/train",
        {
            "dataset_id": "d",
            "task_type": "detection",
            "architecture": "efficientnet_lite0",
            "parameters": {"epochs": 3},
            "model_name": "m",
            "parent_model_id": "p",
        },
        TASK,
    ),
    (lambda c: c.evaluate("m", "d"), "POST", "/evaluations", {"model_id": "m", "dataset_id": "d"}, TASK),
    (
        lambda c: c.evaluate("m", "d", baseline_model_id="b"),
        "POST",
        "/evaluations",
        {"model_id": "m", "dataset_id": "d", "baseline_model_id": "b"},
        TASK,
    ),
    (
        lambda c: c.predict_images(("u",), model_id="m", min_score=0.0),
        "POST",
        "/predictions",
        {"uids": ["u"], "model_id": "m", "min_score": 0.0},
        TASK,
    ),
    (
        lambda c: c.auto_annotate(query={"labels": "none"}, release="front", include_labelled=False),
        "POST",
        "/auto-annotations",
        {"query": {"labels": "none"}, "release": "front", "include_labelled": False},
        TASK,
    ),
    (
        lambda c: c.select_images(5, query={}),
        "POST",
        "/selections",
        {"query": {}, "strategy": "random", "count": 5},
        TASK,
    ),
    (
        lambda c: c.select_images(
            5,
            ["u"],
            strategy="uncertainty",
            seed=0,
            measure="margin",
            per_group=1,
            balance=True,
            near_duplicates=False,
            model_id="m",
        ),
        "POST",
        "/selections",
        {
            "uids": ["u"],
            "strategy": "uncertainty",
            "count": 5,
            "seed": 0,
            "measure": "margin",
            "per_group": 1,
            "balance": True,
            "near_duplicates": False,
            "model_id": "m",
        },
        TASK,
    ),
    (
        lambda c: c.recommend("d", instance="ml.g5.xlarge"),
        "POST",
        "/training/recommendation",
        {"dataset_id": "d", "instance": "ml.g5.xlarge"},
        {"parameters": {"batch_size": 8}, "reasons": []},
    ),
    (lambda c: c.sensitivity("m"), "POST", "/sensitivities", {"model_id": "m"}, TASK),
    (lambda c: c.export("m"), "POST", "/exports", {"model_id": "m", "format": "onnx"}, TASK),
    (
        lambda c: c.export("m", "onnx_int8", max_drop=0.0),
        "POST",
        "/exports",
        {"model_id": "m", "format": "onnx_int8", "max_drop": 0.0},
        TASK,
    ),
    (lambda c: c.get_model("m"), "GET", "/models/m", None, {}),
    (lambda c: c.list_models(), "GET", "/models", {}, {"items": [], "cursor": None}),
    (lambda c: c.get_model_files("m"), "GET", "/models/m/files", None, [{"name": "model.onnx", "url": "x"}]),
    (lambda c: c.why("m", limit=3), "GET", "/models/m/lineage", {"limit": "3"}, {"items": [], "cursor": None}),
    (lambda c: c.lineage("m"), "GET", "/models/m/lineage", {}, {"items": [], "cursor": None}),
    (lambda c: c.release("m"), "POST", "/releases", {"model_id": "m"}, TASK),
    (
        lambda c: c.release("m", "front", require_approval=True, force=False),
        "POST",
        "/releases",
        {"model_id": "m", "name": "front", "require_approval": True, "force": False},
        TASK,
    ),
    (lambda c: c.approve("r"), "POST", "/releases/r/approve", {}, {"release_id": "r"}),
    (lambda c: c.reject("r", "no"), "POST", "/releases/r/reject", {"comment": "no"}, {"release_id": "r"}),
    (lambda c: c.list_releases("front"), "GET", "/releases", {"name": "front"}, []),
    (lambda c: c.get_current_release("front 1"), "GET", "/releases/front%201/current", None, {"release_id": "r"}),
    (lambda c: c.rollback("front"), "POST", "/releases/front/rollback", None, {"release_id": "r"}),
    (
        lambda c: c.create_loop({"name": "l"}, dataset_name="d"),
        "POST",
        "/loops",
        {"name": "l", "dataset_name": "d"},
        {},
    ),
    (lambda c: c.get_loop("l"), "GET", "/loops/l", None, {}),
    (lambda c: c.list_loops(), "GET", "/loops", {}, {"items": []}),
    (lambda c: c.start_loop("l", force=True), "POST", "/loops/l/start", {"force": True}, TASK),
    (
        lambda c: c.create_key("k"),
        "POST",
        "/keys",
        {"name": "k", "scopes": ["read", "write"]},
        {"key_id": "1", "key": "x"},
    ),
    (
        lambda c: c.create_key("k", signing=True, projects=("p1",)),
        "POST",
        "/keys",
        {"name": "k", "scopes": ["read", "write"], "signing": True, "projects": ["p1"]},
        {"key_id": "1", "key": "x", "access_key_id": "DLAK"},
    ),
    (
        lambda c: c.create_key("k", ["admin"], expires_in_days=3),
        "POST",
        "/keys",
        {"name": "k", "scopes": ["admin"], "expires_in_days": 3},
        {"key_id": "1", "key": "x"},
    ),
    (lambda c: c.list_keys(), "GET", "/keys", {}, {"items": []}),
    (lambda c: c.revoke_key("k"), "DELETE", "/keys/k", None, {}),
]


@pytest.mark.parametrize(("call", "method", "route", "sent", "answer"), ROUTES)
def test_each_call_makes_its_request(service: FakeService, client, call, method, route, sent, answer) -> None:
    service.answer(method, route, answer)
    result = call(client)
    (seen,) = service.calls(method, f"/api/v1{route}")
    given = seen.query if method == "GET" else seen.json if seen.body else None
    assert given == (sent if sent is not None or method != "GET" else {})
    if isinstance(answer, dict) and "items" not in answer and method != "DELETE":
        assert result.to_dict() == answer


def test_every_public_method_is_documented() -> None:
    for name, member in inspect.getmembers(AnkerAutoTrainSDK):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name


def test_lists_go_on_to_the_last_page(service: FakeService, client) -> None:
    pages = [
        {"items": [{"task_id": "1"}, {"task_id": "2"}], "cursor": "x"},
        {"items": [{"task_id": "3"}], "cursor": ""},
    ]
    service.script("GET", "/api/v1/tasks", *[Scripted(200, page) for page in pages])
    assert [task.task_id for task in client.iter_tasks()] == ["1", "2", "3"]
    assert [each.query for each in service.calls("GET", "/api/v1/tasks")] == [{}, {"cursor": "x"}]


def test_lineage_goes_on_to_the_last_page(service: FakeService, client) -> None:
    pages = [{"items": [{"uid": "1"}], "cursor": "x"}, {"items": [{"uid": "2"}], "cursor": None}]
    service.script("GET", "/api/v1/models/m/lineage", *[Scripted(200, {"model": {}, **page}) for page in pages])
    assert [image.uid for image in client.iter_lineage("m")] == ["1", "2"]


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_a_batch_of_registrations_is_cut_and_honest(service: FakeService, client) -> None:
    items = [{"uid": f"{n:032x}", "type": "image"} for n in range(250)]
    items[120] = {"uid": "x", "type": "sound"}
    batch = client.upload_raw_data_batch(items)
    assert [place for place, _ in batch.errors] == [120]
    assert batch.errors[0][1].details == {"field": "type"}
    assert len(batch.done) == 249
    assert len(service.calls("POST", "/api/v1/raw-data/batch")) == 3


def test_a_batch_of_too_many_bytes_is_halved(service: FakeService, client) -> None:
    too_large = Scripted(413, {"code": "LimitExceeded", "message": "body: bytes"})
    service.script("POST", "/api/v1/annotations/batch", too_large, too_large)
    batch = client.upload_annotated_data_batch([{"dataId": [str(n)]} for n in range(7)])
    assert [service.annotations[done.annotation_data_id]["dataId"] for done in batch.done] == [
        [str(n)] for n in range(7)
    ]
    service.script("POST", "/api/v1/annotations/batch", too_large)
    ((_, error),) = client.upload_annotated_data_batch([{"dataId": ["x"]}]).errors
    assert error.code == "LimitExceeded"


def test_a_batch_of_annotations(service: FakeService, client) -> None:
    batch = client.upload_annotated_data_batch([{"dataId": ["u"]}, {"dataId": []}])
    assert batch[0].annotation_data_id in service.annotations
    assert isinstance(batch[1], InvalidInput)


@pytest.mark.parametrize("bad", [None, "text", [1], 3])
def test_what_is_no_dict_is_refused_before_sending(service: FakeService, client, bad) -> None:
    for call in (client.upload_raw_data, client.upload_annotated_data, client.create_dataset):
        with pytest.raises(InvalidInput, match="must be a dict"):
            call(bad)
    assert service.seen == []


# ---- datasets --------------------------------------------------------------------------------------------------------


def test_link_takes_both_spellings(service: FakeService, client) -> None:
    created = client.create_dataset({"datasetName": "d", "datasetVersion": "v1"})
    ids = ["66f519f20c11b8a33cd2aa7b", "66f519f20c11b8a33cd2aa7b"]
    for answer in (
        client.link_dataset(ids, created.dataset_id),
        client.link_dataset(annotation_id_list=ids, dataset_id=created.dataset_id),
        client.link_dataset(annotation_id_list=ids, dataset_version_id=created.dataset_id),
    ):
        assert (answer.linked, answer.dataset_id) == (1, created.dataset_id)
    assert service.links[created.dataset_id] == {ids[0]}


def test_a_long_list_is_linked_in_several_calls(service: FakeService, client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ankerautotrainsdk.operations.datasets._LINK_IDS", 4)
    created = client.create_dataset({"datasetName": "d", "datasetVersion": "v1"})
    assert client.link_dataset([str(n) for n in range(10)], created.dataset_id).linked == 10
    assert len(service.calls("POST", f"/api/v1/datasets/{created.dataset_id}/links")) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.link_dataset(["a"]),
        lambda c: c.link_dataset("66f519f20c11b8a33cd2aa7b", "d"),
        lambda c: c.link_dataset(["a"], "d", dataset_version_id="e"),
    ],
)
def test_link_refuses_what_cannot_be_meant(service: FakeService, client, call) -> None:
    with pytest.raises(InvalidInput):
        call(client)
    assert service.seen == []


def test_a_taken_name_is_a_conflict_and_not_retried(service: FakeService, client) -> None:
    client.create_dataset({"datasetName": "d", "datasetVersion": "v1"})
    with pytest.raises(Conflict):
        client.create_dataset({"datasetName": "d", "datasetVersion": "v1"})
    assert len(service.calls("POST", "/api/v1/datasets")) == 2


# ---- tasks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr("ankerautotrainsdk.operations.tasks.time.sleep", seconds.append)
    return seconds


def test_waiting_tells_every_state(service: FakeService, client, slept: list[float]) -> None:
    service.tasks["t1"] = [
        TASK,
        {**TASK, "progress": None},
        {**TASK, "status": "SUCCEEDED", "result": {"model_id": "m"}},
    ]
    states = []
    done = client.wait_for_task(TASK, progress=lambda task: states.append(task.status))
    assert states == ["RUNNING", "RUNNING", "SUCCEEDED"]
    assert done.result.model_id == "m"
    assert slept == [0.25, 0.325]


def test_a_failed_task_raises_its_reason(service: FakeService, client, slept: list[float]) -> None:
    reason = {"code": "InvalidParameter", "message": "learning_rate: -1 is below 0"}
    service.tasks["t1"] = [{**TASK, "status": "FAILED", "error": reason}]
    with pytest.raises(TaskFailed, match="learning_rate: -1 is below 0") as caught:
        client.wait_for_task("t1")
    assert caught.value.code == "InvalidParameter"
    assert caught.value.task.status == "FAILED"
    assert client.wait_for_task("t1", raise_on_failure=False).status == "FAILED"


def test_a_stopped_task(service: FakeService, client, slept: list[float]) -> None:
    service.tasks["t1"] = [{**TASK, "status": "STOPPED"}]
    with pytest.raises(TaskStopped):
        client.wait_for_task("t1")


def test_patience_ends(service: FakeService, client, slept: list[float]) -> None:
    service.tasks["t1"] = [TASK]
    with pytest.raises(TaskTimeout, match="still RUNNING after 0 s") as caught:
        client.wait_for_task("t1", timeout_s=0)
    assert isinstance(caught.value, TimeoutError)


def test_wait_true_waits(service: FakeService, client, slept: list[float]) -> None:
    service.answer("POST", "/train", TASK)
    service.tasks["t1"] = [TASK, {**TASK, "status": "SUCCEEDED", "result": {"model_id": "m"}}]
    assert client.train("d", wait=True).result.model_id == "m"


def test_a_bar_is_drawn_when_asked_for(service: FakeService, client, slept, capsys: pytest.CaptureFixture[str]) -> None:
    service.tasks["t1"] = [TASK, {**TASK, "status": "SUCCEEDED"}]
    client.wait_for_task("t1", progress=True)
    assert "train epoch 1" in capsys.readouterr().err


def test_no_bar_without_a_terminal(service: FakeService, slept, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.sdk.fake_service import KEY

    service.tasks["t1"] = [TASK, {**TASK, "status": "SUCCEEDED"}]
    with AnkerAutoTrainSDK(url=service.url, api_key=KEY) as quiet:
        quiet.wait_for_task("t1")
    assert capsys.readouterr().err == ""
