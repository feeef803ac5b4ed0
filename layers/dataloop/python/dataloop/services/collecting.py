"""Datasets made from a folder of the raw bucket: what lies there is imported into a draft, and versions are frozen of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataloop.catalog import task_types
from dataloop.domain.datasets import Dataset, DatasetVersion, check_name
from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.raw_data import is_key, key_of, split_key
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.splits import SplitPolicy
from dataloop.domain.surveys import DRAFT_NAME, Survey
from dataloop.domain.tasks import Task
from dataloop.formats.names import is_image
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.building import BuildService
from dataloop.services.clock import Clock
from dataloop.services.curating import DatasetService
from dataloop.services.importing import ImportService
from dataloop.services.surveying import Details, SurveyService
from dataloop.services.versioning import VersionService

# Ours: a folder is listed while the request waits, 1,000 names a call; fifty calls take some five seconds.
MAX_FOLDER_FILES = 50_000
# In a version's info: which one its members were copied from, until they are all there and it is built.
COPY_OF = "copy_of"
# Ours: names that a client left to us are tried so often.
NAMES_TRIED = 20


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What a listing says: pictures and their bytes, names of label files, whether pictures lie in folders of a class."""

    images: int
    size_bytes: int
    label_suffixes: frozenset[str]
    has_class_folders: bool

    def label_format(self, task_type: str | None) -> str | None:
        """The format of labels that lie beside the pictures, as far as it is known for this kind of task."""
        if ".manifest" in self.label_suffixes:
            return "modelarts"
        if task_type == "detection" and ".xml" in self.label_suffixes:
            return "voc"
        is_classification = task_type in ("classification", "multilabel_classification")
        return "imagenet" if is_classification and self.has_class_folders else None


class CollectionService:
    """A dataset's draft gathers members for ever; each version is a copy of it that is then built."""

    def __init__(
        self,
        datasets: DatasetRepository,
        curating: DatasetService,
        versioning: VersionService,
        building: BuildService,
        importing: ImportService,
        surveying: SurveyService,
        raw: Bucket,
        clock: Clock,
    ) -> None:
        self._datasets = datasets
        self._curating = curating
        self._versioning = versioning
        self._building = building
        self._importing = importing
        self._surveying = surveying
        self._raw = raw
        self._clock = clock

    def create(
        self,
        tenant: str,
        name: str,
        info: Mapping[str, Any],
        *,
        folder: str | None = None,
        with_labels: bool = True,
        clearance: Clearance = EVERYTHING,
    ) -> Dataset:
        """A dataset with an empty draft; with a folder, its pictures are counted and its labels imported.

        info: annotation_type and what the surface keeps. folder: a prefix of the tenant's area of the raw bucket.
        with_labels: import labels that lie there (FolderFacts.label_format) as a task: info's import_task_id.
        clearance: the caller's; images outside of it are not imported.
        Raises InvalidInput, LimitExceeded (50,000 files), Conflict (name taken).
        Cost: 1 listing per 1,000 files, 1 transaction, and the request of an import.
        """
        facts = self._look(tenant, folder) if folder else None
        kind = task_types.of_annotation_type(str(info.get("annotation_type") or ""))
        format = facts.label_format(kind.name if kind else None) if facts and with_labels else None
        known = dict(info)
        if facts is not None:
            counted = {"images": facts.images, "size_bytes": facts.size_bytes}
            known["found"] = {"folder": folder, "at": self._clock.text(), **counted}
        if format is not None:
            # Named before it is made: a crash between leaves a dataset whose import nobody finds, which says just that.
            known["import_task_id"] = self._clock.new_id()
        words = {"annotationType": info["annotation_type"]} if info.get("annotation_type") else {}
        dataset, draft = self._curating.create_with_draft(tenant, name, known, DRAFT_NAME, words)
        if format is not None:
            wish = {"prefix": folder, "format": format, "on_error": "skip", "dataset_id": draft.id}
            self._importing.request(tenant, wish, known["import_task_id"], clearance)
        return dataset

    def _look(self, tenant: str, folder: str) -> FolderFacts:
        key = key_of(tenant, folder)
        # Of a prefix, what matters is whose the files below it are; and `tenants/` itself is above everybody's.
        if split_key(f"{key}x")[0] != tenant or key == "tenants/" or not is_key(key):
            raise InvalidInput("folder", "must be a prefix of your own files", folder)
        images = size_bytes = 0
        suffixes: set[str] = set()
        has_class_folders = False
        for count, (name, size) in enumerate(self._raw.keys(key), 1):
            if count > MAX_FOLDER_FILES:
                raise LimitExceeded("folder: files", MAX_FOLDER_FILES)
            if is_image(name):
                images, size_bytes = images + 1, size_bytes + size
                has_class_folders = has_class_folders or "/" in name.removeprefix(key)
            else:
                suffixes.add(posixpath.splitext(name)[1].lower())
        return FolderFacts(images, size_bytes, frozenset(suffixes), has_class_folders)

    def change(
        self,
        dataset: Dataset,
        changes: Mapping[str, Any],
        *,
        current_version_id: str | None = None,
    ) -> Dataset:
        """Change what a dataset's info says, and which built version is its current one.

        dataset: as the changes were worked out from it.
        Raises NotFound(dataset, dataset version), IllegalTransition (the version is not READY), LimitExceeded, Throttled
        (the dataset was changed meanwhile).
        """
        if current_version_id is not None:
            version = self._version_of(dataset, current_version_id)
            if version.status != "READY":
                raise IllegalTransition("dataset version", version.id, version.status, "becoming the current one")
            changes = {**changes, "current_version_id": version.id}
        return self._curating.update_dataset(dataset.tenant, dataset.id, {**dataset.info, **changes}, dataset)

    def freeze(
        self,
        tenant: str,
        dataset_id: str,
        name: str | None,
        *,
        info: Mapping[str, Any],
        split: SplitPolicy | None = None,
        clearance: Clearance = EVERYTHING,
    ) -> tuple[DatasetVersion, Task]:
        """Copy the draft (or else the current version) under a name and build the copy.

        name: of the version; None takes the next of V001, V002, … A draft of this very name is built as it is.
        Raises NotFound, Conflict (the name is taken), IllegalTransition (nothing is there to freeze), InvalidInput.
        Cost: a look at the dataset, 1 transaction and 8 WRU a segment, and the request of a build.
        """
        self._active(tenant, dataset_id)
        survey = self._surveying.look(tenant, dataset_id, Details(), clearance)
        source = survey.draft if survey.is_gathering else survey.current
        draft_id = None
        wanted = self._free_name(survey) if name is None else check_name(name, "version_name")
        stands = self._datasets.find_version(tenant, survey.dataset.name, wanted)
        if stands is not None and stands.status != "DRAFT":
            raise Conflict("dataset version", f"{survey.dataset.name} {wanted}")
        if stands is not None:
            if COPY_OF not in stands.info:
                return stands, self._building.request_build(tenant, stands.id)  # a draft of the client's own
            # What a crash left of this very request: the copy goes on from the same source, and is built.
            source, draft_id = self._curating.get(tenant, stands.info[COPY_OF]), stands.id
        if source is None:
            raise IllegalTransition("dataset", dataset_id, "without annotations", "publishing")
        words = {**source.info, **info, COPY_OF: source.id}
        copy = self._versioning.restore(tenant, source.id, wanted, draft_id, clearance, split=split, info=words)
        return copy, self._building.request_build(tenant, copy.id)

    def _free_name(self, survey: Survey) -> str:
        for number in range(len(survey.versions) + 1, len(survey.versions) + 1 + NAMES_TRIED):
            if self._datasets.find_version(survey.dataset.tenant, survey.dataset.name, f"V{number:03d}") is None:
                return f"V{number:03d}"
        raise InvalidInput("version_name", "must be given: the next names are taken")

    def _active(self, tenant: str, dataset_id: str) -> Dataset:
        dataset = self._curating.dataset(tenant, dataset_id)
        if dataset.status != "ACTIVE":
            raise NotFound("dataset", dataset_id)
        return dataset

    def _version_of(self, dataset: Dataset, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(dataset.tenant, version_id)
        if version is None or version.dataset_id != dataset.id or version.status in ("DRAFT", "DELETED"):
            raise NotFound("dataset version", version_id)
        return version
