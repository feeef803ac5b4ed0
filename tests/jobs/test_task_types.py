"""Every task type learns what it is shown, from the dataset to the scores of its verified ONNX graph."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from dataloop_inference.masks import decode
from dataloop_inference.predictions import Rle
from dataloop_jobs.commands.train import train
from dataloop_jobs.contract import StopRequest, TrainingFolders
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.weights import carry_over
from tests.jobs.job_folder import LABELS, QUICK, SIZE, JobFolder

# Enough to know a few images by heart, and far from it by chance.
BY_HEART = {"augment": "none", "epochs": 30, "evaluate_every": 30, "learning_rate": 0.004, "frozen_stages": 2}
CASES = [
    ("classification", "softmax", 0.9),
    ("multilabel_classification", "sigmoid", 0.9),
    ("detection", "fcos", 0.6),
    ("instance_segmentation", "fcos_masks", 0.5),
    ("semantic_segmentation", "semantic", 0.4),
]


def run(job: JobFolder, **parameters: Any) -> dict[str, Any]:
    """Train in this process; the content of metrics.json."""
    job.parameters.update(parameters)
    folders = TrainingFolders(job.write().base)
    train(folders, Parameters.decode(folders.hyperparameters()), StopRequest())
    found: dict[str, Any] = job.output("metrics.json")
    return found


def lines(job: JobFolder) -> list[dict[str, Any]]:
    text = (job.base / "output" / "data" / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("name", "kind", "least"), CASES)
def test_each_task_type_learns_what_it_is_shown(job: JobFolder, name: str, kind: str, least: float) -> None:
    for split in ("train", "test"):
        job.add_crops(split, 6, part="train") if name == "classification" else job.add_masked_scenes(split, 6, part="train")
    metrics = run(job, task_type=name, **BY_HEART)
    task = TASK_TYPES[name].load().IMPLEMENTATION
    assert metrics["primary"]["name"] == task.primary_name
    assert metrics["primary"]["value"] > least
    description = json.loads((job.base / "model" / "model.json").read_text())
    assert description["decode"]["kind"] == kind
    assert (description["decode"]["threshold"] is None) == (task.default_threshold is None)
    assert description["onnx"]["max_abs_diff"] <= description["onnx"]["tolerance"]
    assert tuple(description["outputs"]) == task.output_names
    said = [one for line in lines(job) for one in line["predictions"]]
    assert {one["label"] for one in said} <= set(LABELS)
    for one in said:
        if task.needs == "mask":
            mask = decode(Rle(*one["mask"]["size"], one["mask"]["counts"]))
            assert mask.shape == (SIZE, SIZE)
            assert mask.any()
        else:
            assert one.get("mask") is None


@pytest.mark.parametrize("name", sorted(TASK_TYPES))
def test_one_label_is_enough_where_the_rest_of_the_image_is_the_other(job: JobFolder, name: str) -> None:
    """A single label and an image without any: nothing to tell apart only for classification."""
    job.labels = ("0",)
    job.add_masked_scenes("train", 3)
    for row in job.rows["train"]:
        for label in row["annotations"][0]["labels"]:
            label["label"] = "0"
    job.rows["train"][0]["annotations"][0]["labels"] = []
    if name == "classification":
        with pytest.raises(Exception, match="at least two labels"):
            run(job, task_type=name, epochs=1)
        return
    assert run(job, task_type=name, epochs=1)["images"] == 0


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
