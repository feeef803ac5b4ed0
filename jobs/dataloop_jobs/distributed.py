"""Several processes training one network: sums, what the leader says, and a failure that all of them can name.

A batch belongs to all processes together; each takes its share. Counts and totals of the loss are added up before the
division, and gradients are added, not averaged: the result is that of one process with the whole batch, up to the
order of floating-point additions.
"""

from __future__ import annotations

import io
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # not in its __all__
from torch.nn.parallel import DistributedDataParallel

from dataloop_jobs.faults import Interrupted, JobFault, ProcessLost, reason
from dataloop_jobs.sampling import Share

# The others wait while the leader validates. A process that dies is noticed at once, by its closed connection; only one
# that hangs is noticed after this time.
_PATIENCE = timedelta(hours=6)
_FAILURE = "failure"
# What a process says that knows only that another one has gone.
LOST_CONTACT = "lost contact with the others"


class Team:
    """The processes of one training. This class alone is the team of one, for which nothing is exchanged."""

    def __init__(self, rank: int = 0, size: int = 1):
        self.share = Share(rank, size)

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.share.processes

    @property
    def leads(self) -> bool:
        """Whether this process validates, saves and reports."""
        return self.share.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes."""
        return list(values)

    def from_leader(self, value: str) -> str:
        """The leader's value; every process calls this at the same point."""
        return value

    def state_from_leader(self, state: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The leader's state, tensors and all."""
        return dict(state) if state is not None else None

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, with its gradients averaged over all processes after each backward pass."""
        return network


class _Processes(Team):
    """A team of several, over torch.distributed: gloo for what is said, gloo or NCCL for gradients."""

    def __init__(self, rank: int, size: int, device: torch.device):
        super().__init__(rank, size)
        self._device = device

    def sums(self, values: Sequence[float]) -> list[float]:
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed)
        return [float(value) for value in summed]

    def from_leader(self, value: str) -> str:
        said: list[Any] = [value]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return str(said[0])

    def state_from_leader(self, state: Mapping[str, Any] | None) -> dict[str, Any] | None:
        buffer = io.BytesIO()
        if self.leads:
            torch.save(state, buffer)
        said: list[Any] = [buffer.getvalue()]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        received: dict[str, Any] | None = torch.load(io.BytesIO(said[0]), map_location="cpu", weights_only=True)
        return received

    def wrap(self, network: nn.Module) -> nn.Module:
        devices = [self._device.index] if self._device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)


def local_device() -> torch.device:
    """The device of this process: its own GPU where there are any."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


@contextmanager
def joined(device: torch.device, host: str) -> Iterator[Team]:
    """The team that torchrun's variables describe, for the time of a `with`; a team of one without them.

    The process group is not destroyed: its destructor joins gloo's threads while it holds the interpreter's lock, and
    now and then one of them is just waiting for that lock. The process must end with os._exit: see run.py.
    Raises ProcessLost with the same words in every process when one of them fails inside: which one, where, and why.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    rank = int(os.environ["RANK"])
    # torchrun's own agent keeps the store, so that it outlives a process that fails.
    is_kept_by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=rank == 0 and not is_kept_by_agent,
        timeout=_PATIENCE,
    )
    said = PrefixStore("dataloop", store)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
        team = _Processes(rank, size, device)
        yield team
        team.sums([0.0])  # nobody leaves while another still needs an answer
    except Interrupted:
        raise
    except Exception as error:
        if not isinstance(error, JobFault):
            traceback.print_exc()
        raise ProcessLost(_reason(said, f"process {rank} of {size} on host {host}", error)) from error


def _reason(said: Store, who: str, error: Exception) -> str:
    """What failed first: another process's words where there are any, else this one's, for the others to read."""
    try:
        if said.check([_FAILURE]):
            return said.get(_FAILURE).decode()
        if isinstance(error, RuntimeError) and _is_lost_contact(error):
            return f"{who} {LOST_CONTACT}: {error}"
        text = f"{who}: {reason(error)}"
        # The first one's words stay: two processes that fail at once must not contradict each other.
        return said.compare_set(_FAILURE, "", text).decode() or text
    except (RuntimeError, ValueError):  # the store went with the host that kept it
        return f"{who}: {reason(error)}"


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether a collective failed because of its peer; gloo and NCCL have no type of their own for it."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or "connection" in text or "gloo" in text


def numbers(values: Sequence[Tensor]) -> list[float]:
    """Scalars as numbers, with one copy from the device."""
    return [float(value) for value in torch.stack([value.detach().double() for value in values]).cpu()]
