"""Analyses: a model (or chance) looks at images that are there: predict, select, auto-annotate; and at itself: sensitivity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dataloop.catalog import selections, task_types
from dataloop.domain.analyses import (
    MAX_IMAGES,
    check_share,
    check_whole,
    from_json,
    make_image_query,
    make_uids,
)
from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.models import Model
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.choosing import ModelChooser
from dataloop.services.clock import Clock
from dataloop.services.gathering import Gathered, GatheringService, SameType
from dataloop.services.job_inputs import JobInputs, processing_inputs
from dataloop.services.suggesting import SuggestionService
from dataloop.services.tracking import TaskService
from dataloop.settings import Settings

# Ours: 10,000 images at a second each on a CPU, and time to fetch them.
MAX_RUNTIME_S = 4 * 3600
# What a Task's result spells out of a selection; all of it is in selection.json.
RESULT_IDS = 100
# The command of jobs/run.py that does it.
COMMANDS = {"predict": "predict", "auto_annotate": "predict", "select": "select", "sensitivity": "sensitivity"}
FLAGS = ("balance", "near_duplicates")


class AnalysisService:
    """Four kinds of task, one machine: lay out images, run one processing job, keep what it found."""

    def __init__(
        self,
        models: ModelRepository,
        chooser: ModelChooser,
        datasets: DatasetRepository,
        tasks: TaskService,
        gathering: GatheringService,
        suggesting: SuggestionService,
        inputs: JobInputs,
        artifacts: Bucket,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._models = models
        self._chooser = chooser
        self._datasets = datasets
        self._tasks = tasks
        self._gathering = gathering
        self._suggesting = suggesting
        self._inputs = inputs
        self._artifacts = artifacts
        self._clock = clock
        self._settings = settings

    def request_prediction(self, tenant: str, body: Mapping[str, Any], task_id: str | None = None) -> Task:
        """{"model_id" | "release", "uids" | "query", "min_score"?}. Raises NotFound, InvalidInput, LimitExceeded."""
        return self._request(tenant, "predict", body, {"min_score": _min_score(body)}, task_id)

    def request_annotation(self, tenant: str, body: Mapping[str, Any], task_id: str | None = None) -> Task:
        """As a prediction, and with "include_labelled": suggest labels also for images that people labelled."""
        include = body.get("include_labelled", False)
        if not isinstance(include, bool):
            raise InvalidInput("include_labelled", "must be true or false", include)
        wish = {"min_score": _min_score(body), "include_labelled": include}
        return self._request(tenant, "auto_annotate", body, wish, task_id)

    def request_selection(self, tenant: str, body: Mapping[str, Any], task_id: str | None = None) -> Task:
        """{"uids" | "query", "strategy", "count", "seed"?, …, "model_id" | "release" where the strategy asks a model}."""
        selection = _selection(body)
        strategy = selections.by_name(selection["strategy"])
        assert strategy is not None  # _selection says so
        has_model = body.get("model_id") is not None or body.get("release") is not None
        if strategy.needs_model and not has_model:
            raise InvalidInput("model_id", f"is needed by {strategy.name}: give model_id or release")
        if selection.get("balance") and not has_model:
            raise InvalidInput("balance", "needs a model: without one nobody knows what the images show", True)
        return self._request(tenant, "select", body, {"selection": selection}, task_id, needs_model=has_model)

    def request_sensitivity(self, tenant: str, model_id: object, task_id: str | None = None) -> Task:
        """How much each layer can lose, on the val split of what the model learnt from."""
        model = self._chooser.choose(tenant, model_id, None, "measuring its layers")
        self._ready(tenant, str(model.dataset["version_id"]))
        wish = {"model_id": model.id}
        task = self._tasks.create(tenant, "sensitivity", f"Model#{model.id}", wish, id=task_id)
        return self._tasks.start(task)

    def _request(
        self,
        tenant: str,
        kind: str,
        body: Mapping[str, Any],
        wish: Mapping[str, Any],
        task_id: str | None,
        *,
        needs_model: bool = True,
    ) -> Task:
        uids, query = body.get("uids"), body.get("query")
        if (uids is None) == (query is None):
            raise InvalidInput("uids", "give either uids or query")
        wanted = None if uids is None else make_uids(uids)
        images: dict[str, Any] = (
            {"uids": len(wanted)}
            if wanted is not None
            else {"query": make_image_query(query, self._clock.text()[:10]).to_json()}
        )
        given = body.get("model_id"), body.get("release")
        model = self._chooser.choose(tenant, *given, "looking at images") if needs_model else None
        id = task_id or self._clock.new_id()
        if wanted is not None:
            # Ten thousand uids are too many for an item: they lie beside it, and are there before it is.
            self._artifacts.put(_uids_key(tenant, id), canonical_json(wanted))
        named = {"model_id": model.id, "release": body.get("release")} if model else {}
        parameters = named | images | dict(wish)
        target = f"Model#{model.id}" if model else f"Selection#{id}"
        task = self._tasks.create(tenant, kind, target, _without_none(parameters), id=id)
        return self._tasks.start(task)

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Lay out the images and say everything CreateProcessingJob needs; has_images is False when nothing is to do.

        Nothing is to do when a query matches nothing, or people labelled every image: the task has then succeeded.
        Raises InvalidInput when images were asked for and none of them can be used.
        """
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"has_images": False}  # it was found out before; only the answer was lost
        task = self._tasks.begin(task, COMMANDS[task.kind])
        wish = task.parameters
        root = f"{tenant}/analyses/{task.id}"
        model = self._models.get(tenant, str(wish["model_id"])) if wish.get("model_id") else None
        if task.kind == "sensitivity":
            assert model is not None  # its request says so
            self._lay_out_val(f"{root}/input", task, model)
        elif not self._lay_out_images(f"{root}/input", task, model):
            return {"has_images": False}
        settings = self._settings
        return {
            "has_images": True,
            "job_name": task.job_name,
            "image": settings.processing_image,
            "instance_type": settings.processing_instance,
            "role_arn": settings.job_role_arn,
            "arguments": [COMMANDS[task.kind]],
            "processing_inputs": processing_inputs(
                code=settings.code_uri,
                dataset=self._artifacts.uri(f"{root}/input/"),
                images=self._artifacts.uri(f"{root}/input/images.manifest"),
                model=self._artifacts.uri(f"{model.prefix}/") if model else None,
            ),
            "environment": _environment(wish),
            "output_uri": self._artifacts.uri(f"{root}/output"),
            "max_runtime_s": MAX_RUNTIME_S,
        }

    def _lay_out_images(self, target: str, task: Task, model: Model | None) -> bool:
        """False: there is nothing to do, and the task has ended."""
        wish = task.parameters
        spare = task.kind == "auto_annotate" and not wish.get("include_labelled")
        found = self._gather(task, same_type_as(model), spare)
        facts = {"images": len(found.images), "not_used": found.left_out.to_json(), "is_cut": found.is_cut}
        if not found.images:
            problems = {reason: count for reason, count in found.left_out.counts.items() if reason != "labelled"}
            if problems:
                raise InvalidInput("images", f"none can be used: {problems}")
            self._tasks.succeed(task, facts)
            return False
        spec = {"task_id": task.id, "kind": task.kind, "model_id": model.id if model else None}
        self._gathering.lay_out(target, found.images, spec)
        self._tasks.note(task, context=facts)
        return True

    def _gather(self, task: Task, same_type: SameType, spare_labelled: bool) -> Gathered:
        query = task.parameters.get("query")
        if query is not None:
            return self._gathering.by_query(task.tenant, from_json(query), same_type, spare_labelled=spare_labelled)
        uids = json.loads(self._artifacts.get(_uids_key(task.tenant, task.id)))
        return self._gathering.by_uid(task.tenant, uids, same_type, spare_labelled=spare_labelled)

    def _lay_out_val(self, target: str, task: Task, model: Model) -> None:
        version = self._ready(task.tenant, str(model.dataset["version_id"]))
        test = self._ready(task.tenant, str(model.test["version_id"]))
        spec = {"task_id": task.id, "kind": task.kind, "model_id": model.id, "dataset": dict(model.dataset)}
        self._inputs.for_validation(target, version, test, list(model.labels), spec)

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Keep what the job found; suggestions become annotations. Again it changes nothing."""
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"task_id": task.id}  # done before; only the answer was lost
        task = self._tasks.begin(task, "record")
        prefix = f"{tenant}/analyses/{task.id}/output"
        readers: Mapping[str, Callable[[Task, str], dict[str, Any]]] = {
            "predict": self._predicted,
            "select": self._selected,
            "auto_annotate": self._annotated,
            "sensitivity": self._measured,
        }
        result = readers[task.kind](task, prefix)
        self._tasks.succeed(task, dict(task.context) | result | {"files": self._tasks.files_below(prefix)})
        return {"task_id": task.id}

    def _predicted(self, task: Task, prefix: str) -> dict[str, Any]:
        summary = self._json(f"{prefix}/summary.json")
        return {"model_id": task.parameters["model_id"]} | {
            name: summary[name] for name in ("images", "failed", "predictions", "labels", "min_score")
        }

    def _annotated(self, task: Task, prefix: str) -> dict[str, Any]:
        model = self._models.get(task.tenant, str(task.parameters["model_id"]))
        return self._suggesting.register(
            task.tenant,
            model,
            f"{prefix}/predictions.jsonl",
            f"{task.tenant}/analyses/{task.id}/input/images.jsonl",
            min_score=float(task.parameters.get("min_score") or 0.0),
            include_labelled=bool(task.parameters.get("include_labelled")),
        )

    def _selected(self, task: Task, prefix: str) -> dict[str, Any]:
        selection = self._json(f"{prefix}/selection.json")
        groups = self._json(f"{prefix}/duplicates.json")["groups"]
        chosen = selection["chosen"]
        return {
            **{name: selection[name] for name in ("seed", "strategy", "left_out")},
            "count": len(chosen),
            "chosen": chosen[:RESULT_IDS],
            "duplicates": {"groups": len(groups), "images": sum(len(group) for group in groups)},
        }

    def _measured(self, task: Task, prefix: str) -> dict[str, Any]:
        found = self._json(f"{prefix}/sensitivity.json")
        names = ("baseline", "metric", "images")
        kept = {name: found[name] for name in names if name in found}
        return {"model_id": task.parameters["model_id"], "layers": len(found["layers"])} | kept

    def _json(self, key: str) -> Any:
        return json.loads(self._artifacts.get(key))

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "measuring on it")
        return version


def same_type_as(model: Model | None) -> SameType:
    """Does an annotation of this type say what the model says? Without a model: every annotation counts."""
    return lambda kind: model is None or task_types.teaches(model.task_type, kind)


def _uids_key(tenant: str, task_id: str) -> str:
    return f"{tenant}/analyses/{task_id}/uids.json"


def _min_score(body: Mapping[str, Any]) -> float | None:
    value = body.get("min_score")
    return None if value is None else check_share(value, "min_score")


def _selection(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the job takes as SELECTION: only what the client gave. Raises InvalidInput."""
    strategy = selections.by_name(body.get("strategy", "random"))
    if strategy is None:
        names = ", ".join(entry.name for entry in selections.STRATEGIES)
        raise InvalidInput("strategy", f"must be one of {names}", body.get("strategy"))
    found: dict[str, Any] = {"strategy": strategy.name, "count": check_whole(body.get("count"), "count", 1, MAX_IMAGES)}
    if body.get("seed") is not None:
        found["seed"] = check_whole(body["seed"], "seed", 0, 2**31 - 1)
    if body.get("per_group") is not None:
        found["per_group"] = check_whole(body["per_group"], "per_group", 0, MAX_IMAGES)
    if body.get("measure") is not None:
        if body["measure"] not in selections.MEASURES:
            raise InvalidInput("measure", f"must be one of {', '.join(selections.MEASURES)}", body["measure"])
        found["measure"] = body["measure"]
    for name in FLAGS:
        if body.get(name) is not None:
            if not isinstance(body[name], bool):
                raise InvalidInput(name, "must be true or false", body[name])
            found[name] = body[name]
    return found


def _environment(wish: Mapping[str, Any]) -> dict[str, str]:
    """The job's variables. SageMaker allows 256 characters each."""
    found = {}
    if wish.get("min_score") is not None:
        found["PREDICT_MIN_SCORE"] = str(float(wish["min_score"]))
    if wish.get("selection") is not None:
        found["SELECTION"] = json.dumps(wish["selection"], separators=(",", ":"))
    return found


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
