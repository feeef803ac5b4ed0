"""The one training loop: cosine schedule, averaged weights, validation, checkpoints, bitwise resume, clean stop.

A run that is stopped by SIGTERM at any step and started again ends with the same bits as one that was not, on a CPU
with the same number of threads: order and augmentation depend on (seed, epoch, position) alone, and the checkpoint
holds weights, optimiser, averages, sums and torch's random state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dataloop_jobs.checkpoints import CheckpointFolder, cpu_seconds
from dataloop_jobs.contract import Progress, StopRequest, say
from dataloop_jobs.faults import Interrupted, TrainingDiverged
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Batch, Samples
from dataloop_jobs.schedule import rate
from dataloop_jobs.task_types.surface import TaskType

# A machine that is taken away without SIGTERM loses at most this much work.
_CHECKPOINT_PERIOD_S = 300.0

# (network in evaluation mode) → (mean loss, metric); metric None when it cannot be computed.
Validate = Callable[[nn.Module], tuple[float | None, float | None]]


@dataclass
class Position:
    """Where a training is; all of it is in the checkpoint. epoch and step count finished ones."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_metric: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    stop_reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """The result. selection says in words how the weights were chosen."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    selection: str
    stop_reason: str
    cpu_seconds: float


class Engine:
    """Trains one network on one device."""

    def __init__(
        self,
        task: TaskType,
        network: nn.Module,
        parameters: Parameters,
        samples: Samples,
        *,
        num_classes: int,
        validate: Validate | None,
        checkpoints: CheckpointFolder,
        progress: Progress,
        stop: StopRequest,
        device: torch.device,
    ):
        """validate: None when there is no validation split; the training loss then chooses the epoch."""
        self._task, self._parameters, self._samples = task, parameters, samples
        self._num_classes, self._validate = num_classes, validate
        self._checkpoints, self._progress, self._stop, self._device = checkpoints, progress, stop, device
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._trainable = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(_groups(network, parameters), weight_decay=parameters.weight_decay)
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        decay = parameters.ema_decay
        self._averages = [p.detach().clone() for p in self._trainable] if decay else []
        self._steps_per_epoch = math.ceil(len(samples) / parameters.batch_size)
        self._at = Position()
        self._started, self._cpu_started, self._saved = 0.0, 0.0, 0.0

    def run(self) -> Trained:
        """Train until the last epoch, or until early stop or the CPU limit says enough.

        Raises TrainingDiverged when the loss is not a number (the last good checkpoint stays), Interrupted after
        SIGTERM (the state is saved first).
        """
        self._resume()
        self._started, self._cpu_started, self._saved = time.monotonic(), cpu_seconds(), time.monotonic()
        while self._at.epoch < self._parameters.epochs and not self._at.stop_reason:
            self._epoch()
        best = self._checkpoints.load_best()
        assert best is not None and self._at.best_epoch is not None  # the last epoch is always judged
        return Trained(
            best,
            self._at.history,
            self._at.best_epoch,
            self._selection(),
            self._at.stop_reason or "all epochs done",
            self._at.cpu_seconds,
        )

    # -- one epoch ----------------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        at, began, cpu_began = self._at, time.monotonic(), cpu_seconds()
        self._network.train()
        first = at.step - at.epoch * self._steps_per_epoch
        order = self._samples.order(at.epoch)
        parameters = self._parameters
        for batch in self._samples.batches(
            order, at.epoch, parameters.batch_size, workers=parameters.workers, first=first
        ):
            at.loss_sum += self._train_step(batch.to(self._device))
            at.step += 1
            done = at.step - at.epoch * self._steps_per_epoch
            elapsed = time.monotonic() - began
            self._progress.report(
                "train",
                at.step,
                parameters.epochs * self._steps_per_epoch,
                "steps",
                loss=round(at.loss_sum / done, 5),
                learning_rate=self._rates[-1] * self._rate_at(at.step - 1),
                images_per_s=round((done - first) * parameters.batch_size / max(elapsed, 1e-9), 1),
            )
            if self._stop.is_requested:
                self._save()
                raise Interrupted(f"SIGTERM at step {at.step}; the state is saved")
            if time.monotonic() - self._saved > _CHECKPOINT_PERIOD_S:
                self._save()
            if self._is_out_of_time():
                at.stop_reason = f"max_cpu_seconds={parameters.max_cpu_seconds:g} reached in epoch {at.epoch + 1}"
                break
        self._finish_epoch(began, cpu_began, first)

    def _train_step(self, batch: Batch) -> float:
        for group, highest in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = highest * self._rate_at(self._at.step)
        with self._arithmetic():
            outputs = self._network(batch.images)
        loss = self._task.loss([output.float() for output in outputs], batch.targets, self._num_classes)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._trainable, self._parameters.gradient_clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise TrainingDiverged(
                f"the loss became {value} (gradient norm {float(norm)}) in epoch {self._at.epoch + 1}, step "
                f"{self._at.step + 1}, with learning_rate={self._parameters.learning_rate:g}; use a lower learning_rate"
            )
        self._optimizer.step()
        if self._averages:
            step = self._at.step + 1
            # Young averages forget faster, or the random start would linger in them.
            decay = min(self._parameters.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._averages, [p.detach() for p in self._trainable], 1 - decay)
        return value

    def _finish_epoch(self, began: float, cpu_began: float, first: int) -> None:
        at, parameters = self._at, self._parameters
        steps = at.step - at.epoch * self._steps_per_epoch
        train_loss = at.loss_sum / max(1, steps)
        trained_s = time.monotonic() - began
        is_last = at.epoch + 1 == parameters.epochs or bool(at.stop_reason)
        val_loss: float | None = None
        metric: float | None = None
        if is_last or (at.epoch + 1) % parameters.evaluate_every == 0:
            val_loss, metric = self._judge(train_loss)
        at.epoch += 1
        # An epoch that max_cpu_seconds cut short has fewer steps; the count goes on from its nominal end.
        at.step, at.loss_sum = at.epoch * self._steps_per_epoch, 0.0
        at.history.append(
            {
                "epoch": at.epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_metric": metric,
                "learning_rate": self._optimizer.param_groups[-1]["lr"],
                "images_per_s": round((steps - first) * parameters.batch_size / max(trained_s, 1e-9), 2),
                "seconds": round(time.monotonic() - began, 3),
                "cpu_seconds": round(cpu_seconds() - cpu_began, 3),
            }
        )
        patience = parameters.early_stop_patience
        if patience and at.stale >= patience and not at.stop_reason and at.epoch < parameters.epochs:
            at.stop_reason = f"no better result in {patience} validations"
        self._save()

    def _judge(self, train_loss: float) -> tuple[float | None, float | None]:
        """Validate the weights that would be kept, and keep them if they are the best so far."""
        with _Averaged(self._trainable, self._averages):
            self._network.eval()
            val_loss, metric = self._validate(self._network) if self._validate else (None, None)
            value = metric if metric is not None else -(train_loss if val_loss is None else val_loss)
            at = self._at
            if at.best_metric is None or value > at.best_metric:
                at.best_metric, at.best_epoch, at.stale = value, at.epoch + 1, 0
                self._checkpoints.save_best(_on_cpu(self._network))
            else:
                at.stale += 1
        return val_loss, metric

    def _selection(self) -> str:
        if self._validate is None:
            return "lowest training loss, because the val split is empty"
        if all(entry["val_metric"] is None for entry in self._at.history):
            return f"lowest validation loss, because {self._task.primary_name} cannot be computed on the val split"
        return f"highest {self._task.primary_name} on the val split"

    # -- small things -------------------------------------------------------------------------------------------

    def _rate_at(self, step: int) -> float:
        return rate(step, self._parameters.epochs * self._steps_per_epoch, self._parameters.warmup)

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self._parameters.precision == "bfloat16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _is_out_of_time(self) -> bool:
        limit = self._parameters.max_cpu_seconds
        return bool(limit) and self._at.cpu_seconds + cpu_seconds() - self._cpu_started > limit

    def _save(self) -> None:
        now, cpu_now = time.monotonic(), cpu_seconds()
        self._at.seconds += now - self._started
        self._at.cpu_seconds += cpu_now - self._cpu_started
        self._started, self._cpu_started, self._saved = now, cpu_now, now
        self._checkpoints.save(
            {
                "position": asdict(self._at),
                "network": _on_cpu(self._network),
                "optimizer": self._optimizer.state_dict(),
                "averages": self._averages,
                "random": torch.get_rng_state(),
            }
        )

    def _resume(self) -> None:
        state = self._checkpoints.load()
        if state is None:
            return
        if state["position"]["best_epoch"] is not None and self._checkpoints.load_best() is None:
            say("warning", text="best.pt is missing beside last.pt; training starts from the beginning")
            return
        self._at = Position(**state["position"])
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)
        torch.set_rng_state(state["random"])


class _Averaged:
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


def _on_cpu(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
