"""A clean stop and start keeps everything and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloop_local import control
from dataloop_local.settings import LocalRuntimeError, Settings
from tests.local.stack import LocalStack
from tests.local.test_streams import put, seen
from tests.local.waiting import until

TICK = """
import json, os, sys, time
os.environ.update(PERSIST_STATE="1", STATE_DIR=sys.argv[1])
from ministack.core import persistence
from ministack.services import eventbridge, scheduler
from dataloop_local.gaps import schedules
schedules.install()
eventbridge.load_persisted_state(persistence.load_state("eventbridge"))
fired = []
eventbridge._invoke_target = lambda target, *rest: fired.append(target["Arn"])
for later in map(float, sys.argv[2:]):
    eventbridge._now_ts = lambda: time.time() + later
    eventbridge._tick_scheduled_rules()
print(json.dumps(fired))
"""


def ticked(state_dir: Path, *seconds_later: float) -> list[str]:
    """Which targets the saved rules fire at when they are restored and tick so many seconds from now."""
    services = str(Settings(state_dir=state_dir).services_dir)
    command = [sys.executable, "-c", TICK, services, *map(str, seconds_later)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [str(arn) for arn in json.loads(output.splitlines()[-1])]


NewStack = Callable[..., LocalStack]


def test_a_clean_restart_keeps_everything(new_stack: NewStack) -> None:
    # Given data, a waiting message, seen records and a schedule that fired
    stack = new_stack().start()
    first, pk = stack.info, f"watched#{uuid.uuid4().hex}"
    put(stack, pk, "1")
    until(lambda: seen(stack, pk), what="the record at the consumer")
    stack.client("sqs").send_message(QueueUrl=stack.output("StreamDlqUrl"), MessageBody='{"kept": true}')
    scheduled = Settings(state_dir=stack.state_dir).services_dir / "eventbridge.json"
    stack.stop()
    assert control.status(stack.state_dir) is None
    assert "dataloop_last_fired" in scheduled.read_text()
    assert ticked(stack.state_dir, 0, 1) == []
    assert [arn.rpartition(":")[2] for arn in ticked(stack.state_dir, 0, 4000)] == [
        stack.output("EventsQueueUrl").rpartition("/")[2]
    ]
    assert (stack.state_dir / "runtime.json").exists() is False

    # When it starts again
    stack.start()

    # Then it is the same stack at the same addresses, without a deploy, and nothing was seen twice
    assert (stack.info.outputs, stack.info.aws_endpoint_url) == (first.outputs, first.aws_endpoint_url)
    assert (stack.state_dir / "runtime.log").read_text().count("deployed dataloop-local") == 1
    assert stack.received("StreamDlqUrl") == [{"kept": True}]
    put(stack, pk, "2")
    until(lambda: "2" in seen(stack, pk), what="the consumer after the restart")
    assert seen(stack, pk) == {"1": 1, "2": 1}

    # And a second runtime on the same directory is refused, a second `up` finds the first
    with pytest.raises(LocalRuntimeError, match="already listens"):
        control.up(stack.state_dir, stack.port + 1)
    assert control.up(stack.state_dir, stack.port).pid == stack.info.pid
    control.reset(stack.state_dir)
    assert not stack.state_dir.exists()


def test_schedules_go_on_after_a_restart(tmp_path: Path) -> None:
    """A schedule's last firing survives in the saved state of its service."""
    code = (
        "from dataloop_local.gaps import schedules\n"
        "from ministack.services import eventbridge, scheduler\n"
        "import json\n"
        "schedules.install()\n"
        "key = ('000000000000', 'us-east-1', 'rule')\n"
        "eventbridge._rule_last_fired[key] = 5.0\n"
        "state = json.loads(json.dumps({'dataloop_last_fired': eventbridge.get_state()['dataloop_last_fired']}))\n"
        "eventbridge._rule_last_fired.clear()\n"
        "eventbridge.load_persisted_state(state)\n"
        "print(json.dumps([[list(k), v] for k, v in eventbridge._rule_last_fired.items()]))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert json.loads(output.splitlines()[-1]) == [[["000000000000", "us-east-1", "rule"], 5.0]]


def test_a_failed_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "template.yaml"
    broken.write_text("Resources: {}\nParameters: {}\n")
    with pytest.raises(LocalRuntimeError, match="no parameter Nothing"):
        control.up(tmp_path / "state", 0, template=broken, parameters={"Nothing": "1"}, timeout_s=60)


def test_reset_refuses_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(LocalRuntimeError, match="not a state directory"):
        control.reset(tmp_path)
    assert (tmp_path / "precious.txt").exists()
