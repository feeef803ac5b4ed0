"""Training, evaluation, export, and the models that come out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ankerautotrainsdk.errors import NotFound
from ankerautotrainsdk.operations.base import every, without_none
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import DownloadResult, Lineage, Model, Page, Record, Task
from ankerautotrainsdk.transport import path as route


class TrainingCalls(TaskCalls):
    """Calls about models and how they are made."""

    def train(
        self,
        dataset_id: str,
        *,
        task_type: str | None = None,
        architecture: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_name: str | None = None,
        parent_model_id: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Train a model on a built dataset version.

        task_type: "classification" or "detection", by default what the dataset's annotations are;
        parameters: epochs, batch_size, learning_rate, image_size, seed, …; parent_model_id: start from that model.
        wait: return only when training is over, and raise TaskFailed (with the job's reason) when it failed.
        The finished task's result names the model_id.
        Raises NotFound, InvalidInput, IllegalTransition (dataset version not built).
        """
        body = without_none(
            dataset_id=dataset_id,
            task_type=task_type,
            architecture=architecture,
            parameters=dict(parameters or {}),
            model_name=model_name,
            parent_model_id=parent_model_id,
        )
        return self._maybe_wait(self._start("/train", body), wait, timeout_s)

    def recommend(
        self,
        dataset_id: str,
        *,
        task_type: str | None = None,
        instance: str | None = None,
        batch_size: int | None = None,
        parent_model_id: str | None = None,
    ) -> Record:
        """Parameters for `train`, each with its reason; starts nothing.

        instance: a SageMaker instance type, by default the one the service trains on. The answer: parameters, reasons
        (parameter, value, text), steps_per_epoch, steps. Raises NotFound, InvalidInput, IllegalTransition.
        """
        body = without_none(
            dataset_id=dataset_id,
            task_type=task_type,
            instance=instance,
            batch_size=batch_size,
            parent_model_id=parent_model_id,
        )
        return Record(self._transport.post("/training/recommendation", body))

    def evaluate(
        self,
        model_id: str,
        dataset_id: str,
        *,
        baseline_model_id: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Measure a model on the test split of a built dataset version; the task's result has the metrics.

        baseline_model_id: a second model of the same task, compared on the same images: result.comparison.
        Raises NotFound, InvalidInput, IllegalTransition.
        """
        body = without_none(model_id=model_id, dataset_id=dataset_id, baseline_model_id=baseline_model_id)
        return self._maybe_wait(self._start("/evaluations", body), wait, timeout_s)

    def export(
        self,
        model_id: str,
        format: str = "onnx",
        *,
        max_drop: float | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Export a model and verify the export against the original on real samples (docs/exports.md has the formats).

        max_drop: for onnx_int8, how much of the primary metric it may lose. The task's files are the artefact
        (download_task_file). Raises NotFound, InvalidInput.
        """
        body = without_none(model_id=model_id, format=format, max_drop=max_drop)
        return self._maybe_wait(self._start("/exports", body), wait, timeout_s)

    def get_model(self, model_id: str) -> Model:
        """A model: name, version, status, task_type, dataset, metrics, artifacts. Raises NotFound."""
        return Model(self._transport.get(route("models", model_id)))

    def list_models(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Model]:
        """One page of models, newest first."""
        return self._page("/models", Model, limit=limit, cursor=cursor)

    def iter_models(self) -> Iterator[Model]:
        """All models, newest first, fetched page by page."""
        return every(lambda cursor: self.list_models(cursor=cursor))

    def get_model_files(self, model_id: str) -> tuple[Record, ...]:
        """The files of a model: name, url (temporary), size_bytes. Raises NotFound."""
        answer = self._transport.get(f"{route('models', model_id)}/files")
        rows = answer if isinstance(answer, list) else answer["items"]
        return tuple(Record(each) for each in rows)

    def download_model_file(
        self, model_id: str, name: str, directory: str | os.PathLike[str] = "", *, overwrite: bool = False
    ) -> DownloadResult:
        """Download one file of a model, e.g. "model.onnx", as download_file_by_uid does. Raises NotFound."""
        from ankerautotrainsdk.downloads import Downloader, Link

        def link() -> Link:
            files = self.get_model_files(model_id)
            for each in files:
                if each["name"] == name:
                    return Link(each["url"], name.rpartition("/")[2], each.get("size_bytes"), each.get("sha256"))
            known = [each["name"] for each in files]
            raise NotFound(f"model {model_id} has no file {name!r}", details={"files": known})

        return Downloader(self._transport, self._progress).fetch(link, directory, overwrite=overwrite)

    def why(self, model_id: str, *, limit: int | None = None, cursor: str | None = None) -> Lineage:
        """One page of the lineage of a model: the dataset version and the images it was trained and tested on.

        Each image (in .images): uid, split, annotation_ids, bucket, object_name, version_id, sha256. Raises NotFound.
        """
        query = {"limit": limit, "cursor": cursor}
        return Lineage(self._transport.get(f"{route('models', model_id)}/lineage", query))

    def lineage(self, model_id: str, *, limit: int | None = None, cursor: str | None = None) -> Lineage:
        """The same as why."""
        return self.why(model_id, limit=limit, cursor=cursor)

    def iter_lineage(self, model_id: str) -> Iterator[Record]:
        """Every image behind a model, fetched page by page."""

        def page(cursor: str | None) -> Page[Record]:
            found = self.why(model_id, cursor=cursor)
            return Page(found.images, found.get("cursor"))

        return every(page)
