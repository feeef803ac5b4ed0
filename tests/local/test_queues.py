"""Queues lose nothing between a writer that takes no lock and a consumer that replaces the list."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path


def test_a_message_that_comes_during_a_replacement_stays(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import json, sys, time
        from pathlib import Path
        from dataloop_local.durability.keeper import Keeper
        from dataloop_local.gaps import queues_durable
        from dataloop_local.settings import Settings
        from ministack.services import sqs
        keeper = Keeper(Settings(state_dir=Path(sys.argv[1])))
        keeper.open()
        queues_durable.install(keeper)
        message = lambda n, received=0: {"id": n, "receive_count": received, "sent_at": time.time(), "visible_at": 0}
        sqs._queues["url"] = {"messages": [], "attributes": {}}
        queue = sqs._queues["url"]
        queue["messages"].append(message("a", received=1))
        queue["messages"].append(message("b"))
        old = queue["messages"]
        kept = [m for m in old if m["id"] != "a"]
        old.append(message("during"))
        queue["messages"] = kept
        old.append(message("after"))
        left = [m["id"] for m in queue["messages"]]
        queue["messages"].clear()
        keeper.log.close()
        from dataloop_local.durability.log import read_segments
        records = [r.get("gone") or r["added"]["id"] for r in read_segments(Path(sys.argv[1]) / "wal", 0)]
        print(json.dumps([left, records]))
    """)
    command = [sys.executable, "-c", code, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    left, records = json.loads(output.splitlines()[-1])

    assert left == ["b", "during", "after"]
    assert records == ["a", "b", "during", ["a"], "after", ["b", "during", "after"]]
