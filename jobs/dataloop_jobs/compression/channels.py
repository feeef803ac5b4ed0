"""Which channels of a network can be removed, and what goes with them.

A channel is rarely one layer's alone: the next layer reads it, a depthwise convolution filters it, a residual sum ties
it to other layers' channels. torch-pruning (MIT; Fang et al., "DepGraph", arXiv 2301.12900) finds what belongs together;
from then on a group is plain data, and removing channels is choosing rows and columns of tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dataloop_jobs.compression.structure import PER_CHANNEL, is_depthwise, shrink_to

# Kernels work on blocks of channels; docs/compression.md has the measured gain.
MULTIPLE = 8
_NARROWABLE = (nn.Conv2d, nn.Linear, nn.GroupNorm, nn.BatchNorm2d)


@dataclass(frozen=True)
class Member:
    """One axis of one layer that loses entries. places: for each channel of the group, the entries that are its."""

    layer: str
    axis: int
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only be removed together, in all members at once.

    name: the layer that makes them. blocks: they lie in so many equal runs that must stay equal (group normalisation).
    importance: per channel; the L2 norm of its weights over all members, relative to the others of its group.
    """

    name: str
    channels: int
    blocks: int
    members: tuple[Member, ...]
    importance: tuple[float, ...]

    def rounded(self, share: float) -> int:
        """Channels to keep when about `share` of them are wanted: a multiple of 8 and of `blocks`, at least one such."""
        unit = MULTIPLE * self.blocks // _common(MULTIPLE, self.blocks)
        return min(self.channels, max(unit, round(self.channels * share / unit) * unit))

    def weakest(self, keep: int) -> tuple[int, ...]:
        """The channels to remove so that `keep` stay: the least important, equally many from each block."""
        length = self.channels // self.blocks
        removed: list[int] = []
        for start in range(0, self.channels, length):
            ranked = sorted(range(start, start + length), key=lambda channel: (self.importance[channel], channel))
            removed += ranked[: (self.channels - keep) // self.blocks]
        return tuple(sorted(removed))


def _common(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


Removal = Mapping[str, Sequence[int]]


def find_groups(network: nn.Module, image_size: int) -> list[ChannelGroup]:
    """The groups that can be made narrower, in the order of the network.

    A group is left out when it has a frozen tensor (it could not learn to do without), when it reaches an output, or
    when the network does not run with outputs of the same shapes after half of it is removed: each group is tried.
    Cost: two forward passes a group.
    """
    import torch_pruning  # type: ignore[import-untyped]

    trial = copy.deepcopy(network).cpu().eval()
    frozen = {name for name, value in trial.named_parameters() if not value.requires_grad}
    trial.requires_grad_(True)
    image = torch.zeros(1, 3, image_size, image_size)
    graph = torch_pruning.DependencyGraph().build_dependency(trial, example_inputs=image)
    names = {module: name for name, module in trial.named_modules()}
    measure = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    groups = []
    for found in graph.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear]):
        members = _members(found, names)
        layers = dict(trial.named_modules())
        if members is None or any(name in frozen for name in tensors_of(members, layers)):
            continue
        importance = measure(found)
        blocks = max(_blocks(layers[member.layer]) for member in members)
        name = min((member.layer for member in members if member.axis == 0), key=list(layers).index)
        groups.append(ChannelGroup(name, len(importance), blocks, members, tuple(importance.tolist())))
    wanted = _output_shapes(trial, image)
    order = list(dict(trial.named_modules()))
    usable = [group for group in groups if group.rounded(0.5) < group.channels and _works(trial, group, image, wanted)]
    return sorted(usable, key=lambda group: order.index(group.name))


def tensors_of(members: Iterable[Member], layers: Mapping[str, nn.Module]) -> list[str]:
    """Names of the tensors that the members cut."""
    return [f"{member.layer}.{tensor}" for member in members for tensor in _cut(layers[member.layer], member.axis)]


def without(network: nn.Module, groups: Sequence[ChannelGroup], removal: Removal) -> nn.Module:
    """A copy of the network that lacks the channels of `removal` (group name → channels), with all other weights."""
    weights = narrowed(network, groups, removal)
    smaller = shrink_to(copy.deepcopy(network), weights)
    smaller.load_state_dict(weights)
    return smaller


def narrowed(network: nn.Module, groups: Sequence[ChannelGroup], removal: Removal) -> dict[str, Tensor]:
    """The network's state without the channels of `removal`."""
    layers, state = dict(network.named_modules()), dict(network.state_dict())
    lost: dict[tuple[str, int], set[int]] = {}
    for group in groups:
        for member in group.members:
            entries = {entry for channel in removal.get(group.name, ()) for entry in member.places[channel]}
            for tensor in _cut(layers[member.layer], member.axis):
                lost.setdefault((f"{member.layer}.{tensor}", member.axis), set()).update(entries)
    for (name, axis), entries in lost.items():
        length = network.state_dict()[name].shape[axis]
        kept = torch.tensor([entry for entry in range(length) if entry not in entries], device=state[name].device)
        state[name] = state[name].index_select(axis, kept)
    return state


def _cut(layer: nn.Module, axis: int) -> list[str]:
    """The tensors of a layer that have this channel axis."""
    kind = next(kind for kind in PER_CHANNEL if isinstance(layer, kind))
    names = PER_CHANNEL[kind] if axis == 0 else ("weight",)
    return [name for name in names if getattr(layer, name, None) is not None]


def _members(found: Any, names: Mapping[Any, str]) -> tuple[Member, ...] | None:
    """torch-pruning's group as plain data; None when it holds something that cannot be cut."""
    places: dict[tuple[str, int], dict[int, set[int]]] = {}
    for item in found:
        module: Any = item.dep.target.module
        if module not in names:
            if item.dep.target.name.startswith("_OutputOp") or isinstance(module, nn.Parameter):
                return None
            continue
        if not isinstance(module, _NARROWABLE):
            if any(True for _ in module.parameters(recurse=False)):
                return None
            continue
        is_grouped = isinstance(module, nn.Conv2d) and module.groups > 1 and not is_depthwise(module)
        if is_grouped:
            return None
        reads = isinstance(module, (nn.Conv2d, nn.Linear)) and "in_channels" in item.dep.handler.__name__
        axis = 1 if reads and not is_depthwise(module) else 0
        by_channel = places.setdefault((names[module], axis), {})
        for entry, channel in zip(item.idxs, item.root_idxs, strict=True):
            by_channel.setdefault(channel, set()).add(entry)
    channels = len(found[0].idxs)
    return tuple(
        Member(layer, axis, tuple(tuple(sorted(by_channel.get(channel, ()))) for channel in range(channels)))
        for (layer, axis), by_channel in places.items()
    )


def _blocks(layer: nn.Module) -> int:
    return layer.num_groups if isinstance(layer, nn.GroupNorm) else 1


def _output_shapes(network: nn.Module, image: Tensor) -> list[torch.Size]:
    with torch.inference_mode():
        return [output.shape for output in network(image)]


def _works(network: nn.Module, group: ChannelGroup, image: Tensor, wanted: list[torch.Size]) -> bool:
    half = without(network, [group], {group.name: group.weakest(group.rounded(0.5))})
    try:
        return _output_shapes(half, image) == wanted
    except RuntimeError:  # torch's word for tensors that do not fit together
        return False
