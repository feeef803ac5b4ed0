"""Services of datasets: versions, builds, imports, exports, lineage."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from dataloop.bootstrap.data import DataServices

if TYPE_CHECKING:
    from dataloop.services.auditing import AuditService
    from dataloop.services.building import BuildService
    from dataloop.services.collecting import CollectionService
    from dataloop.services.comparing import DiffService
    from dataloop.services.curating import DatasetService
    from dataloop.services.exporting import ExportService
    from dataloop.services.file_tasks import FileService, FileTasks
    from dataloop.services.importing import ImportService
    from dataloop.services.manifest_files import ManifestFiles
    from dataloop.services.querying import QueryDatasetService
    from dataloop.services.removing import RemovalService
    from dataloop.services.surveying import SurveyService
    from dataloop.services.tracing import TracingService
    from dataloop.services.versioning import VersionService


class DatasetServices(DataServices):
    """What makes, compares, exports and removes datasets."""

    @cached_property
    def curating(self) -> DatasetService:
        from dataloop.services.curating import DatasetService

        stores = self.stores
        return DatasetService(
            stores.datasets, stores.annotations, stores.raw_data, stores.artifacts, self.clock, self.residency
        )

    @cached_property
    def versioning(self) -> VersionService:
        from dataloop.services.versioning import VersionService

        return VersionService(self.stores.datasets, self.curating, self.clock)

    @cached_property
    def comparing(self) -> DiffService:
        from dataloop.services.comparing import DiffService

        return DiffService(self.stores.datasets, self.tasks, self.stores.artifacts)

    @cached_property
    def auditing(self) -> AuditService:
        from dataloop.services.auditing import AuditService

        stores = self.stores
        return AuditService(
            stores.datasets, stores.models, stores.annotations, self.tasks, stores.artifacts, stores.raw
        )

    @cached_property
    def removing(self) -> RemovalService:
        from dataloop.services.removing import RemovalService

        stores = self.stores
        return RemovalService(
            stores.removals,
            stores.datasets,
            stores.models,
            stores.releases,
            stores.loops,
            stores.tasks,
            stores.artifacts,
            self.clock,
        )

    @cached_property
    def building(self) -> BuildService:
        from dataloop.services.building import BuildService
        from dataloop.services.erasure_builds import ErasedMeanwhile

        stores = self.stores
        return BuildService(
            stores.datasets,
            stores.annotations,
            stores.raw_data,
            self.tasks,
            stores.artifacts,
            self.clock,
            self.residency,
            stores.settings,
            ErasedMeanwhile(stores.deletions, stores.erasures, stores.artifacts),
        )

    @cached_property
    def manifest_files(self) -> ManifestFiles:
        from dataloop.services.manifest_files import ManifestFiles

        return ManifestFiles(self.stores.datasets, self.stores.artifacts)

    @cached_property
    def importing(self) -> ImportService:
        from dataloop.services.importing import ImportService

        stores = self.stores
        return ImportService(
            self.annotating,
            self.curating,
            self.tasks,
            stores.raw_data,
            stores.raw,
            stores.artifacts,
            stores.ingest_queue,
        )

    @cached_property
    def exporting(self) -> ExportService:
        from dataloop.services.exporting import ExportService

        stores = self.stores
        return ExportService(stores.datasets, self.tasks, stores.artifacts, stores.raw, self.settings)

    @cached_property
    def querying(self) -> QueryDatasetService:
        from dataloop.services.querying import QueryDatasetService

        return QueryDatasetService(self.searching, self.curating, self.gathering, self.tasks, self.clock)

    @cached_property
    def file_tasks(self) -> FileTasks:
        from dataloop.services.file_tasks import FileTasks

        services: dict[str, Callable[[], FileService]] = {
            "export_dataset": lambda: self.exporting,
            "diff": lambda: self.comparing,
            "verify": lambda: self.auditing,
            "query": lambda: self.querying,
        }
        return FileTasks(self.tasks, services)

    @cached_property
    def tracing(self) -> TracingService:
        from dataloop.services.tracing import TracingService

        stores = self.stores
        return TracingService(
            stores.datasets, stores.models, stores.releases, stores.annotations, stores.raw_data, stores.artifacts
        )

    @cached_property
    def surveying(self) -> SurveyService:
        from dataloop.services.surveying import SurveyService

        stores = self.stores
        return SurveyService(
            stores.datasets, stores.annotations, stores.raw_data, self.tasks, stores.artifacts, stores.raw
        )

    @cached_property
    def collecting(self) -> CollectionService:
        from dataloop.services.collecting import CollectionService

        stores = self.stores
        return CollectionService(
            stores.datasets,
            self.curating,
            self.versioning,
            self.building,
            self.importing,
            self.surveying,
            stores.raw,
            self.clock,
        )
