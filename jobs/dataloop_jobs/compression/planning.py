"""How many channels each group keeps, so that a network does a given share of its multiplications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from dataloop_jobs.compression.channels import ChannelGroup
from dataloop_jobs.compression.sensitivity import Scan
from dataloop_jobs.faults import BadParameter

# No group loses more: what is left could not carry the layer's work, whatever the scan says.
_MOST_REMOVED = 0.85
# A channel whose loss the scan cannot see still costs this much metric a full group: where nothing matters, every group
# loses its share alike instead of one losing all.
_LEAST_LOSS = 0.02
# Halvings of the level between "nothing removed" and "as much as may be": far finer than one block of channels.
_HALVINGS = 30


class Arithmetic:
    """The multiplications of a network as a function of the channels its groups keep, without building it."""

    def __init__(self, network: nn.Module, groups: Sequence[ChannelGroup], applied: Mapping[str, int]):
        """applied: see `cost.positions`."""
        self._groups, self._applied = groups, applied
        layers = dict(network.named_modules())
        self._shapes = {name: tuple(layers[name].weight.shape) for name in applied}

    def macs(self, kept: Mapping[str, int]) -> int:
        """Multiply-accumulates of one image when each group has kept[name] channels, all where it is not named."""
        lost: dict[tuple[str, int], int] = {}
        for group in self._groups:
            removed = group.channels - kept.get(group.name, group.channels)
            for member in group.members:
                at = (member.layer, member.axis)
                lost[at] = lost.get(at, 0) + removed * len(member.places[0])
        total = 0
        for name, shape in self._shapes.items():
            sizes = [size - lost.get((name, axis), 0) if axis < 2 else size for axis, size in enumerate(shape)]
            total += self._applied[name] * int(np.prod(sizes, dtype=np.int64))
        return total


def plan(
    groups: Sequence[ChannelGroup],
    arithmetic: Arithmetic,
    share: float,
    scan: Scan | None = None,
) -> dict[str, int]:
    """Channels to keep by group name, so that at most `share` of the multiplications stay.

    Without a scan every group loses the same share of its channels. With one every group loses as many as cost the
    same loss of the metric. Raises BadParameter when even the most that may be removed is not enough.
    """
    whole = arithmetic.macs({})
    courses = {group.name: _course(group, scan) for group in groups}

    def kept_at(level: float) -> dict[str, int]:
        return {group.name: group.rounded(1 - float(np.interp(level, *courses[group.name]))) for group in groups}

    low, high = 0.0, max((float(losses[-1]) for losses, _ in courses.values()), default=0.0)
    least = arithmetic.macs(kept_at(high)) / whole
    if least > share:
        raise BadParameter(
            "pruning_macs_kept",
            share,
            f"this network can be pruned to {np.ceil(least * 1000) / 1000:g} of its multiplications at most"
            " (frozen stages are not pruned: a lower frozen_stages allows more)",
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if arithmetic.macs(kept_at(middle)) > share * whole:
            low = middle
        else:
            high = middle
    return kept_at(high)


def _course(group: ChannelGroup, scan: Scan | None) -> tuple[list[float], list[float]]:
    """(rising losses of the metric as shares of the baseline, the ratios of removed channels that cost them)."""
    curve = next((curve for curve in scan.curves if curve.name == group.name), None) if scan else None
    if scan is None or curve is None or not scan.baseline or not curve.ratios:
        return [0.0, _LEAST_LOSS * _MOST_REMOVED], [0.0, _MOST_REMOVED]
    lost = [max(0.0, 1 - (value or 0.0) / scan.baseline) for value in curve.values]
    rising = np.maximum.accumulate([0.0, *lost])
    ratios = [0.0, *curve.ratios]
    return [float(loss) + _LEAST_LOSS * ratio for loss, ratio in zip(rising, ratios, strict=True)], ratios
