"""An iteration whose model really answers: what a training leaves behind, without the training."""

from __future__ import annotations

import uuid
from typing import Any

from dataloop.domain.models import Model
from dataloop.domain.projects import Iteration
from tests.core import Core
from tests.trained import TrainedModel


def completed(core: Core, project: Any, trained: TrainedModel, number: int = 1, kind: str = "regular") -> Iteration:
    """A COMPLETED iteration of a project of a surface, with the model's files and a tag for each of its labels."""
    owner = core.services.projects.get("default", project.id)
    known = {tag.name: tag for tag in core.services.projects.tags(owner)}
    labels = trained.description["labels"]
    tags = [known.get(name) or core.services.projects.create_tag(owner, name, kind=kind) for name in labels]
    # Not the stopped clock's: environments keep models by id, longer than a test lives.
    at, id = core.clock.text(), str(uuid.uuid4())
    prefix = f"default/models/{id}/model"
    for name in ("model.json", "model.onnx"):
        core.stores.artifacts.put(f"{prefix}/{name}", (trained.folder / name).read_bytes())
    task_type = trained.description["task_type"]
    core.stores.models.create(
        Model(
            tenant="default",
            id=id,
            name=f"Iteration {number}",
            version="1",
            status="COMPLETED",
            task_type=task_type,
            architecture="",
            dataset={"version_id": id},
            test={},
            task_id=id,
            created_at=at,
            prefix=prefix,
            labels=tuple(labels),
        )
    )
    frozen = tuple({"id": each.id, "name": each.name, "kind": each.kind, "image_count": 0} for each in tags)
    begun = core.stores.iterations.begin(
        Iteration(
            "default",
            id,
            project.id,
            f"Iteration {number}",
            number,
            "TRAINING",
            id,
            at,
            at,
            tags=frozen,
            info=dict(owner.info),
        )
    )
    return core.stores.iterations.end(begun, "COMPLETED", at, trained_at=at)


def published(core: Core, project: Any, trained: TrainedModel, name: str = "live") -> Iteration:
    """The same, published."""
    iteration = completed(core, project, trained)
    owner = core.services.projects.get("default", project.id)
    return core.services.iterating.publish(owner, iteration.id, name, "/subscriptions/s/prediction", False)
