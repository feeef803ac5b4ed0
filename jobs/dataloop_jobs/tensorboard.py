"""TensorBoard event files: curves of a training for people who have TensorBoard.

Written with tensorboardX, which needs only numpy and protobuf (both are here anyway); torch's own writer needs the
whole `tensorboard` package with its web server.
"""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter


class Board:
    """Scalars over steps, written in the background."""

    def __init__(self, folder: Path, next_step: int):
        """next_step: what an earlier start wrote from this step on is hidden, as it will be written again."""
        self._writer = SummaryWriter(str(folder), purge_step=next_step or None, write_to_disk=True)

    def add(self, step: int, **scalars: float | None) -> None:
        """Add scalars by name ("train_loss" is shown as train/loss); None is left out."""
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name.replace("_", "/", 1), value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()
