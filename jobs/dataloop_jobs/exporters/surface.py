"""The surface every exporter has: `export(job)` writes the artefact, `verify(job)` proves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.dataset import Row, read_images_only
from dataloop_jobs.exporters.verification import FLOAT32, SAMPLES, Runner, Tolerance, Verification, rounded
from dataloop_jobs.faults import VerificationFailed
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import input_batches
from dataloop_jobs.model_folder import Model


@dataclass(frozen=True)
class ExportJob:
    """What an exporter works with.

    folder: where the artefact's files go. dataset and images: the channels; images are read, never changed.
    """

    model: Model
    folder: Path
    dataset: Path
    images: Path
    threads: int

    @cached_property
    def store(self) -> ImageStore:
        """Pixels at the network's input size."""
        return ImageStore(self.images, self.model.image_size, cache_mb=0)

    @cached_property
    def samples(self) -> list[Row]:
        """Up to 32 real images to verify with. Raises VerificationFailed when there is none."""
        rows = read_images_only(self.dataset, SAMPLES)
        if not rows:
            raise VerificationFailed("the dataset has no image to verify the artefact on")
        return rows

    def inputs(self) -> Iterator[NDArray[np.float32]]:
        """The samples as network input, float32 (n ≤ 8, 3, S, S)."""
        return (images for images, _ in input_batches(self.samples, self.store))

    def tolerance(self, reference: Runner) -> Tolerance:
        """How far another runtime's outputs may be from the reference's: one that was trained for int8 rounds in each."""
        is_rounded = self.model.description.get("quantization", "none") != "none"
        return rounded(reference, self.inputs()) if is_rounded else FLOAT32


class Exporter(Protocol):
    """A module of this folder. Heavy packages are imported inside its functions: the others must not need them.

    It may also have `describe(description)`: the content of model.json for an artefact that is used otherwise than the
    model is (`onnx_end_to_end`).
    """

    def export(self, job: ExportJob) -> list[Path]:
        """Write the artefact's own files into job.folder and return their paths. The command adds model.json, labels,
        README and licence. Raises JobFault."""

    def verify(self, job: ExportJob) -> Verification:
        """Prove the artefact that `export` wrote, on job.samples. Raises VerificationFailed with both numbers."""
