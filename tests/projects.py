"""What people do to a project, in a line each; and the states of project_training, one after the other."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL import Image as Picture

from dataloop.domain.image_changes import NewImage
from dataloop.domain.iterations import TrainingWish
from dataloop.domain.projects import Image, Iteration, Project, Tag
from dataloop.domain.terms import ImageQuery
from dataloop.services.iterating import training_id_of
from tests.actions import archive, run_build
from tests.core import ARTIFACTS, Core

BOX = (0.25, 0.25, 0.5, 0.5)


def project(core: Core, task_type: str = "classification", name: str = "animals") -> Project:
    return core.services.projects.create("default", name, task_type=task_type, info={"domain_id": "general"})


def tag(core: Core, project: Project, name: str, kind: str = "regular") -> Tag:
    return core.services.projects.create_tag(project, name, kind=kind)


def bytes_of(seed: str) -> bytes:
    """A small picture of its own."""
    digest = hashlib.sha256(seed.encode()).digest()
    target = io.BytesIO()
    Picture.frombytes("RGB", (4, 2), digest[:24]).resize((32, 16)).save(target, "PNG")
    return target.getvalue()


def add(
    core: Core, project: Project, seeds: Sequence[str], *tags: Tag, box: tuple[float, float, float, float] | None = None
) -> list[Image]:
    """Images of the workspace: with tags, or with a box of each tag."""
    given = [
        NewImage(
            seed,
            partial(bytes_of, seed),
            tag_ids=() if box else [each.id for each in tags],
            regions=[(each.id, box) for each in tags] if box else (),
        )
        for seed in seeds
    ]
    added = [
        each
        for start in range(0, len(given), 64)
        for each in core.services.adding.add(project, given[start : start + 64])
    ]
    assert all(each.image for each in added), added
    return [each.image for each in added if each.image]


def seeds(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


def labelled_project(core: Core, count: int = 5, names: Sequence[str] = ("cat", "dog"), **more: Any) -> Project:
    """A project with so many images of each tag."""
    made = project(core, **more)
    for name in names:
        box = BOX if made.task_type == "detection" else None
        add(core, made, seeds(name, count), tag(core, made, name), box=box)
    return made


def query() -> ImageQuery:
    return ImageQuery()


def train(core: Core, project: Project, **wish: Any) -> Iteration:
    return core.again().iterating.train(project, TrainingWish(**wish))


def freeze(core: Core, iteration: Iteration) -> dict[str, Any]:
    """Plan, freeze, link; returns what Link answers."""
    plan = core.again().freezing.plan("default", iteration.task_id)
    for key in sorted(name for name in core.objects() if name.startswith(plan["parts_prefix"])):
        core.again().freezing.freeze("default", iteration.task_id, key)
    return core.again().freezing.link("default", iteration.task_id)


def finish(
    core: Core, project: Project, iteration: Iteration, job: Callable[[Core, dict[str, Any]], str] | None = None
) -> Iteration:
    """All states. job: what trains; by default one that says of each test image just what it shows."""
    return finish_linked(core, project, iteration, freeze(core, iteration), job)


def finish_linked(
    core: Core,
    project: Project,
    iteration: Iteration,
    linked: dict[str, Any],
    job: Callable[[Core, dict[str, Any]], str] | None = None,
) -> Iteration:
    """The states behind Link."""
    run_build(core, linked["build"]["task_id"])
    planned = core.again().project_training.plan_training("default", iteration.task_id)
    train_id = planned["train"]["task_id"]
    assert train_id == training_id_of(iteration.task_id)
    prepared = core.again().training.prepare("default", train_id)
    left = job(core, prepared) if job else job_output(core, train_id)
    core.again().training.register_model("default", train_id, left)
    core.again().project_training.record("default", iteration.task_id)
    return core.again().iterating.get(project, iteration.id)


def trained(core: Core, project: Project, **wish: Any) -> Iteration:
    """A COMPLETED iteration."""
    return finish(core, project, train(core, project, **wish))


def job_output(core: Core, train_id: str) -> str:
    """What the training job leaves: a model, and predictions of its test images that are all right and quite sure."""
    s3 = core.clients.s3
    root = f"default/training/{train_id}"
    rows = [json.loads(line) for line in core.objects()[f"{root}/input/test.jsonl"].splitlines()]
    labels = json.loads(core.objects()[f"{root}/input/label_map.json"])["labels"]
    onnx = b"an onnx file of " + train_id.encode()
    model = {"labels": labels, "onnx": {"sha256": hashlib.sha256(onnx).hexdigest()}}
    said = []
    for row in rows:
        shown = [label for annotation in row["annotations"] for label in annotation["labels"]]
        truth = [{"label": label["label"], "box": label.get("box")} for label in shown]
        said.append({"uid": row["uid"], "predictions": [each | {"score": 0.9} for each in truth], "truth": truth})
    metrics = {"task_type": "x", "primary": {"name": "x", "value": 1.0}, "summary": {}, "per_class": {}, "images": 1}
    lines = "".join(json.dumps(row) + "\n" for row in said)
    prefix = f"{root}/jobs/train-{train_id}/output"
    files = {"model.onnx": onnx, "model.json": json.dumps(model).encode(), "model_card.md": b"# card"}
    s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/model.tar.gz", Body=archive(files))
    body = archive({"metrics.json": json.dumps(metrics).encode(), "predictions.jsonl": lines.encode()})
    s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/output.tar.gz", Body=body)
    return f"s3://{ARTIFACTS}/{prefix}/model.tar.gz"
