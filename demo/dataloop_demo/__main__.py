"""`python -m dataloop_demo`: run the whole loop on this machine and write its report."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import tempfile
from pathlib import Path

from ankerautotrainsdk import DataloopError
from dataloop_demo.coco import LIMIT, coco_story
from dataloop_demo.run import run
from dataloop_demo.scenes import ScenesUnavailable
from dataloop_demo.shots import DemoError, digits_story
from dataloop_local import control
from dataloop_local.settings import LocalRuntimeError

_PORT = 8000


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0: a release exists and the report is written; 1: no, and the last line says why."""
    given = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="dataloop-demo-") as scratch:
            work = Path(scratch)
            # Read the user's folder first: a mistake in it should not cost a deployment.
            story = coco_story(given.data, given.limit) if given.data else digits_story(work / "images")
            state = Path(given.state) if given.state else _own_state(work, given.keep)
            if control.status(state) is not None:
                raise DemoError(f"a stack runs on {state} already: stop it, or name another directory")
            try:
                run(story, state=state, work=work, port=given.port or _free_port(), report=Path(given.report))
            finally:
                if not given.keep:
                    control.down(state)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (DemoError, DataloopError, LocalRuntimeError, ScenesUnavailable) as error:
        print(f"\nthe demo stopped: {error}", file=sys.stderr)
        return 1
    if given.keep:
        print(f"the stack still runs; stop it with: dataloop local down --state {state}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dataloop_demo",
        description="Upload, label, train, release, and let new labels train again: on this machine, in minutes.",
    )
    parser.add_argument("--data", metavar="FOLDER", help="your own COCO folder instead of the demo's images")
    parser.add_argument("--limit", type=int, default=LIMIT, help="use at most so many images of --data (%(default)s)")
    parser.add_argument("--report", metavar="DIR", default="demo-report", help="where the report goes (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=0, help=f"port of the stack ({_PORT}, or a free one when it is taken)"
    )
    parser.add_argument("--state", metavar="DIR", help="keep the stack's data here (left out: thrown away at the end)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    return parser


def _own_state(work: Path, keep: bool) -> Path:
    """Data that is kept must not lie in the scratch folder, which goes at the end."""
    return Path(tempfile.mkdtemp(prefix="dataloop-demo-state-")) if keep else work / "state"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                port: int = other.getsockname()[1]
                return port
        return _PORT


if __name__ == "__main__":
    # A terminated demo must not leave its stack running: as an exception the signal reaches the `finally` above.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
