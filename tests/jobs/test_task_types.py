"""Every task type learns what it is shown, and its graph computes what its network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from dataloop_inference.masks import decode
from dataloop_inference.session import onnx_runner
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.exporters import onnx
from dataloop_jobs.exporters.verification import compare
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.inference import input_batches, predict, torch_runner
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.weights import carry_over
from tests.jobs.job_folder import LABELS, QUICK, SIZE, JobFolder
from tests.jobs.training import CPU, Setting

# A few images known by heart are far above what chance or one answer for all gives.
BY_HEART = {"augment": "none", "batch_size": 2, "learning_rate": 0.004, "frozen_stages": 2}
CASES = [
    ("classification", {"epochs": 8}, 0.9),
    ("multilabel_classification", {"epochs": 12}, 0.9),
    ("detection", {"epochs": 16}, 0.3),
    ("instance_segmentation", {"epochs": 32, "image_size": 128, "learning_rate": 0.002}, 0.3),
    ("semantic_segmentation", {"epochs": 24}, 0.3),
]


@pytest.mark.parametrize(("name", "parameters", "least"), CASES)
def test_each_task_type_learns_what_it_is_shown(
    job: JobFolder, tmp_path: Path, name: str, parameters: dict[str, Any], least: float
) -> None:
    for split in ("train", "val"):
        fill = job.add_crops if name == "classification" else job.add_masked_scenes
        fill(split, 4, part="train")
    task = TASK_TYPES[name].load().IMPLEMENTATION
    parameters = {**BY_HEART, **parameters, "evaluate_every": parameters["epochs"]}
    trained = Setting(job, task, **parameters).start(tmp_path / "checkpoints")
    assert trained.history[-1]["val_metric"] > least


@pytest.mark.parametrize("name", ["multilabel_classification", "instance_segmentation", "semantic_segmentation"])
def test_the_graph_computes_what_the_network_computes_on_real_images(job: JobFolder, tmp_path: Path, name: str) -> None:
    job.add_masked_scenes("train", 6)
    task = TASK_TYPES[name].load().IMPLEMENTATION
    setting = Setting(job, task)
    torch.manual_seed(1)
    network = task.build(setting.parameters, len(LABELS), pretrained=True).eval()
    with torch.no_grad():
        # A fresh head says nearly the same everywhere; this one does not.
        for parameter in network.parameters():
            parameter.mul_(1.1)
    path = tmp_path / "model.onnx"
    onnx.convert(network, task, SIZE, path)
    rows, store = setting.dataset.train, setting.store
    run = onnx_runner(path, 1)
    agreement = compare(name, torch_runner(network, CPU), run, (images for images, _ in input_batches(rows, store)))
    assert agreement.samples == 6
    names = [output.name for output in onnxruntime.InferenceSession(str(path)).get_outputs()]
    assert tuple(names) == task.output_names
    for found in predict(run, task, rows, store, task.decode_settings()):
        for one in found:
            assert 0 <= one.label < len(LABELS)
            assert 0 <= one.score <= 1
            assert (one.mask is not None) == (task.needs == "mask")
            assert one.mask is None or decode(one.mask).shape == (SIZE, SIZE)


@pytest.mark.parametrize("name", sorted(TASK_TYPES))
def test_one_label_is_enough_where_the_rest_of_the_image_is_the_other(job: JobFolder, name: str) -> None:
    job.labels = ("0",)
    job.add_masked_scenes("train", 3)
    for row in job.rows["train"]:
        for label in row["annotations"][0]["labels"]:
            label["label"] = "0"
    job.rows["train"][0]["annotations"][0]["labels"] = []
    task = TASK_TYPES[name].load().IMPLEMENTATION
    dataset = read_dataset(job.write().dataset, needs=task.needs)
    if name == "classification":
        with pytest.raises(BadDataset, match="at least two labels"):
            task.check(dataset)
        return
    task.check(dataset)
    assert len(task.usable(dataset.train)) == 3


@pytest.mark.parametrize("name", sorted(TASK_TYPES))
def test_weights_of_known_labels_and_of_the_background_are_carried_over(name: str) -> None:
    task = TASK_TYPES[name].load().IMPLEMENTATION
    parameters = Parameters.decode({"task_type": name, **QUICK})
    parent = task.build(parameters, 3, pretrained=False)
    child = task.build(parameters, 4, pretrained=False)
    carried = carry_over(
        child, parent.state_dict(), class_tensors=task.class_rows(), labels=("d", "c", "a", "new"),
        parent_labels=("a", "b", "c"),
    )  # fmt: skip
    assert carried.labels == ("c", "a")
    assert carried.tensors == carried.of
    for tensor in task.class_rows():
        ours, theirs = child.state_dict()[tensor], parent.state_dict()[tensor]
        assert torch.equal(ours[1], theirs[2])
        assert torch.equal(ours[2], theirs[0])
        assert torch.equal(ours[4:], theirs[3:])  # background, where there is one


def test_a_whole_image_loss_is_that_of_each_part_of_a_batch_added_up() -> None:
    for name, declaration in TASK_TYPES.items():
        task = declaration.load().IMPLEMENTATION
        if task.needs != "nothing":
            continue
        torch.manual_seed(0)
        logits = torch.randn(6, 4)
        shares = torch.rand(6, 4).softmax(dim=1)
        weights = torch.tensor([0.5, 1.0, 2.0, 0.5])
        whole = task.loss([logits], {"shares": shares}, 4, weights)
        parts = [task.loss([logits[part]], {"shares": shares[part]}, 4, weights) for part in (slice(2), slice(2, 6))]
        for index, term in enumerate(whole):
            torch.testing.assert_close(term.total, parts[0][index].total + parts[1][index].total), name
            torch.testing.assert_close(term.count, parts[0][index].count + parts[1][index].count), name


def test_soft_targets_cost_least_when_the_network_says_their_shares() -> None:
    task = TASK_TYPES["classification"].load().IMPLEMENTATION
    shares = torch.tensor([[0.7, 0.3, 0.0]])

    def cost(probabilities: list[float]) -> float:
        (term,) = task.loss([torch.tensor([probabilities]).clamp(min=1e-6).log()], {"shares": shares}, 3)
        return float(term.total / term.count)

    assert cost([0.7, 0.3, 0.0]) < min(cost([0.8, 0.2, 0.0]), cost([0.6, 0.4, 0.0]), cost([0.6, 0.3, 0.1]))
