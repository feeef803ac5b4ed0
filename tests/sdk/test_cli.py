"""The `dataloop` command: what it prints, where it finds the service, how it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.sdk.commands import runner
from tests.sdk.fake_service import KEY, FakeService, Scripted
from tests.sdk.pictures import image

TASK = {"task_id": "t1", "kind": "train", "status": "SUCCEEDED", "phase": None, "result": {"model_id": "m"}}


@pytest.fixture
def dataloop(service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command against the service: (exit code, standard output, standard error)."""
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    return runner(capsys)


# ---- data ------------------------------------------------------------------------------------------------------------


def test_upload_of_files_and_folders(service: FakeService, dataloop, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(image(b"1"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.png").write_bytes(image(b"2"))
    os.utime(tmp_path / "two" / "a.png", (1_700_000_000, 1_700_000_000))
    information = tmp_path / "info.json"
    information.write_text('{"region": "CN"}')
    arguments = [str(tmp_path / "one.jpg"), str(tmp_path / "two"), "-d", "d", "--raw-data", f"@{information}"]

    code, out, err = dataloop("upload", *arguments, "--json")

    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer["counts"] == {"uploaded": 2, "exists": 0, "skipped": 0, "failed": 0}
    assert [each["object_name"] for each in answer["receipts"]] == ["d/one.jpg", "d/a.png"]
    assert all(each["raw_data_id"] for each in answer["receipts"])
    assert [each["region"] for each in service.raw_data.values()] == ["CN", "CN"]
    assert dataloop("upload", *arguments)[:2] == (0, "1 exists, 1 skipped\n")


def test_upload_with_a_failure(dataloop, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "good.jpg").write_bytes(image(b"1"))
    code, out, err = dataloop("upload", str(tmp_path / "empty.jpg"), str(tmp_path / "good.jpg"))
    assert code == 1
    assert "1 uploaded, 1 failed" in out
    assert "empty.jpg: InvalidInput" in err
    code, out, err = dataloop("upload", str(tmp_path / "nothing.jpg"), "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "LocalFileMissing")


def test_the_way_of_a_dataset(service: FakeService, dataloop, tmp_path: Path) -> None:
    code, out, _ = dataloop("datasets", "create", "test dataset", "v2", "--annotation-type", "detection", "--json")
    dataset_id = json.loads(out)["dataset_id"]
    assert code == 0
    ids = tmp_path / "ids.txt"
    ids.write_text("b\nc\n")
    assert dataloop("datasets", "link", dataset_id, "a", "--from", str(ids))[:2] == (0, "3 annotations linked\n")
    assert service.links[dataset_id] == {"a", "b", "c"}
    service.answer("GET", "/datasets", {"items": list(service.datasets.values()), "cursor": "c9"})
    code, out, _ = dataloop("datasets", "list")
    assert "test dataset" in out
    assert "--cursor c9" in out
    service.answer("GET", f"/datasets/{dataset_id}", service.datasets[dataset_id])
    assert "DRAFT" in dataloop("datasets", "show", dataset_id)[1]
    service.answer("POST", f"/datasets/{dataset_id}/build", TASK)
    assert json.loads(dataloop("datasets", "build", dataset_id, "--no-wait", "--json")[1]) == TASK


def test_download_of_a_dataset(service: FakeService, dataloop, tmp_path: Path) -> None:
    dataloop("datasets", "create", "d", "v1", "--annotation-type", "detection")
    (dataset_id,) = service.datasets
    service.objects["export"] = b"{}"
    result = {"url": f"{service.url}/object/export", "size_bytes": 2}
    service.tasks[f"download-{dataset_id}"] = [{**TASK, "result": result}]
    code, out, _ = dataloop("datasets", "download", "d", "v1", "-d", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path / 'd_v1.json'}\n")


# ---- models ----------------------------------------------------------------------------------------------------------


def test_train_passes_its_parameters(service: FakeService, dataloop) -> None:
    service.answer("POST", "/train", TASK)
    service.tasks["t1"] = [TASK]
    code, out, _ = dataloop("train", "d", "-p", "epochs=3", "-p", "augment=false", "-p", "name=x", "--json")
    assert (code, json.loads(out)) == (0, TASK)
    assert service.calls("POST", "/api/v1/train")[0].json["parameters"] == {"epochs": 3, "augment": False, "name": "x"}


def test_pruning_and_quantisation_are_parameters(service: FakeService, dataloop) -> None:
    service.answer("POST", "/train", TASK)
    dataloop("train", "d", "--parent", "m", "--prune", "0.5", "--quantize", "int8", "--no-wait")
    sent = service.calls("POST", "/api/v1/train")[0].json
    assert sent["parent_model_id"] == "m"
    assert sent["parameters"] == {"pruning_macs_kept": 0.5, "quantization": "int8"}


def test_what_is_too_long_for_a_line_has_lines_of_its_own(service: FakeService, dataloop) -> None:
    scores = {f"label {number}": number / 3 for number in range(9)}
    file = {"name": "a.onnx", "size_bytes": 3, "url": "http://here/" + "x" * 500}
    model = {"model_id": "m", "labels": ["a", "b"], "scores": scores, "slices": [scores, {"few": 1}, file] * 2}
    service.answer("GET", "/models/m", model)
    lines = dataloop("models", "show", "m")[1].splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[:5] == ["model_id  m", 'labels    ["a", "b"]', "scores", "  label 0  0", "  label 1  0.3333"]
    assert lines.count('  {"few": 1}') == 2
    assert lines.count('  {"name": "a.onnx", "size_bytes": 3}') == 2
    assert lines.count("    label 1  0.3333") == 2


def test_a_refused_release_is_no_success(service: FakeService, dataloop) -> None:
    service.answer("POST", "/releases", TASK)
    refused = {"published": False, "verdict": {"promote": False, "reasons": ["AP50 0.7 is below 0.8"]}}
    service.tasks["t1"] = [{**TASK, "result": refused}]
    code, out, err = dataloop("release", "m")
    assert code == 1
    assert "AP50 0.7 is below 0.8" in out
    assert "refused" in err


def test_a_gate_is_an_object(service: FakeService, dataloop) -> None:
    service.answer("POST", "/releases", TASK)
    dataloop("release", "m", "--gate", '{"min_primary": 0.5, "slices": ["region"]}', "--no-wait")
    sent = service.calls("POST", "/api/v1/releases")[0].json
    assert sent == {"model_id": "m", "gate": {"min_primary": 0.5, "slices": ["region"]}}
    code, _, err = dataloop("release", "m", "--gate", "0.5")
    assert code == 2
    assert "JSON object" in err


def test_images_are_named_by_uid_by_file_or_by_query(service: FakeService, dataloop, tmp_path: Path) -> None:
    service.answer("POST", "/selections", TASK)
    listed = tmp_path / "uids.txt"
    listed.write_text("b\nc\n")
    as_json = tmp_path / "uids.json"
    as_json.write_text('["d"]')
    dataloop("select", "2", "a", "--uids", str(listed), "--balance", "--no-wait")
    dataloop("select", "2", "--uids", str(as_json), "--no-wait")
    dataloop("select", "2", "--from", "2026-11-01", "--to", "2026-11-02", "--region", "DE", "--limit", "9", "--no-wait")
    dataloop("select", "2", "--no-wait")
    chosen_by = {"strategy": "random", "count": 2}
    query = {"from": "2026-11-01", "to": "2026-11-02", "regions": ["DE"], "limit": 9}
    assert [call.json for call in service.calls("POST", "/api/v1/selections")] == [
        {"uids": ["a", "b", "c"], "balance": True} | chosen_by,
        {"uids": ["d"]} | chosen_by,
        {"query": query} | chosen_by,
        {"query": {}} | chosen_by,
    ]
    code, _, err = dataloop("select", "2", "a", "--labels", "none")
    assert code == 2
    assert "not both (labels)" in " ".join(err.split())


def test_download_of_a_tasks_file(service: FakeService, dataloop, tmp_path: Path) -> None:
    service.objects["predictions"] = b"{}"
    file = {"name": "predictions.jsonl", "url": f"{service.url}/object/predictions", "size_bytes": 2}
    service.tasks["t1"] = [{**TASK, "result": {"files": [file]}}]
    code, out, _ = dataloop("tasks", "download", "t1", "predictions.jsonl", "-d", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path / 'predictions.jsonl'}\n")
    assert (tmp_path / "predictions.jsonl").read_bytes() == b"{}"
    code, out, _ = dataloop("tasks", "download", "t1", "other.txt", "--json")
    assert (code, json.loads(out)["error"]["details"]) == (1, {"files": ["predictions.jsonl"]})


@pytest.mark.parametrize(
    ("arguments", "method", "route"),
    [
        (["evaluate", "m", "d"], "POST", "/evaluations"),
        (["export", "m"], "POST", "/exports"),
        (["predict", "u", "--model", "m"], "POST", "/predictions"),
        (["auto-annotate", "--release", "front", "--labels", "none"], "POST", "/auto-annotations"),
        (["select", "5", "u"], "POST", "/selections"),
        (["sensitivity", "m"], "POST", "/sensitivities"),
        (["release", "m", "--name", "front"], "POST", "/releases"),
        (["loops", "start", "l", "--force"], "POST", "/loops/l/start"),
        (["tasks", "show", "t1"], "GET", "/tasks/t1"),
        (["tasks", "wait", "t1"], "GET", "/tasks/t1"),
        (["tasks", "stop", "t1"], "POST", "/tasks/t1/stop"),
    ],
)
def test_what_answers_a_task(service: FakeService, dataloop, arguments, method, route) -> None:
    service.answer(method, route, TASK)
    service.answer("GET", "/tasks/t1", TASK)
    code, out, _ = dataloop(*arguments, "--json")
    assert (code, json.loads(out)) == (0, TASK)
    assert service.calls(method, f"/api/v1{route}")


@pytest.mark.parametrize(
    ("arguments", "method", "route", "answer"),
    [
        (["rollback", "front"], "POST", "/releases/front/rollback", {"release_id": "r"}),
        (["models", "show", "m"], "GET", "/models/m", {"model_id": "m"}),
        (["releases", "current", "front"], "GET", "/releases/front/current", {"release_id": "r"}),
        (["releases", "approve", "r", "--comment", "good"], "POST", "/releases/r/approve", {"release_id": "r"}),
        (["releases", "reject", "r"], "POST", "/releases/r/reject", {"release_id": "r"}),
        (["loops", "show", "l"], "GET", "/loops/l", {"loop_id": "l"}),
        (["loops", "create", '{"name": "l"}'], "POST", "/loops", {"loop_id": "l"}),
        (["keys", "create", "k", "--scope", "read"], "POST", "/keys", {"key_id": "1", "key": "dl_x"}),
    ],
)
def test_what_answers_a_record(service: FakeService, dataloop, arguments, method, route, answer) -> None:
    service.answer(method, route, answer)
    code, out, _ = dataloop(*arguments, "--json")
    assert (code, json.loads(out)) == (0, answer)
    code, out, _ = dataloop(*arguments)
    assert code == 0
    assert list(answer.values())[-1] in out


@pytest.mark.parametrize("command", ["tasks", "models", "releases", "loops", "keys", "datasets"])
def test_lists(service: FakeService, dataloop, command) -> None:
    service.answer("GET", f"/{command}", {"items": [{"name": "[bold]x", "scopes": ["read"]}], "cursor": None})
    out = dataloop(command, "list", "--json")[1]
    assert json.loads(out) == {"items": [{"name": "[bold]x", "scopes": ["read"]}], "cursor": None}
    assert dataloop(command, "list")[0] == 0


def test_a_list_never_cuts_a_line_short(service: FakeService, dataloop) -> None:
    row = {"task_id": "01a2045a-bd90-773e-8543-e34fa8d1c0aa", "kind": "download", "status": "S" * 200}
    service.answer("GET", "/tasks", {"items": [row], "cursor": None})
    out = dataloop("tasks", "list")[1]
    assert row["task_id"] in out
    assert row["status"] in out


def test_files_of_a_model(service: FakeService, dataloop, tmp_path: Path) -> None:
    service.objects["o"] = b"onnx"
    files = [{"name": "model.onnx", "url": f"{service.url}/object/o", "size_bytes": 4}]
    service.answer("GET", "/models/m/files", files)
    assert "model.onnx" in dataloop("models", "files", "m")[1]
    assert dataloop("models", "download", "m", "-d", str(tmp_path))[0] == 0
    assert (tmp_path / "model.onnx").read_bytes() == b"onnx"
    code, _, err = dataloop("models", "download", "m", "other")
    assert (code, err) == (1, "dataloop: NotFound: model m has no file 'other'\n")


def test_revoke(service: FakeService, dataloop) -> None:
    service.answer("DELETE", "/keys/k", {})
    assert dataloop("keys", "revoke", "k")[:2] == (0, "k revoked\n")


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_is_one_line_and_exit_code_1(service: FakeService, dataloop) -> None:
    service.script("GET", "/api/v1/models/m", Scripted(404, {"code": "NotFound", "message": "no\nmodel m"}))
    assert dataloop("models", "show", "m") == (1, "", "dataloop: NotFound: no model m\n")


def test_an_error_as_json(service: FakeService, dataloop) -> None:
    body = {"code": "NotFound", "message": "no model m", "details": {"id": "m"}}
    service.script("GET", "/api/v1/models/m", Scripted(404, body))
    code, out, _ = dataloop("models", "show", "m", "--json")
    assert code == 1
    assert json.loads(out) == {"error": {**body, "status": 404, "request_id": None}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["train", "d", "-p", "epochs"],
        ["tasks", "list", "--limit", "0"],
        ["loops", "create", "not json"],
        ["loops", "create", "[1]"],
        ["loops", "create", "@/nowhere"],
        ["datasets", "link", "d"],
        ["local", "reset", "--json"],
    ],
)
def test_wrong_usage_is_exit_code_2(dataloop, arguments) -> None:
    code, out, err = dataloop(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_a_surprise_is_one_line_too(service: FakeService, dataloop) -> None:
    service.answer("GET", "/models", {"unexpected": 1})
    code, _, err = dataloop("models", "list")
    assert (code, err) == (1, "dataloop: KeyError: 'items'\n")


def test_without_any_service(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = runner(capsys)("models", "list")
    assert code == 1
    assert "no service url" in err


def test_options_before_the_command(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.answer("GET", "/models", [])
    assert runner(capsys)("--url", service.url, "--key", KEY, "models", "list")[0] == 0
    assert runner(capsys)("--version")[1].startswith("dataloop ")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ankerautotrainsdk import cli

    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None if name == "typer" else object())
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert "pip install 'ankerautotrainsdk[cli]'" in capsys.readouterr().err
