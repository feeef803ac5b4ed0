"""Everything a job can fail with that its owner can act on.

JobFault
├── BadParameter        a hyperparameter is unknown or has a wrong type or value
├── BadDataset          manifest, label map or split is unusable
│   └── BadImage        one image is missing, altered, undecodable or too large
├── BadModel            a model folder or parent is missing, incomplete or does not fit
├── BadCheckpoint       the checkpoint belongs to another run
├── TrainingDiverged    the loss is no longer a number
├── VerificationFailed  an exported artefact does not give the reference's outputs
└── MissingRequirement  a package the job needs is not installed
Interrupted             SIGTERM arrived; the state is saved, nothing failed
"""

from __future__ import annotations


class JobFault(Exception):
    """The message says what is wrong, with which parameter, uid or key and value, and what to do."""


class BadParameter(JobFault):
    """A hyperparameter or environment variable cannot be used."""

    def __init__(self, name: str, value: object, problem: str):
        self.name, self.value = name, value
        super().__init__(f"parameter {name}={value!r}: {problem}")


class BadDataset(JobFault):
    """The dataset channel cannot be used as it is."""


class BadImage(BadDataset):
    """One image cannot be used."""

    def __init__(self, uid: str, key: str, problem: str):
        self.uid, self.key = uid, key
        super().__init__(f"image uid={uid} key={key!r}: {problem}")


class BadModel(JobFault):
    """A model folder cannot be used."""


class BadCheckpoint(JobFault):
    """The checkpoint in the checkpoints folder is not one of this run."""


class TrainingDiverged(JobFault):
    """The loss became NaN or infinite."""


class VerificationFailed(JobFault):
    """An artefact and its reference disagree by more than the tolerance."""


class MissingRequirement(JobFault):
    """A Python package is missing in the container."""


class Interrupted(Exception):
    """SIGTERM arrived: the job stops with its state saved."""
