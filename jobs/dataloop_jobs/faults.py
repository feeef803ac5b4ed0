"""Everything a job can fail with that its owner can act on.

JobFault
├── BadParameter        a hyperparameter is unknown or has a wrong type or value
├── BadDataset          manifest, label map or split is unusable
│   └── BadImage        one image is missing, altered, undecodable or too large
├── BadModel            a model folder or parent is missing, incomplete or does not fit
├── BadCheckpoint       the checkpoint belongs to another run
├── TrainingDiverged    the loss is no longer a number
├── DiskFull            a file could not be written
├── ProcessLost         one of several training processes failed or was killed
├── VerificationFailed  an exported artefact does not give the reference's outputs
└── MissingRequirement  a package the job needs is not installed
Interrupted             SIGTERM arrived; the state is saved, nothing failed
"""

from __future__ import annotations

import errno

from dataloop_inference.faults import InferenceFault

# Characters of a bad value that a message shows: the rest of it must not push out what is wrong with it.
_SHOWN = 80


def shown(value: object) -> str:
    """A bad value for a message, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes; lists in lists without end
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class JobFault(Exception):
    """The message says what is wrong, with which parameter, uid or key and value, and what to do."""


class BadParameter(JobFault):
    """A hyperparameter or environment variable cannot be used."""

    def __init__(self, name: str, value: object, problem: str):
        self.name, self.value = name, value
        super().__init__(f"parameter {name[:_SHOWN]}={shown(value)}: {problem}")


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


class DiskFull(JobFault):
    """A file could not be written because the volume is full; what was there before is kept."""


class ProcessLost(JobFault):
    """One of several training processes failed; the message says which, on which host, and why where it is known."""


class VerificationFailed(JobFault):
    """An artefact and its reference disagree by more than the tolerance."""


class MissingRequirement(JobFault):
    """A Python package is missing in the container."""


class Interrupted(Exception):
    """SIGTERM arrived: the job stops with its state saved."""


# What torch says when the CPU's memory is used up; it has no type of its own for it.
_TORCH_OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate memory"
_LARGER = "give the job a larger volume"
_WRITABLE = "let the job read and write there"
_OF_THE_VOLUME = {
    errno.ENOSPC: _LARGER,
    errno.EDQUOT: _LARGER,
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: _WRITABLE,
    errno.EIO: "the volume is damaged: use another one",
}


def reason(error: BaseException) -> str:
    """One sentence for output/failure: what went wrong and, where it can be known, what to do."""
    if isinstance(error, (JobFault, InferenceFault)):
        return str(error)
    if isinstance(error, MemoryError) or _TORCH_OUT_OF_MEMORY in str(error):
        return "out of memory: lower batch_size, image_size or image_cache_mb, or take a larger instance"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which must not be imported only for its name
        return "out of GPU memory: lower batch_size or image_size, or take a larger instance"
    if isinstance(error, OSError) and error.errno in _OF_THE_VOLUME:
        return f"{error.filename or 'a file'} could not be read or written: {error.strerror}; {_OF_THE_VOLUME[error.errno]}"
    return f"unexpected {type(error).__name__}: {error}"
