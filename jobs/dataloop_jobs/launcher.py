"""Starting the processes of a training: one a GPU on every host, through torchrun, under SageMaker's contract.

Each host's container is started with the same command. It starts its own processes with torchrun, which tells each of
them its rank; the first host is the meeting point of all.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataloop_jobs.contract import Hosts, StopRequest, base_dir, failure_file
from dataloop_jobs.distributed import LOST_CONTACT
from dataloop_jobs.faults import Interrupted, ProcessLost

# Where the hosts meet; between the instances of one training job every port is open. The same as torchrun's default.
_PORT = 29500
_PORT_VARIABLE = "MASTER_PORT"
# SageMaker kills a stopped job after 120 s; until shortly before that a process may finish its step and save.
_SHUTDOWN_S = 100
# A process that was stopped ends with this code (128 + SIGTERM): see run.py.
_STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Plan:
    """How many processes train, and where."""

    hosts: Hosts
    processes_per_host: int

    @classmethod
    def of(cls, hosts: Hosts, asked: int) -> Plan:
        """asked: processes on each host; 0 = one a GPU (SM_NUM_GPUS, else what torch sees), at least one."""
        return cls(hosts, asked or max(1, _gpus()))

    @property
    def processes(self) -> int:
        """On all hosts together."""
        return len(self.hosts.names) * self.processes_per_host


def _gpus() -> int:
    said = os.environ.get("SM_NUM_GPUS", "")
    if said.isdigit():
        return int(said)
    import torch

    return torch.cuda.device_count()


def launch(plan: Plan, command: Sequence[str], threads: int, stop: StopRequest) -> None:
    """Run `python <command>` in this host's processes until all have ended.

    A process that fails writes output/failure itself. Raises ProcessLost when one failed, Interrupted after SIGTERM.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    stop.leave_if_requested()
    _set_environment(plan, threads)
    try:
        torchrun([*_options(plan), *command])
    except SignalException as caught:
        said = _written_failure()
        if said:
            raise ProcessLost(said) from caught
        raise Interrupted("SIGTERM received; the training processes saved their state") from caught
    except ChildFailedError as failed:
        codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
        text = _reason(plan, codes, _written_failure())
        if not text:
            raise Interrupted("a training process received SIGTERM; the state is saved") from failed
        raise ProcessLost(text) from failed


def _reason(plan: Plan, codes: Mapping[int, int], said: str) -> str:
    """Why processes with these exit codes ended (negative: killed by that signal); empty when they were only stopped.

    said: what one of them wrote to output/failure. A process that was killed could not write anything; the others know
    only that it has gone.
    """
    if said and LOST_CONTACT not in said:
        return said
    # torchrun ends the others with SIGTERM when one has gone, so theirs says nothing.
    for rank, code in codes.items():
        who = f"process {rank} of {plan.processes} on host {plan.hosts.current}"
        if code < 0 and code != -signal.SIGTERM:
            hint = " (out of memory? image_cache_mb is for each process)" if code == -signal.SIGKILL else ""
            return f"{who} was killed by {signal.Signals(-code).name}{hint}"
        if code > 0 and code != _STOPPED and not said:
            return f"{who} ended with exit code {code}"
    return said


def _options(plan: Plan) -> list[str]:
    options = ["--nproc-per-node", str(plan.processes_per_host), "--max-restarts", "0"]
    is_alone = len(plan.hosts.names) == 1
    port = _free_port() if is_alone else int(os.environ.get(_PORT_VARIABLE) or _PORT)
    return [
        *options,
        "--nnodes",
        str(len(plan.hosts.names)),
        "--node-rank",
        str(plan.hosts.number),
        "--master-addr",
        "127.0.0.1" if is_alone else plan.hosts.names[0],
        "--master-port",
        str(port),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _set_environment(plan: Plan, threads: int) -> None:
    """What torchrun, gloo and NCCL read; a value that is set already stays."""
    interface = plan.hosts.network_interface if len(plan.hosts.names) > 1 else "lo"
    if interface:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        if len(plan.hosts.names) > 1:
            os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SHUTDOWN_S))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _written_failure() -> str:
    """What a process that failed has said; empty when none has."""
    path = failure_file(base_dir())
    return path.read_text(encoding="utf-8") if path.is_file() else ""
