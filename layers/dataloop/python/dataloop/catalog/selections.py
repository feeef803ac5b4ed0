"""Selection strategies: which images are worth a person's time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strategy:
    """name as jobs know it; needs_model: whether it asks a model what it thinks of the images."""

    name: str
    needs_model: bool


STRATEGIES = (
    Strategy("random", needs_model=False),
    Strategy("uncertainty", needs_model=True),
    Strategy("diversity", needs_model=False),
    Strategy("uncertainty_diversity", needs_model=True),
)
# How unsure a model is of an image: the gap between its two best answers, or the spread over all of them.
MEASURES = ("margin", "entropy")


def by_name(name: object) -> Strategy | None:
    """The declaration, or None."""
    return next((entry for entry in STRATEGIES if entry.name == name), None)
