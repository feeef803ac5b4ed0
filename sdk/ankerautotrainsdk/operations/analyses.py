"""What models say of images that are there: predictions, suggestions, selections; and what layers can lose."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ankerautotrainsdk.errors import NotFound
from ankerautotrainsdk.operations.base import without_none
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import DownloadResult, Record, Task


class AnalysisCalls(TaskCalls):
    """Calls about many images at once. Which images: `uids`, or a `query` such as {"from": "2026-11-01", "labels": "none"}."""

    def predict_images(
        self,
        uids: Sequence[str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        model_id: str | None = None,
        release: str | None = None,
        min_score: float | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Let a model, or what a release name stands for now, look at up to 10,000 images.

        min_score: leave out what is less sure; by default the model's own threshold. The finished task counts, and
        predictions.jsonl has a line an image (download_task_file). Raises NotFound, InvalidInput, IllegalTransition.
        """
        images = {"uids": uids and list(uids), "query": query and dict(query)}
        body = without_none(**images, model_id=model_id, release=release, min_score=min_score)
        return self._maybe_wait(self._start("/predictions", body), wait, timeout_s)

    def auto_annotate(
        self,
        uids: Sequence[str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        model_id: str | None = None,
        release: str | None = None,
        min_score: float | None = None,
        include_labelled: bool | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Let a teacher suggest labels: its predictions become annotations with labelMethod "auto" and its name.

        Images that people labelled are left alone unless include_labelled. The same teacher twice says it once.
        Raises NotFound, InvalidInput, IllegalTransition.
        """
        images = {"uids": uids and list(uids), "query": query and dict(query)}
        wish = {"model_id": model_id, "release": release, "min_score": min_score, "include_labelled": include_labelled}
        return self._maybe_wait(self._start("/auto-annotations", without_none(**images, **wish)), wait, timeout_s)

    def select_images(
        self,
        count: int,
        uids: Sequence[str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        strategy: str = "random",
        seed: int | None = None,
        measure: str | None = None,
        per_group: int | None = None,
        balance: bool | None = None,
        near_duplicates: bool | None = None,
        model_id: str | None = None,
        release: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Choose the images that are worth a person's time (docs/selection.md).

        strategy: random, uncertainty, diversity or uncertainty_diversity; the two with uncertainty need a model.
        The finished task's result has the first hundred of `chosen`; selection.json has all, duplicates.json the
        near-duplicates. Raises NotFound, InvalidInput, IllegalTransition.
        """
        images = {"uids": uids and list(uids), "query": query and dict(query)}
        rules = {"per_group": per_group, "balance": balance, "near_duplicates": near_duplicates}
        chosen_by = {"strategy": strategy, "count": count, "seed": seed, "measure": measure}
        body = without_none(**images, **chosen_by, **rules, model_id=model_id, release=release)
        return self._maybe_wait(self._start("/selections", body), wait, timeout_s)

    def sensitivity(self, model_id: str, *, wait: bool = False, timeout_s: float | None = None) -> Task:
        """Measure how much of each layer a model can lose; sensitivity.json and .svg are the task's files.

        Raises NotFound, IllegalTransition.
        """
        return self._maybe_wait(self._start("/sensitivities", {"model_id": model_id}), wait, timeout_s)

    def download_task_file(
        self, task_id: str, name: str, directory: str | os.PathLike[str] = "", *, overwrite: bool = False
    ) -> DownloadResult:
        """Download one file of a finished task, e.g. "predictions.jsonl" or an export, as download_file_by_uid does.

        Raises NotFound, whose details name the files there are.
        """
        from ankerautotrainsdk.downloads import Downloader, Link

        def link() -> Link:
            result: Mapping[str, Any] = self.get_task(task_id).get("result") or {}
            files: Sequence[Record] = result.get("files") or ()
            for each in files:
                if each["name"] == name:
                    return Link(each["url"], name.rpartition("/")[2], each.get("size_bytes"), each.get("sha256"))
            known = [each["name"] for each in files]
            raise NotFound(f"task {task_id} has no file {name!r}", details={"files": known})

        return Downloader(self._transport, self._progress).fetch(link, directory, overwrite=overwrite)
