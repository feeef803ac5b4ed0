"""One step of a training: forward, loss over all shares of the batch, backward, update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dataloop_jobs.distributed import Team, numbers
from dataloop_jobs.dropout import Dropout
from dataloop_jobs.faults import BadParameter, TrainingDiverged
from dataloop_jobs.loss_terms import Term, weighted
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Batch
from dataloop_jobs.schedule import rate
from dataloop_jobs.task_types.surface import TaskType

# float16: the scale of the loss starts at 65,536 and is halved after each overflow; at 1 it is no overflow any more.
_LEAST_SCALE = 1.0
# Separates the random numbers of steps from the streams of sampling.py and samples.py, which share the seed.
_DRAW = 3
_NARROW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Taken:
    """What came of a step. loss: of the whole batch. heard: sums over all processes of what each one said."""

    loss: float
    learning_rate: float
    heard: list[float]


class Stepper:
    """Network, optimiser, averaged weights and gradient scale of one process, which change together with every step."""

    def __init__(
        self,
        task: TaskType,
        network: nn.Module,
        parameters: Parameters,
        *,
        num_classes: int,
        total_steps: int,
        class_weights: Tensor | None,
        team: Team,
        device: torch.device,
    ):
        self._task, self._parameters, self._team, self._device = task, parameters, team, device
        self._num_classes, self._total_steps = num_classes, total_steps
        self._class_weights = None if class_weights is None else class_weights.to(device)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._forward: nn.Module = self.network
        self._dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
        self._trainable = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(_groups(network, parameters), weight_decay=parameters.weight_decay)
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(device.type, enabled=parameters.precision == "float16")
        self._averages = [p.detach().clone() for p in self._trainable] if parameters.ema_decay else []

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, for a checkpoint."""
        return {
            "network": on_cpu(self.network),
            "optimizer": self._optimizer.state_dict(),
            "averages": self._averages,
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)
        self._scaler.load_state_dict(state["scaler"])

    def start(self) -> None:
        """Join the processes' networks and compile; once, after `restore`. Raises BadParameter (compile)."""
        self._forward = self._team.wrap(self.network)
        if self._parameters.compile:
            self._forward = compiled(self._forward, self._device)

    @property
    def learning_rate(self) -> float:
        """Of the head, at the last step taken."""
        return float(self._optimizer.param_groups[-1]["lr"])

    def averaged(self) -> Averaged:
        """For the time of a `with`, the network has the weights that would be kept."""
        return Averaged(self._trainable, self._averages)

    def take(self, batch: Batch, size: int, step: int, said: Sequence[float] = ()) -> Taken:
        """Do step number `step` (from 0) on this process's share of a batch of `size` images.

        said: numbers to be summed over all processes along with the loss. Raises TrainingDiverged.
        """
        begin, end = self._team.share.bounds(size)
        self._seed(step, begin if end > begin else 0, size)
        share_of_highest = self._rate(step)
        for group, highest in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = highest * share_of_highest
        on_device = batch.to(self._device)
        with self._arithmetic():
            outputs = self._forward(on_device.images)
        terms = self._task.loss(
            [output.float() for output in outputs], on_device.targets, self._num_classes, self._class_weights
        )
        if end == begin:
            terms = [Term(term.total * 0, term.count * 0, term.least) for term in terms]
        counts, whole, heard = self._exchange(terms, said)
        # The wrapped network averages gradients over the processes: times their number, that is the sum.
        loss = weighted(terms, counts) * self._team.size
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._trainable, self._parameters.gradient_clip))
        value = float(loss.detach()) if whole is None else whole
        self._require_finite(value, norm, step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._averages:
            # Young averages forget faster, or the random start would linger in them.
            decay = min(self._parameters.ema_decay, (2 + step) / (11 + step))
            torch._foreach_lerp_(self._averages, [p.detach() for p in self._trainable], 1 - decay)
        return Taken(value, self.learning_rate, heard)

    def _exchange(self, terms: Sequence[Term], said: Sequence[float]) -> tuple[list[Tensor], float | None, list[float]]:
        """The terms' counts over all shares, the whole batch's loss (None: nobody else has a share), and the sums."""
        if self._team.size == 1:
            return [term.count for term in terms], None, list(said)
        own = numbers([*(term.count for term in terms), *(term.total for term in terms)])
        sums = self._team.sums([*own, *said])
        counts, totals = sums[: len(terms)], sums[len(terms) : 2 * len(terms)]
        parts = [total / max(count, term.least) for term, count, total in zip(terms, counts, totals, strict=True)]
        on_device = [term.total.new_tensor(count) for term, count in zip(terms, counts, strict=True)]
        return on_device, sum(parts), sums[2 * len(terms) :]

    def _require_finite(self, loss: float, norm: float, step: int) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        if math.isfinite(loss) and self._scaler.is_enabled() and self._scaler.get_scale() > _LEAST_SCALE:
            return  # an overflow of float16: the scaler leaves this step out and lowers its scale
        raise TrainingDiverged(
            f"the loss became {loss} (gradient norm {norm}) in step {step + 1} of {self._total_steps}, with "
            f"learning_rate={self._parameters.learning_rate:g}; use a lower learning_rate"
        )

    def _seed(self, step: int, first: int, size: int) -> None:
        """Make what the step draws depend on (seed, step) alone; layers that are not ours draw per process."""
        sequence = np.random.SeedSequence([self._parameters.seed, _DRAW, step])
        seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(2))
        # Not torch.manual_seed: it seeds devices that are not there too, for 0.9 ms a step.
        torch.default_generator.manual_seed(seed + self._team.share.rank)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed + self._team.share.rank)
        for module in self._dropouts:
            module.place(seed, first, size)

    def _rate(self, step: int) -> float:
        parameters = self._parameters
        return rate(
            step,
            self._total_steps,
            warmup=parameters.warmup,
            schedule=parameters.schedule,
            milestones=parameters.milestones,
            gamma=parameters.step_gamma,
        )

    def _arithmetic(self) -> AbstractContextManager[object]:
        narrow = _NARROW.get(self._parameters.precision)
        return torch.autocast(self._device.type, dtype=narrow) if narrow else nullcontext()


class Averaged:
    """Puts averaged weights into the network for the time of a `with`; does nothing when there are none."""

    def __init__(self, parameters: Sequence[Tensor], averages: Sequence[Tensor]):
        self._parameters, self._averages = parameters, averages
        self._kept: list[Tensor] = []

    def __enter__(self) -> None:
        if self._averages:
            self._kept = [parameter.detach().clone() for parameter in self._parameters]
            self._copy(self._averages)

    def __exit__(self, *_: object) -> None:
        if self._kept:
            self._copy(self._kept)

    def _copy(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)


def _groups(network: nn.Module, parameters: Parameters) -> list[dict[str, Any]]:
    """Body and head with their own learning rates; biases and norms are not decayed."""
    groups = []
    for is_body, learning_rate in (
        (True, parameters.learning_rate * parameters.backbone_rate),
        (False, parameters.learning_rate),
    ):
        members = [
            value
            for name, value in network.named_parameters()
            if value.requires_grad and name.startswith("backbone.") == is_body
        ]
        decayed = [value for value in members if value.ndim > 1]
        plain = [value for value in members if value.ndim <= 1]
        if decayed:
            groups.append({"params": decayed, "lr": learning_rate})
        if plain:
            groups.append({"params": plain, "lr": learning_rate, "weight_decay": 0.0})
    return groups


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """torch.compile of the network, after a trial of a few seconds on something small.

    Raises BadParameter when the container cannot compile: without the trial the first step would fail with pages of
    the compiler's own words.
    """
    try:
        torch.compile(lambda x: torch.relu(x + 1))(torch.zeros(2, device=device))
    except Exception as error:  # each compiler back end raises kinds of its own
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadParameter(
            "compile",
            True,
            f"torch.compile does not work in this container ({first_line}); install a C++ compiler or set it to false",
        ) from error
    return cast(nn.Module, torch.compile(network))


def on_cpu(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights by name, on the CPU and contiguous."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
