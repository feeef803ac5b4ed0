"""The `dataloop` command: what it prints, where it finds the service, how it fails."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.fake_service import KEY, FakeService, Scripted

from ankerautotrainsdk.cli import session
from ankerautotrainsdk.cli.app import run

TASK = {"task_id": "t1", "kind": "train", "status": "SUCCEEDED", "phase": None, "result": {"model_id": "m"}}


@pytest.fixture
def dataloop(service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command against the service: (exit code, standard output, standard error)."""
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    return runner(capsys)


def runner(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            run(list(arguments))
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


# ---- data ------------------------------------------------------------------------------------------------------------


def test_upload_of_files_and_folders(service: FakeService, dataloop, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"1")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.png").write_bytes(b"2")
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
    (tmp_path / "good.jpg").write_bytes(b"1")
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


@pytest.mark.parametrize(
    ("arguments", "method", "route"),
    [
        (["evaluate", "m", "d"], "POST", "/evaluations"),
        (["export", "m"], "POST", "/exports"),
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


def test_files_of_a_model(service: FakeService, dataloop, tmp_path: Path) -> None:
    service.objects["o"] = b"onnx"
    files = [{"name": "model.onnx", "url": f"{service.url}/object/o", "size_bytes": 4}]
    service.answer("GET", "/models/m/files", files)
    assert "model.onnx" in dataloop("models", "files", "m")[1]
    assert dataloop("models", "download", "m", "-d", str(tmp_path))[0] == 0
    assert (tmp_path / "model.onnx").read_bytes() == b"onnx"
    code, _, err = dataloop("models", "download", "m", "other")
    assert (code, err) == (1, "dataloop: NotFound: model m has no file 'other'\n")


def test_why_shows_images(service: FakeService, dataloop) -> None:
    rows = [{"uid": f"u{n}", "split": "train", "annotation_ids": ["a"], "object_name": "x/y.jpg"} for n in range(5)]
    model, dataset = {"model_id": "m", "name": "front", "version": 3}, {"name": "d", "version": "v1", "digest": "abc"}
    service.answer("GET", "/models/m/lineage", {"model": model, "dataset": dataset, "items": rows, "cursor": None})
    code, out, _ = dataloop("why", "m", "--limit", "3")
    assert code == 0
    assert "front 3" in out
    assert "u2" in out
    assert "u3" not in out
    assert "--all" in out
    answer = json.loads(dataloop("why", "m", "--all", "--json")[1])
    assert (len(answer["items"]), answer["more"]) == (5, False)


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


# ---- local -----------------------------------------------------------------------------------------------------------


@dataclass
class Info:
    """As the runtime's RuntimeInfo: more fields than the command shows."""

    url: str
    key: str
    region: str
    state_dir: Path
    pid: int
    stack: str = "dataloop-local"


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, service: FakeService) -> types.SimpleNamespace:
    """A runtime that only notes what it is asked, and writes runtime.json as the real one does."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def up(**arguments: Any) -> Info:
        calls.append(("up", arguments))
        info = Info(service.url, KEY, "us-east-1", arguments["state_dir"], os.getpid())
        info.state_dir.mkdir(parents=True, exist_ok=True)
        fields = {"url": info.url, "key": info.key, "pid": info.pid}
        (info.state_dir / "runtime.json").write_text(json.dumps(fields))
        return info

    def down(state_dir: Path) -> None:
        calls.append(("down", {"state_dir": state_dir}))
        (state_dir / "runtime.json").unlink(missing_ok=True)

    def status(state_dir: Path) -> Info | None:
        running = session.running_runtime(state_dir)
        return Info(running["url"], running["key"], "us-east-1", state_dir, running["pid"]) if running else None

    def reset(state_dir: Path) -> None:
        calls.append(("reset", {"state_dir": state_dir}))
        (state_dir / "runtime.json").unlink(missing_ok=True)

    module = types.ModuleType("dataloop_local.control")
    module.__dict__.update(up=up, down=down, status=status, reset=reset)
    monkeypatch.setitem(sys.modules, "dataloop_local.control", module)
    return types.SimpleNamespace(calls=calls)


def test_up_detached_prints_one_object_and_is_found_again(
    service: FakeService, control, tmp_path: Path, empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataloop = runner(capsys)
    state = tmp_path / "state"
    flags = ["--port", "8123", "--state", str(state), "--anonymous", "--allow-root", str(tmp_path)]
    code, out, err = dataloop("local", "up", "--detach", "--json", *flags, "--allow-url-host", "nas.local")

    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "url": service.url,
        "key": KEY,
        "region": "us-east-1",
        "state_dir": str(state),
        "pid": os.getpid(),
    }
    assert out.count("\n") == 1
    (call,) = control.calls
    assert call == (
        "up",
        {
            "state_dir": state,
            "port": 8123,
            "anonymous": True,
            "allow_roots": [tmp_path],
            "allow_url_hosts": ["nas.local"],
            "parameters": {},
            "timeout_s": 180.0,
        },
    )
    # No flags, no environment: the running one is found, by url and key.
    service.answer("GET", "/models", [])
    assert dataloop("models", "list")[0] == 0
    assert json.loads(dataloop("local", "status", "--json")[1])["running"] is True
    assert KEY not in dataloop("local", "status", "--json")[1]
    assert dataloop("local", "down")[:2] == (0, "stopped\n")
    assert control.calls[-1] == ("down", {"state_dir": state})
    assert json.loads(dataloop("local", "status", "--state", str(state), "--json")[1])["running"] is False
    assert dataloop("models", "list")[0] == 1
    assert list((empty_home / "config").rglob("*.json")) == []


def test_a_configured_service_is_never_overridden(
    service: FakeService, control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runner(capsys)("local", "up", "--detach", "--state", str(tmp_path / "s"))
    monkeypatch.setenv("DATALOOP_URL", "http://127.0.0.1:9")
    with session.open_client() as client:
        assert client.url == "http://127.0.0.1:9"
        assert client._transport.credentials.api_key is None
    monkeypatch.setenv("DATALOOP_URL", service.url)
    with session.open_client() as client:
        assert client._transport.credentials.api_key == KEY


def test_a_dead_runtime_is_not_found(
    control, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner(capsys)("local", "up", "--detach", "--state", str(tmp_path / "s"))
    monkeypatch.setattr(session, "is_alive", lambda pid: False)
    assert runner(capsys)("models", "list")[0] == 1


def test_reset_asks_first(
    control, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert runner(capsys)("local", "reset", "--state", str(tmp_path / "s"))[0] == 1
    assert control.calls == []
    assert runner(capsys)("local", "reset", "--state", str(tmp_path / "s"), "--yes")[0] == 0
    assert control.calls == [("reset", {"state_dir": tmp_path / "s"})]


def test_a_runtime_that_does_not_start(control, capsys: pytest.CaptureFixture[str]) -> None:
    def up(**arguments: Any) -> None:
        raise RuntimeError("port 8000 is taken\nlast lines of the log")

    sys.modules["dataloop_local.control"].up = up  # type: ignore[attr-defined]
    code, out, err = runner(capsys)("local", "up", "--detach")
    assert (code, out) == (1, "")
    assert err == "dataloop: LocalRuntime: port 8000 is taken last lines of the log\n"


def test_the_foreground_does_not_take_over_a_running_one(
    control, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataloop = runner(capsys)
    dataloop("local", "up", "--detach", "--state", str(tmp_path / "s"))
    code, _, err = dataloop("local", "up", "--state", str(tmp_path / "s"))
    assert code == 1
    assert "running already" in err
    assert [name for name, _ in control.calls] == ["up"]


def test_without_the_runtime(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "dataloop_local.control", None)
    code, _, err = runner(capsys)("local", "up", "--detach")
    assert code == 1
    assert "pip install -e '.[local]'" in err


FOREGROUND = """
import os, sys, types, pathlib
state = pathlib.Path(sys.argv[1])
module = types.ModuleType("dataloop_local.control")
module.up = lambda **_: dict(url="http://127.0.0.1:9", key="k", region="r", state_dir=str(state), pid=os.getpid())
module.down = lambda state_dir: (state / "stopped").write_text("yes")
sys.modules["dataloop_local.control"] = module
from ankerautotrainsdk.cli.app import run
run(["local", "up", "--state", str(state), "--json"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_runs_until_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", FOREGROUND, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["key"] == "k"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert (tmp_path / "stopped").read_text() == "yes"


# ---- the first key on AWS --------------------------------------------------------------------------------------------


class FakeAws:
    """Stands in for boto3: one stack, one function."""

    def __init__(self, answer: dict[str, Any], fault: str | None = None) -> None:
        self.answer, self.fault = answer, fault
        self.invoked: dict[str, Any] = {}
        self.session = types.SimpleNamespace(Session=lambda **_: self)

    def client(self, name: str) -> FakeAws:
        return self

    def describe_stack_resource(self, **arguments: str) -> dict[str, Any]:
        assert arguments == {"StackName": "dataloop-dev", "LogicalResourceId": "WorkflowStepsFunction"}
        return {"StackResourceDetail": {"PhysicalResourceId": "steps-1"}}

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.invoked = arguments
        extra = {"FunctionError": "Unhandled"} if self.fault else {}
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **extra}


def test_bootstrap(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    aws = FakeAws({"key_id": "1", "key": "dl_first"})
    monkeypatch.setitem(sys.modules, "boto3", aws)
    code, out, _ = runner(capsys)("keys", "bootstrap", "--stack", "dataloop-dev", "--json")
    assert (code, json.loads(out)) == (0, {"key_id": "1", "key": "dl_first"})
    assert aws.invoked["FunctionName"] == "steps-1"
    body = {"tenant": "default", "name": "first", "scopes": ["admin"]}
    assert json.loads(aws.invoked["Payload"]) == {"step": "keys.create", "input": body}


def test_bootstrap_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"errorType": "InvalidInput", "errorMessage": "unknown scope"}
    monkeypatch.setitem(sys.modules, "boto3", FakeAws(fault, "Unhandled"))
    assert (
        runner(capsys)("keys", "bootstrap", "--stack", "dataloop-dev")[2] == "dataloop: InvalidInput: unknown scope\n"
    )
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "deploy environment" in runner(capsys)("keys", "bootstrap", "--stack", "dataloop-dev")[2]
