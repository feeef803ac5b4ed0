"""SageMaker instance types that a training is advised for: what matters to a batch is memory and GPUs.

Source: AWS, "Amazon EC2 instance types" (the ml.* types are the same machines).
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Instance:
    """memory_gib: of the machine, or of one GPU where there are any."""

    name: str
    memory_gib: int
    gpus: int = 0

    @property
    def memory_bytes(self) -> int:
        return self.memory_gib * GIB


INSTANCES = (
    Instance("ml.m5.large", 8),
    Instance("ml.m5.xlarge", 16),
    Instance("ml.m5.2xlarge", 32),
    Instance("ml.m5.4xlarge", 64),
    Instance("ml.c5.xlarge", 8),
    Instance("ml.c5.2xlarge", 16),
    Instance("ml.c5.4xlarge", 32),
    Instance("ml.g4dn.xlarge", 16, gpus=1),
    Instance("ml.g4dn.2xlarge", 16, gpus=1),
    Instance("ml.g4dn.12xlarge", 16, gpus=4),
    Instance("ml.g5.xlarge", 24, gpus=1),
    Instance("ml.g5.2xlarge", 24, gpus=1),
    Instance("ml.g5.12xlarge", 24, gpus=4),
    Instance("ml.g5.48xlarge", 24, gpus=8),
    Instance("ml.p3.2xlarge", 16, gpus=1),
    Instance("ml.p3.8xlarge", 16, gpus=4),
    Instance("ml.p3.16xlarge", 16, gpus=8),
    Instance("ml.p4d.24xlarge", 40, gpus=8),
)


def by_name(name: object) -> Instance | None:
    """The declaration, or None."""
    return next((entry for entry in INSTANCES if entry.name == name), None)
