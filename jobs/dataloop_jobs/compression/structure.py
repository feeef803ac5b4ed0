"""A network whose layers are as narrow as the weights say: how a pruned model is read back.

Nothing describes a pruned architecture but the shapes of its tensors. The full network is built and its layers are cut
to those shapes, so that resume, warm start, export and further pruning read a pruned model like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from dataloop_jobs.faults import BadModel

# Layers that can be narrowed, and the tensors of each that hold one value a channel.
PER_CHANNEL: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("weight", "bias"),
    nn.Linear: ("weight", "bias"),
    nn.GroupNorm: ("weight", "bias"),
    nn.BatchNorm2d: ("weight", "bias", "running_mean", "running_var"),
}


def shrink_to(network: nn.Module, weights: Mapping[str, Tensor], *, keep: Collection[str] = ()) -> nn.Module:
    """Cut the network's layers, in place, to the shapes of `weights`; values are not copied. Returns the network.

    keep: tensors whose first axis stays as it is, because it counts the labels and those may differ.
    Raises BadModel naming the tensor when a shape is not a narrower form of the network's.
    """
    for name, module in network.named_modules():
        kind = next((kind for kind in PER_CHANNEL if isinstance(module, kind)), None)
        given = weights.get(f"{name}.weight")
        if kind is None or given is None:
            continue
        wanted = list(given.shape)
        if f"{name}.weight" in keep and wanted:
            wanted[0] = module.weight.shape[0]
        if wanted != list(module.weight.shape):
            _shrink(name, module, kind, wanted)
    return network


def is_depthwise(module: nn.Module) -> bool:
    """Whether each channel of a convolution is filtered alone."""
    return isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels


def _shrink(name: str, module: nn.Module, kind: type[nn.Module], wanted: list[int]) -> None:
    weight: Tensor = module.weight  # type: ignore[assignment]
    has = list(weight.shape)
    fits = len(has) == len(wanted) and all(0 < new <= old for new, old in zip(wanted, has, strict=True))
    if not fits or has[2:] != wanted[2:]:
        raise BadModel(f"{name}.weight has shape {wanted}; the architecture's is {has}: it is not a pruned form of it")
    for tensor in PER_CHANNEL[kind]:
        value = getattr(module, tensor, None)
        if value is None:
            continue
        cut = value.detach()[: wanted[0], : wanted[1]] if value.ndim > 1 else value.detach()[: wanted[0]]
        if isinstance(value, nn.Parameter):
            setattr(module, tensor, nn.Parameter(cut.clone(), requires_grad=value.requires_grad))
        else:
            setattr(module, tensor, cut.clone())
    _tell_size(name, module, wanted)


def _tell_size(name: str, module: nn.Module, shape: list[int]) -> None:
    """Set the attributes in which a layer keeps its number of channels."""
    if isinstance(module, nn.Conv2d):
        if is_depthwise(module):
            module.groups = shape[0]
        elif module.groups > 1:
            raise BadModel(f"{name}: a convolution in {module.groups} groups cannot be pruned; only 1 or one a channel")
        module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, nn.GroupNorm):
        if shape[0] % module.num_groups:
            raise BadModel(f"{name}: {shape[0]} channels cannot be normalised in {module.num_groups} groups")
        module.num_channels = shape[0]
    elif isinstance(module, nn.BatchNorm2d):
        module.num_features = shape[0]
