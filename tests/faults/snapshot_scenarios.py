"""Freezing a workspace, measuring an iteration and erasing from both, as the steps that somebody repeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core import Core
from tests.faults.injection import Scenario
from tests.services.frozen import image, iteration
from tests.services.test_performing import model_of, said

State = dict[str, Any]
IMAGES = [image(ordinal, tags="a" if ordinal % 2 else "b", regions="c") for ordinal in (0, 1, 300, 2048, 2049)]
TRAINING = iteration("TRAINING")


def nothing_frozen(core: Core) -> State:
    """A model whose report is there."""
    lines = [said(each.uid, ("a", 0.9), ("b", 0.1), truth=("a",)) for each in IMAGES[1:]]
    return {"model": model_of(core, "multilabel_classification", lines)}


def freeze_a_part(core: Core, state: State) -> None:
    core.again().snapshots.write_part(TRAINING.snapshot, 0, IMAGES[:3])


def freeze_another_part(core: Core, state: State) -> None:
    core.again().snapshots.write_part(TRAINING.snapshot, 1, IMAGES[3:])


def finish(core: Core, state: State) -> None:
    assert core.again().snapshots.finish(TRAINING.snapshot, 2).images == len(IMAGES)


def record(core: Core, state: State) -> None:
    core.again().performing.record(TRAINING, state["model"])


def erase(core: Core, state: State) -> None:
    gone = {each.uid: each.ordinal for each in (IMAGES[2], IMAGES[4])}
    core.again().snapshot_erasure.forget(replace(TRAINING, status="COMPLETED"), gone, gone.values())


SCENARIOS = [
    Scenario(
        "an iteration's images are frozen, measured and erased",
        nothing_frozen,
        [freeze_a_part, freeze_another_part, finish, record, erase],
    )
]
