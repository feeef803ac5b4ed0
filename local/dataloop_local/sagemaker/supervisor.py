"""Starts a job's command and dies with whoever started it. Run as a script; imports nothing of ours.

    runtime --pipe (stdin)--> supervisor --> command and all it starts, one process group

The runtime never writes to the pipe. When it ends, however it ends, the kernel closes the pipe and the supervisor kills the
group: no training goes on for a runtime that is gone. Works on every POSIX system, without prctl.
"""

import os
import signal
import subprocess
import sys
import threading

_NICE = 5


def main(command: list[str]) -> int:
    # A handler, not SIG_IGN: an ignored signal would stay ignored in the command. It gets SIGTERM with the whole group.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # A training wants all cores for minutes; the API wants one for milliseconds.
    os.nice(_NICE)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the job's own command
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error}\n")
        return 127
    threading.Thread(target=_die_with_runtime, daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _die_with_runtime() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
