"""Bodies of torchvision and timm, where these are installed: shapes, preprocessing, weights, a whole training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dataloop_inference.images import normalise
from dataloop_jobs import staged_backbone
from dataloop_jobs.commands.train import train
from dataloop_jobs.contract import StopRequest, TrainingFolders
from dataloop_jobs.declarations import ARCHITECTURES
from dataloop_jobs.faults import MissingRequirement
from dataloop_jobs.parameters import Parameters
from tests.jobs.job_folder import JobFolder

NAMES = [name for name in ARCHITECTURES if name.startswith(("torchvision_", "timm_"))]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def module_of(name: str) -> Any:
    """The architecture's module. Skips, saying why, where its package cannot be imported."""
    try:
        staged_backbone.library(name.split("_")[0], name)
    except MissingRequirement as error:
        pytest.skip(str(error))
    return ARCHITECTURES[name].load()


@pytest.mark.parametrize("name", NAMES)
def test_without_its_package_an_architecture_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> Any:
        raise ModuleNotFoundError(f"No module named {package!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    package = name.split("_")[0]
    with pytest.raises(MissingRequirement, match=rf"architecture '{name}' needs the package {package}, .* install it"):
        staged_backbone.library(package, name)


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_without_a_file_says_where_it_belongs(name: str) -> None:
    module = module_of(name)
    with pytest.raises(
        MissingRequirement, match=rf"pretrained=True: .*architectures/{name}\.pth.* set pretrained to false"
    ):
        module.build_backbone(3, pretrained=True)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_have_the_declared_channels_and_strides(name: str) -> None:
    backbone = module_of(name).build_backbone(0, pretrained=False)
    features = backbone(torch.zeros(2, 3, 96, 64))
    assert {stride: tuple(value.shape) for stride, value in features.items()} == {
        stride: (2, channels, 96 // stride, 64 // stride) for stride, channels in backbone.channels.items()
    }
    assert sorted(features) == [8, 16, 32]


@pytest.mark.parametrize("name", NAMES)
def test_frozen_stages_do_not_learn_and_keep_their_statistics(name: str) -> None:
    backbone = module_of(name).build_backbone(2, pretrained=False).train()
    learns = [any(p.requires_grad for p in stage.parameters()) for stage in backbone.stages]
    assert learns == [False, False] + [True] * (len(learns) - 2)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone(torch.randn(4, 3, 64, 64))
    moved = {key for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert not [key for key in moved if key.startswith(("stages.0.", "stages.1."))]
    has_norms = any(isinstance(layer, nn.BatchNorm2d) for layer in backbone.modules())
    assert bool(moved) == has_norms


def published(name: str) -> Any:
    """The network that the weights are published for, with random ones that no fresh network has."""
    library, _, function = name.partition("_")
    torch.manual_seed(11)
    if library == "torchvision":
        import torchvision

        network: Any = getattr(torchvision.models, function)(weights=None)
    else:
        import timm

        network = timm.create_model(function, pretrained=False)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_()
        elif key.endswith("running_var"):
            value.uniform_(0.5, 2)
    return network


@pytest.mark.parametrize("name", NAMES)
def test_weights_from_a_file_give_the_publishers_features_of_the_same_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_of(name)
    network = published(name).eval()
    torch.save(network.state_dict(), tmp_path / f"{name}.pth")
    monkeypatch.setattr(staged_backbone, "FOLDER", tmp_path)
    backbone = module.build_backbone(0, pretrained=True).train()  # the norms keep their statistics even so
    picture = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    theirs = torch.from_numpy(((picture / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32))
    seen: list[torch.Tensor] = []
    last = {
        "torchvision_resnet50": lambda: network.layer4,
        "torchvision_mobilenet_v3_large": lambda: network.features[15],
        "timm_resnet18": lambda: network.layer4,
        "timm_convnext_atto": lambda: network.stages[-1],
    }[name]()
    last.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        network(theirs)
        ours = backbone(torch.from_numpy(normalise(picture)))[32]
    torch.testing.assert_close(ours, seen[0], rtol=1e-3, atol=1e-4 * float(seen[0].abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_network_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_of(name)
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / f"{name}.pth")
    monkeypatch.setattr(staged_backbone, "FOLDER", tmp_path)
    with pytest.raises(MissingRequirement, match=name.removeprefix("torchvision_").removeprefix("timm_")):
        module.build_backbone(0, pretrained=True)


@pytest.mark.parametrize("name", ["torchvision_mobilenet_v3_large", "timm_convnext_atto"])
def test_a_whole_training_from_random_weights_ends_with_a_verified_model(name: str, job: JobFolder) -> None:
    module_of(name)
    job.add_masked_scenes("train", 8).add_masked_scenes("val", 4)
    job.parameters.update(
        task_type="instance_segmentation", architecture=name, pretrained=False, epochs=1, frozen_stages=3
    )
    folders = TrainingFolders(job.write().base)
    train(folders, Parameters.decode(folders.hyperparameters()), StopRequest())
    card = json.loads((job.base / "model" / "model_card.json").read_text())
    assert card["architecture"] == name
    assert card["onnx"]["max_abs_diff"] <= card["onnx"]["tolerance"]
