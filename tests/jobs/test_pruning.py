"""Channel pruning: what may be removed, how much of the work goes, and that the rest computes and trains on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dataloop_jobs.commands.export import export
from dataloop_jobs.compression import cost
from dataloop_jobs.compression.channels import MULTIPLE, find_groups, without
from dataloop_jobs.compression.planning import Arithmetic, plan
from dataloop_jobs.compression.sensitivity import Curve, Scan
from dataloop_jobs.compression.structure import shrink_to
from dataloop_jobs.compression.training import check, relative_drop
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.faults import BadModel, BadParameter, Interrupted
from dataloop_jobs.model_folder import SavedWeights, load_network, read_model
from dataloop_jobs.parameters import Parameters
from tests.jobs.compressing import StopInTraining, built, child_of, outputs, train_here, weights_of
from tests.jobs.job_folder import LABELS, SIZE, JobFolder
from tests.trained import TrainedModel

IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("task_type", sorted(TASK_TYPES))
def test_a_network_of_every_task_type_falls_to_the_asked_share_and_is_read_back(task_type: str) -> None:
    _, network = built(task_type)
    groups, applied = find_groups(network, SIZE), cost.positions(network, SIZE)
    arithmetic = Arithmetic(network, groups, applied)
    whole = arithmetic.macs({})
    assert whole == cost.macs(network, applied)
    kept = plan(groups, arithmetic, 0.6)
    smaller = without(network, groups, {group.name: group.weakest(kept[group.name]) for group in groups})
    assert 0.5 * whole < cost.macs(smaller, applied) <= 0.6 * whole
    assert cost.macs(smaller, applied) == arithmetic.macs(kept)
    assert cost.parameter_count(smaller) < 0.7 * cost.parameter_count(network)
    assert all(count % MULTIPLE == 0 for count in kept.values())
    wanted = outputs(smaller, IMAGES)
    assert [one.shape for one in wanted] == [one.shape for one in outputs(network, IMAGES)]

    _, full = built(task_type)
    again = shrink_to(full, smaller.state_dict())
    again.load_state_dict(smaller.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(outputs(again, IMAGES), wanted, strict=True))


@pytest.mark.parametrize("task_type", sorted(TASK_TYPES))
def test_removing_channels_that_nobody_reads_changes_nothing(task_type: str) -> None:
    _, network = built(task_type)
    layers = dict(network.named_modules())
    tried = 0
    for group in find_groups(network, SIZE):
        if group.blocks > 1:
            continue  # group normalisation looks at channels that no layer reads
        removed = group.weakest(group.rounded(0.5))
        with torch.no_grad():
            for member in group.members:
                if member.axis == 1:
                    places = [place for channel in removed for place in member.places[channel]]
                    layers[member.layer].weight[:, places] = 0  # type: ignore[operator]
        smaller = without(network, [group], {group.name: removed})
        for one, other in zip(outputs(network, IMAGES), outputs(smaller, IMAGES), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        tried += 1
    assert tried > 20


def test_the_weakest_channels_go_and_equally_many_from_each_block_of_a_normalisation() -> None:
    _, network = built("detection")
    tower = next(group for group in find_groups(network, SIZE) if group.blocks == 8)
    removed = tower.weakest(tower.channels // 2)
    per_block = tower.channels // 8
    assert [sum(channel // per_block == block for channel in removed) for block in range(8)] == [per_block // 2] * 8
    for start in range(0, tower.channels, per_block):
        block = set(range(start, start + per_block))
        stay = block - set(removed)
        weakest_that_stays = min(tower.importance[channel] for channel in stay)
        assert max(tower.importance[channel] for channel in block & set(removed)) <= weakest_that_stays


def test_frozen_layers_are_not_pruned_and_the_message_says_how_far_it_can_go() -> None:
    _, network = built("detection", frozen_stages=5)
    groups, applied = find_groups(network, SIZE), cost.positions(network, SIZE)
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert groups
    assert frozen.isdisjoint(f"{member.layer}.weight" for group in groups for member in group.members)
    with pytest.raises(BadParameter, match=r"pruning_macs_kept=0.01: .* pruned to 0\.\d+ .* frozen_stages"):
        plan(groups, Arithmetic(network, groups, applied), 0.01)


def test_a_plan_from_a_scan_takes_from_what_matters_least() -> None:
    _, network = built("classification")
    groups, applied = find_groups(network, SIZE), cost.positions(network, SIZE)
    precious = {group.name for group in groups[::2]}
    curves = tuple(
        Curve(group.name, group.channels, 1, 1, (0.25, 0.5, 0.75), (0.1,) * 3 if group.name in precious else (0.8,) * 3)
        for group in groups
    )
    arithmetic = Arithmetic(network, groups, applied)
    kept = plan(groups, arithmetic, 0.7, Scan(0.8, curves))
    assert arithmetic.macs(kept) <= 0.7 * arithmetic.macs({})
    share = {group.name: kept[group.name] / group.channels for group in groups}
    assert min(share[name] for name in precious) > max(share[name] for name in share if name not in precious)


def test_weights_that_are_no_narrower_form_of_the_architecture_are_refused() -> None:
    _, network = built("classification")
    state = network.state_dict()
    for name, shape in {"backbone.stem.conv.weight": (40, 3, 3, 3), "classes.weight": (3, 433)}.items():
        with pytest.raises(BadModel, match=f"{name} has shape .* not a pruned form"):
            shrink_to(built("classification")[1], {**state, name: torch.zeros(shape)})


PARENT = SavedWeights({}, Parameters(task_type="detection", image_size=SIZE), LABELS)


@pytest.mark.parametrize(
    ("given", "saved", "labels", "message"),
    [
        ({"pruning_macs_kept": 0.5}, None, LABELS, "pruning_macs_kept=0.5: there is no parent model"),
        ({"quantization": "int8"}, None, LABELS, "quantization='int8': there is no parent model"),
        ({"pruning_macs_kept": 0.5, "quantization": "int8"}, PARENT, LABELS, "prune first, then quantise"),
        ({"pruning_macs_kept": 1}, PARENT, LABELS, "nothing would be removed"),
        ({"quantization": "int8", "precision": "bfloat16"}, PARENT, LABELS, "needs precision float32"),
        ({"quantization": "int8", "compile": True}, PARENT, LABELS, "set compile to false"),
        ({"quantization": "int8"}, PARENT, ("0", "1"), "train on the new labels first"),
        ({"pruning_macs_kept": 0.5, "image_size": 96}, PARENT, LABELS, "image_size=96: .* the parent's, 64"),
    ],
)
def test_a_compression_that_cannot_be_done_says_why(
    given: dict[str, Any], saved: SavedWeights | None, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises((BadParameter, BadModel), match=message):
        check(Parameters.decode({"task_type": "detection", "image_size": SIZE, **given}), saved, labels)


def test_a_quantised_parent_is_neither_pruned_nor_quantised_again() -> None:
    saved = replace(PARENT, parameters=replace(PARENT.parameters, quantization="int8"))
    for given in ({"quantization": "int8"}, {"pruning_macs_kept": 0.5}):
        with pytest.raises(BadModel, match="quantised already"):
            check(Parameters.decode({"task_type": "detection", "image_size": SIZE, **given}), saved, LABELS)


@pytest.mark.parametrize(
    ("before", "after", "drop"),
    [(0.5, 0.4, 0.2), (0.5, 0.6, -0.2), (0.0, 0.1, None), (None, 0.5, None), (0.5, None, None)],
)
def test_the_drop_is_a_share_of_the_parent(before: float | None, after: float | None, drop: float | None) -> None:
    assert relative_drop(before, after) == (None if drop is None else pytest.approx(drop))


@pytest.fixture(scope="module")
def pruned(classifier: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """The classifier, pruned by a scan and fine-tuned, without a disturbance."""
    job = child_of(
        classifier, tmp_path_factory.mktemp("pruned") / "job", pruning_macs_kept=0.7, compression_max_drop=1.0
    )
    train_here(job)
    return job


def test_a_pruned_model_reports_what_it_lost_and_gained(pruned: JobFolder, classifier: TrainedModel) -> None:
    report = pruned.output("compression.json")
    before, after, trained = report["before"], report["after"], report["after_finetune"]
    assert report["kind"] == "pruning"
    assert before["primary"] == classifier.job.output("metrics.json")["primary"]["value"]
    assert before["size_bytes"] == (classifier.folder / "model.onnx").stat().st_size
    assert after["macs"] == trained["macs"] <= 0.7 * before["macs"]
    assert trained["parameters"] == sum(value.numel() for value in weights_of(pruned).values()) < before["parameters"]
    assert trained["size_bytes"] == (pruned.base / "model" / "model.onnx").stat().st_size < before["size_bytes"]
    assert before["latency_ms"] > 0
    assert trained["latency_ms"] > 0
    metrics = pruned.output("metrics.json")
    assert trained["primary"] == metrics["primary"]["value"]
    assert metrics["compression"] == {
        "kind": "pruning",
        "parent_primary": before["primary"],
        "primary": trained["primary"],
        "drop": report["drop"],
        "allowed": 1.0,
        "kept": report["drop"] is not None and report["drop"] <= 1.0,
    }
    model = pruned.base / "model"
    assert json.loads((model / "compression.json").read_text()) == report
    card = json.loads((model / "model_card.json").read_text())
    assert card["compression"] == report
    assert card["metrics"] == metrics
    assert "## Compression" in (model / "model_card.md").read_text()
    scan = pruned.output("sensitivity.json")
    assert (scan["split"], scan["images"]) == ("val", 4)


def test_a_pruned_model_is_exported_like_any_other(pruned: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    output = pruned.processing(pruned.base / "model")
    monkeypatch.setenv("EXPORT_FORMAT", "onnx")
    export(ProcessingFolders(pruned.base), StopRequest())
    assert json.loads((output / "verification.json").read_text())["passed"] is True


def test_a_pruned_parent_is_trained_on_with_its_shapes_and_pruned_again(pruned: JobFolder, tmp_path: Path) -> None:
    parent = TrainedModel(pruned, pruned.base / "model")
    plain = child_of(parent, tmp_path / "plain", pruning_macs_kept=0, epochs=1)
    train_here(plain)
    ours, theirs = weights_of(plain), weights_of(pruned)
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}

    again = child_of(
        TrainedModel(plain, plain.base / "model"),
        tmp_path / "again",
        pruning_macs_kept=0.8,
        pruning_source="magnitude",
        epochs=1,
    )
    train_here(again)
    report = again.output("compression.json")
    assert report["before"]["macs"] == pruned.output("compression.json")["after"]["macs"]
    assert report["after"]["macs"] <= 0.8 * report["before"]["macs"]
    network = load_network(read_model(again.base / "model"))
    assert outputs(network, IMAGES)[0].shape == (2, len(LABELS))


def test_sigterm_while_fine_tuning_and_a_second_start_give_the_same_bits(
    pruned: JobFolder, classifier: TrainedModel, tmp_path: Path
) -> None:
    job = child_of(classifier, tmp_path / "stopped", pruning_macs_kept=0.7, compression_max_drop=1.0)
    with pytest.raises(Interrupted):
        train_here(job, StopInTraining(job))
    begun = json.loads((job.base / "checkpoints" / "compression.json").read_text())
    train_here(job)
    assert json.loads((job.base / "checkpoints" / "compression.json").read_text()) == begun
    ours, theirs = weights_of(job), weights_of(pruned)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert job.output("metrics.json") == pruned.output("metrics.json")
