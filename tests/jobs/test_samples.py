"""Batches: they depend on seed, epoch and position alone, also where images are mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dataloop_jobs.augmentation import Changes
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.images import ImageStore
from dataloop_jobs.samples import Batch, Samples
from dataloop_jobs.sampling import Share
from tests.jobs.job_folder import LABELS, SIZE, JobFolder
from tests.jobs.test_images import encoded

CASES = [
    ("classification", Changes("flip", mixup=0.4, blur=1, rotate=10)),
    ("multilabel_classification", Changes("light", mixup=0.4)),
    ("detection", Changes("light", mosaic=0.6, rotate=15)),
    ("instance_segmentation", Changes("flip", mosaic=0.6, rotate=15)),
    ("semantic_segmentation", Changes("flip", rotate=15, blur=1)),
]


def samples(job: JobFolder, name: str, changes: Changes, cache_mb: int = 50) -> Samples:
    task: Any = TASK_TYPES[name].load().IMPLEMENTATION
    if not job.objects:
        if name == "classification":
            job.add_crops("train", 9)
        else:
            job.add_masked_scenes("train", 9)
    rows = read_dataset(job.write().dataset, needs=task.needs).train
    store = ImageStore(job.images, SIZE, cache_mb)
    return Samples(task, rows, store, num_classes=len(LABELS), seed=4, changes=changes)


def equal(first: Batch, second: Batch) -> bool:
    return torch.equal(first.images, second.images) and all(
        torch.equal(value, second.targets[name]) for name, value in first.targets.items()
    )


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_batch_depends_on_seed_epoch_and_position_only(job: JobFolder, name: str, changes: Changes) -> None:
    one = samples(job, name, changes)
    order = one.order(3)
    whole = list(one.batches(order, 3, 4))
    assert [len(batch.images) for batch in whole] == [4, 4, 1]
    again = samples(job, name, changes, cache_mb=0)
    # From the second batch on, with workers, without a cache: the same bits.
    for ours, theirs in zip(again.batches(order, 3, 4, workers=2, first=1), whole[1:], strict=True):
        assert equal(ours, theirs)
    # Two processes together see what one sees.
    for share in (Share(0, 2), Share(1, 2)):
        part = next(iter(again.batches(order, 3, 4, share=share)))
        low, high = share.bounds(4)
        cut = Batch(whole[0].images[low:high], {name: value[low:high] for name, value in whole[0].targets.items()})
        assert equal(part, cut)
    assert not torch.equal(next(iter(again.batches(order, 4, 4))).images, whole[0].images)


@pytest.mark.parametrize("name", ["classification", "multilabel_classification"])
def test_mixed_images_have_mixed_targets(job: JobFolder, name: str) -> None:
    (plain,) = samples(job, name, Changes()).batches(range(9), 0, 9)
    assert set(plain.targets["shares"].unique().tolist()) == {0.0, 1.0}
    (mixed,) = samples(job, name, Changes(mixup=1.0)).batches(range(9), 0, 9)
    shares = mixed.targets["shares"]
    assert ((shares > 0) & (shares < 1)).any()
    assert shares.min() >= 0
    assert shares.max() <= 1 + 1e-6
    if name == "classification":
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(9))
    assert not torch.equal(mixed.images, plain.images)
    # A mixture lies between its parts, so the mixed batch varies less.
    assert mixed.images.std() < plain.images.std()


def test_mixed_pixels_are_the_shares_of_their_parts(job: JobFolder) -> None:
    for label, colour in (("0", (0, 0, 0)), ("1", (255, 255, 255))):
        job.add("train", encoded(Image.new("RGB", (SIZE, SIZE), colour)), [(label, None)])
    (batch,) = samples(job, "classification", Changes(mixup=1.0)).batches([0, 1] * 10, 0, 20)
    white = (batch.images.mean(dim=(1, 2, 3)) * 128 + 127) / 255
    torch.testing.assert_close(white, batch.targets["shares"][:, 1], atol=0.005, rtol=0)


def test_a_semantic_target_ignores_what_is_no_image(job: JobFolder) -> None:
    job.add_masked_scenes("train", 1)
    one = samples(job, "semantic_segmentation", Changes(rotate=45))
    classes = np.concatenate([b.targets["classes"].numpy() for b in one.batches([0] * 8, 0, 8)])
    assert set(np.unique(classes)) <= {-1, 0, 1, 2, len(LABELS)}
    assert (classes == -1).any()
    assert (classes == len(LABELS)).any()
    plain = next(iter(samples(job, "semantic_segmentation", Changes()).batches([0], 0, 1)))
    assert (plain.targets["classes"] != -1).all()


@pytest.mark.parametrize("name", ["detection", "instance_segmentation", "semantic_segmentation"])
def test_a_crowd_is_no_object_but_its_pixels_keep_their_label(job: JobFolder, name: str) -> None:
    job.add_masked_scenes("train", 1)
    for label in job.rows["train"][0]["annotations"][0]["labels"]:
        label["crowd"] = True
    classes = next(iter(samples(job, name, Changes()).batches([0], 0, 1))).targets["classes"]
    shown = {value for value in classes.unique().tolist() if 0 <= value < len(LABELS)}
    assert bool(shown) == (name == "semantic_segmentation")
