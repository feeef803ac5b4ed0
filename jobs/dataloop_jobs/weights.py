"""Carrying weights from one network to another: a warm start from a parent model, whose labels may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Carried:
    """What a warm start took over: tensors in whole, of all that the network has, and class rows by label name."""

    tensors: int
    of: int
    labels: tuple[str, ...]


def carry_over(
    network: nn.Module,
    parent: Mapping[str, Tensor],
    *,
    class_tensors: Sequence[str],
    labels: Sequence[str],
    parent_labels: Sequence[str],
) -> Carried:
    """Copy every tensor of the same name and shape; of class tensors, the rows of labels that both know.

    class_tensors: names of tensors whose first axis is the class; rows after the labels' (background) are carried as
    they are. Rows of new labels keep their fresh values.
    """
    state = {name: value.clone() for name, value in network.state_dict().items()}
    shared = [label for label in labels if label in set(parent_labels)]
    taken = 0
    for name, value in state.items():
        given = parent.get(name)
        if given is None:
            continue
        if name in class_tensors:
            beyond, given_beyond = value.shape[0] - len(labels), given.shape[0] - len(parent_labels)
            if given.shape[1:] != value.shape[1:] or beyond != given_beyond:
                continue
            if beyond > 0:
                value[-beyond:] = given[-beyond:]
            for label in shared:
                value[list(labels).index(label)] = given[list(parent_labels).index(label)]
            taken += 1
        elif given.shape == value.shape:
            value.copy_(given)
            taken += 1
    network.load_state_dict(state)
    return Carried(taken, len(state), tuple(shared))
