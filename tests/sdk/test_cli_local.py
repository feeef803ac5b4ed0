"""`dataloop local …` against a runtime that only notes what it is asked, and `dataloop keys bootstrap`."""

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

from ankerautotrainsdk.cli import session
from tests.sdk.commands import runner
from tests.sdk.fake_service import KEY, FakeService

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

    def down(state_dir: Path) -> bool:
        calls.append(("down", {"state_dir": state_dir}))
        was_running = (state_dir / "runtime.json").exists()
        (state_dir / "runtime.json").unlink(missing_ok=True)
        return was_running

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
            "allow_roots": [str(tmp_path)],
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
        raise RuntimeError("it did not start:\nfirst line of the log\nport 8000 is taken")

    sys.modules["dataloop_local.control"].up = up  # type: ignore[attr-defined]
    code, out, err = runner(capsys)("local", "up", "--detach")
    assert (code, out) == (1, "")
    assert err == "dataloop: LocalRuntime: it did not start: port 8000 is taken\n"


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
asked = []
module.status = lambda state_dir: asked.append(1) or (None if len(asked) == 1 else {})
module.down = lambda state_dir: (state / "stopped").write_text("yes")
sys.modules["dataloop_local.control"] = module
from ankerautotrainsdk.cli.app import run
run(["local", "up", "--state", str(state), "--json"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "started with signals ignored"])
def test_in_the_foreground_it_runs_until_interrupted(tmp_path: Path, number: signal.Signals, ignored: bool) -> None:
    command = [sys.executable, "-c", FOREGROUND, str(tmp_path)]
    if ignored:
        command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["key"] == "k"
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
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
