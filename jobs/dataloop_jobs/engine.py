"""The one training loop: schedule, averaged weights, validation, checkpoints, bitwise resume, clean stop.

A run that is stopped by SIGTERM at any step and started again ends with the same bits as one that was not, on a CPU
with the same number of threads: what a step sees depends on (seed, epoch, position) and what it draws on (seed, step),
and the checkpoint holds weights, optimiser, averages, gradient scale and sums.

Of several processes each takes its share of every batch, all take every step together, and all stop after the same one.
The first of them, the leader, validates, saves and reports.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from dataloop_jobs.checkpoints import CheckpointFolder, CpuClock
from dataloop_jobs.contract import Progress, StopRequest, say
from dataloop_jobs.distributed import Team
from dataloop_jobs.faults import Interrupted, TrainingDiverged
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Batch, Samples
from dataloop_jobs.step import Stepper, Taken, on_cpu
from dataloop_jobs.task_types.surface import TaskType
from dataloop_jobs.tensorboard import Board

# A machine that is taken away without SIGTERM loses at most this much work.
_CHECKPOINT_PERIOD_S = 300.0
# What the leader tells instead of a reason to stop.
_GO_ON, _INTERRUPTED = "", "interrupted"

# (network in evaluation mode) → (mean loss, metric); metric None when it cannot be computed. May raise Interrupted.
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
    """Trains one network on one device, alone or in a team of processes."""

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
        team: Team | None = None,
        class_weights: Tensor | None = None,
        open_board: Callable[[int], Board] | None = None,
    ):
        """validate: None when there is no validation split; the training loss then chooses the epoch.

        class_weights: float32 (num_classes,), how much each label weighs in the loss. open_board: (next step) → where
        the leader's curves go.
        """
        self._task, self._parameters, self._samples, self._validate = task, parameters, samples, validate
        self._checkpoints, self._progress, self._stop = checkpoints, progress, stop
        self._team = team or Team()
        self._images_per_epoch = len(samples)
        self._steps_per_epoch = math.ceil(self._images_per_epoch / parameters.batch_size)
        self._stepper = Stepper(
            task,
            network,
            parameters,
            num_classes=num_classes,
            total_steps=parameters.epochs * self._steps_per_epoch,
            class_weights=class_weights,
            team=self._team,
            device=device,
        )
        self._open_board = open_board if self._team.leads else None
        self._board: Board | None = None
        self._at = Position()
        self._clock = CpuClock(0.0)
        self._began, self._started, self._saved = 0.0, 0.0, 0.0

    def run(self) -> Trained | None:
        """Train until the last epoch, or until early stop or the CPU limit says enough. None unless this one leads.

        Raises TrainingDiverged when the loss is not a number (the last good checkpoint stays), Interrupted after
        SIGTERM (the state is saved first), DiskFull when it cannot be saved (the earlier checkpoint stays),
        BadParameter when torch.compile is asked for and does not work here.
        """
        self._resume()
        self._stepper.start()
        self._began = self._started = self._saved = time.monotonic()
        self._board = self._open_board(self._at.step) if self._open_board else None
        try:
            while self._at.epoch < self._parameters.epochs and not self._at.stop_reason:
                self._epoch()
        finally:
            if self._board:
                self._board.close()
        if not self._team.leads:
            return None
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
        at, parameters, began, cpu_began = self._at, self._parameters, time.monotonic(), self._clock.used()
        self._stepper.network.train()
        first = at.step - at.epoch * self._steps_per_epoch
        images = 0
        for number, batch in enumerate(
            self._samples.batches(
                self._samples.order(at.epoch),
                at.epoch,
                parameters.batch_size,
                workers=parameters.workers,
                first=first,
                share=self._team.share,
            ),
            start=first,
        ):
            size = min(parameters.batch_size, self._images_per_epoch - number * parameters.batch_size)
            taken, is_asked_to_stop = self._step(batch, size)
            at.loss_sum += taken.loss
            at.step += 1
            images += size
            self._report(taken, images / max(time.monotonic() - began, 1e-9))
            if is_asked_to_stop:
                self._leave(f"SIGTERM at step {at.step}; the state is saved")
            if time.monotonic() - self._saved > _CHECKPOINT_PERIOD_S:
                self._save()
            if parameters.max_cpu_seconds and self._clock.used() > parameters.max_cpu_seconds:
                at.stop_reason = f"max_cpu_seconds={parameters.max_cpu_seconds:g} reached in epoch {at.epoch + 1}"
                break
        self._finish_epoch(began, cpu_began, images)

    def _step(self, batch: Batch, size: int) -> tuple[Taken, bool]:
        """Take the step; all processes learn together whether one of them was asked to stop, and the CPU time of all."""
        if self._team.size == 1:
            taken = self._stepper.take(batch, size, self._at.step)
            return taken, self._stop.is_requested
        said = (float(self._stop.is_requested), self._clock.own())
        taken = self._stepper.take(batch, size, self._at.step, said)
        stops, own_of_all = taken.heard
        self._clock.hear(own_of_all)
        return taken, stops > 0

    def _finish_epoch(self, began: float, cpu_began: float, images: int) -> None:
        at, parameters = self._at, self._parameters
        steps = at.step - at.epoch * self._steps_per_epoch
        train_loss = at.loss_sum / max(1, steps)
        trained_s = time.monotonic() - began
        is_last = at.epoch + 1 == parameters.epochs or bool(at.stop_reason)
        val_loss: float | None = None
        metric: float | None = None
        if self._team.leads and (is_last or (at.epoch + 1) % parameters.evaluate_every == 0):
            try:
                val_loss, metric = self._judge(train_loss)
            except Interrupted:
                self._team.from_leader(_INTERRUPTED)
                self._leave("SIGTERM during a validation; the state before it is saved")
        at.epoch += 1
        # An epoch that max_cpu_seconds cut short has fewer steps; the count goes on from its nominal end.
        at.step, at.loss_sum = at.epoch * self._steps_per_epoch, 0.0
        at.history.append(
            {
                "epoch": at.epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_metric": metric,
                "learning_rate": self._stepper.learning_rate,
                "images_per_s": round(images / max(trained_s, 1e-9), 2),
                "seconds": round(time.monotonic() - began, 3),
                "cpu_seconds": round(self._clock.used() - cpu_began, 3),
            }
        )
        patience = parameters.early_stop_patience
        if patience and at.stale >= patience and not at.stop_reason and at.epoch < parameters.epochs:
            at.stop_reason = f"no better result in {patience} validations"
        if self._board:
            self._board.add(at.step, val_loss=val_loss, val_metric=metric)
        said = self._team.from_leader(at.stop_reason or _GO_ON)
        if said == _INTERRUPTED:
            self._leave("SIGTERM during a validation; the state before it is saved")
        at.stop_reason = said
        self._save()

    def _judge(self, train_loss: float) -> tuple[float | None, float | None]:
        """Validate the weights that would be kept, and keep them if they are the best so far."""
        network = self._stepper.network
        with self._stepper.averaged():
            network.eval()
            val_loss, metric = self._validate(network) if self._validate else (None, None)
            # The loss of a step is that of the weights before it: a last step that ruins them shows only here.
            if val_loss is not None and not math.isfinite(val_loss):
                raise TrainingDiverged(
                    f"the loss on the val split became {val_loss} after step {self._at.step}, with learning_rate="
                    f"{self._parameters.learning_rate:g}; use a lower learning_rate"
                )
            value = metric if metric is not None else -(train_loss if val_loss is None else val_loss)
            at = self._at
            if at.best_metric is None or value > at.best_metric:
                at.best_metric, at.best_epoch, at.stale = value, at.epoch + 1, 0
                self._checkpoints.save_best(on_cpu(network))
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

    def _report(self, taken: Taken, images_per_s: float) -> None:
        at = self._at
        self._progress.report(
            "train",
            at.step,
            self._parameters.epochs * self._steps_per_epoch,
            "steps",
            loss=round(at.loss_sum / (at.step - at.epoch * self._steps_per_epoch), 5),
            learning_rate=taken.learning_rate,
            images_per_s=round(images_per_s, 1),
            at_most_s=self._seconds_left(),
        )
        if self._board:
            self._board.add(
                at.step, train_loss=taken.loss, learning_rate=taken.learning_rate, images_per_second=images_per_s
            )

    def _seconds_left(self) -> float | None:
        """Until max_cpu_seconds, at this start's CPU seconds a second; None without that limit."""
        limit, used = self._parameters.max_cpu_seconds, self._clock.used()
        spent = used - self._clock.before
        if not limit or spent <= 0:
            return None
        return max(0.0, limit - used) * (time.monotonic() - self._began) / spent

    def _leave(self, text: str) -> NoReturn:
        """Save and raise Interrupted; no process goes before the leader has saved."""
        self._save()
        self._team.from_leader(_GO_ON)
        raise Interrupted(text)

    def _save(self) -> None:
        now = time.monotonic()
        self._at.seconds += now - self._started
        self._at.cpu_seconds = self._clock.used()
        self._started = self._saved = now
        if self._team.leads:
            self._checkpoints.save({"position": asdict(self._at), **self._stepper.state()})

    def _resume(self) -> None:
        state = self._checkpoints.load() if self._team.leads else None
        if state and state["position"]["best_epoch"] is not None and self._checkpoints.load_best() is None:
            say("warning", text="best.pt is missing beside last.pt; training starts from the beginning")
            state = None
        state = self._team.state_from_leader(state)
        if state is not None:
            self._at = Position(**state["position"])
            self._stepper.restore(state)
        self._clock = CpuClock(self._at.cpu_seconds)
