"""What can go wrong between an image and a prediction.

InferenceFault
├── UnreadableImage   empty, truncated, undecodable or too large
└── UnusableModel     a model file or description is missing, damaged or of an unknown kind
"""

from __future__ import annotations


class InferenceFault(Exception):
    """The message says what is wrong and what to do; it names no path and no secret."""


class UnreadableImage(InferenceFault):
    """These bytes are not an image that can be used."""


class UnusableModel(InferenceFault):
    """This model cannot be run."""
