"""Services of projects: workspaces of tagged images, and what is trained from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dataloop.bootstrap.models import ModelServices

if TYPE_CHECKING:
    from dataloop.services.adding import AddingService
    from dataloop.services.browsing import BrowsingService
    from dataloop.services.copying import CopyService
    from dataloop.services.erasure_steps import ErasureSteps
    from dataloop.services.freezing import FreezingService
    from dataloop.services.frozen_reading import FrozenCache
    from dataloop.services.indexing import IndexingService
    from dataloop.services.iterating import IterationService
    from dataloop.services.iteration_exports import IterationExportService
    from dataloop.services.learnt_content import LearntContent
    from dataloop.services.performing import PerformanceService
    from dataloop.services.project_batches import ProjectBatches, ProjectDeletions
    from dataloop.services.project_images import ProjectImages
    from dataloop.services.project_predicting import ProjectPredictionService
    from dataloop.services.project_training import ProjectTrainingService
    from dataloop.services.projects import ProjectService
    from dataloop.services.proposing import ProposalService
    from dataloop.services.querying_predictions import PredictionQueryService
    from dataloop.services.renditions import RenditionService
    from dataloop.services.snapshot_erasure import SnapshotEraser
    from dataloop.services.snapshots import SnapshotService
    from dataloop.services.storing_predictions import StoredPredictionService
    from dataloop.services.suggesting_tags import TagSuggestionService
    from dataloop.services.tagging import TaggingService


class ProjectServices(ModelServices):
    """What keeps, tags, browses, trains and asks projects."""

    @cached_property
    def projects(self) -> ProjectService:
        from dataloop.services.projects import ProjectService

        return ProjectService(self.stores.projects, self.stores.images, self.tasks, self.clock)

    @cached_property
    def browsing(self) -> BrowsingService:
        from dataloop.services.browsing import BrowsingService

        return BrowsingService(self.stores.images, self.stores.terms)

    @cached_property
    def tagging(self) -> TaggingService:
        from dataloop.services.tagging import TaggingService

        stores = self.stores
        return TaggingService(stores.images, stores.terms, stores.projects, self.clock)

    @cached_property
    def indexing(self) -> IndexingService:
        from dataloop.services.indexing import IndexingService

        stores = self.stores
        return IndexingService(stores.images, stores.terms, stores.projects, self.tagging)

    @cached_property
    def renditions(self) -> RenditionService:
        from dataloop.services.renditions import RenditionService

        stores = self.stores
        return RenditionService(stores.artifacts, stores.raw_links, stores.artifact_links)

    @cached_property
    def adding(self) -> AddingService:
        from dataloop.services.adding import AddingService

        stores = self.stores
        return AddingService(
            self.projects,
            self.tagging,
            stores.images,
            stores.raw_data,
            stores.raw,
            self.renditions,
            stores.fetcher,
            self.clock,
        )

    @cached_property
    def iteration_exports(self) -> IterationExportService:
        from dataloop.services.iteration_exports import IterationExportService

        stores = self.stores
        return IterationExportService(stores.models, stores.tasks, self.judging, stores.artifacts, self.clock)

    @cached_property
    def project_images(self) -> ProjectImages:
        from dataloop.services.project_images import ProjectImages

        return ProjectImages(self.stores.images, self.stores.raw)

    @cached_property
    def project_predicting(self) -> ProjectPredictionService:
        from dataloop.services.project_predicting import ProjectPredictionService

        return ProjectPredictionService(self.stores.models, self.iterating, self.stores.artifacts, self.stores.fetcher)

    @cached_property
    def stored_predictions(self) -> StoredPredictionService:
        from dataloop.services.storing_predictions import StoredPredictionService

        stores = self.stores
        return StoredPredictionService(stores.predictions, stores.artifacts, self.renditions, self.clock)

    @cached_property
    def prediction_queries(self) -> PredictionQueryService:
        from dataloop.services.querying_predictions import PredictionQueryService

        return PredictionQueryService(self.stores.predictions, self.clock)

    @cached_property
    def suggesting_tags(self) -> TagSuggestionService:
        from dataloop.services.suggesting_tags import TagSuggestionService

        return TagSuggestionService(
            self.stores.suggestions, self.project_predicting, self.project_images, self.browsing, self.clock
        )

    @cached_property
    def proposing(self) -> ProposalService:
        from dataloop.services.proposing import ProposalService

        return ProposalService(self.project_predicting, self.project_images)

    @cached_property
    def learnt_content(self) -> LearntContent:
        from dataloop.services.learnt_content import LearntContent

        return LearntContent(self.stores.images, self.stores.terms, self.browsing)

    @cached_property
    def iterating(self) -> IterationService:
        from dataloop.services.iterating import IterationService

        stores = self.stores
        return IterationService(
            stores.iterations,
            self.projects,
            self.browsing,
            self.learnt_content,
            self.snapshots,
            stores.models,
            stores.releases,
            self.tasks,
            stores.artifacts,
            self.clock,
            lambda tenant, iteration_id: self.suggesting_tags.forget_iteration(tenant, iteration_id),
        )

    @cached_property
    def freezing(self) -> FreezingService:
        from dataloop.services.freezing import FreezingService

        stores = self.stores
        return FreezingService(
            stores.iterations,
            self.iterating,
            self.projects,
            self.learnt_content,
            stores.images,
            stores.raw_data,
            self.registering,
            stores.annotations,
            self.snapshots,
            self.curating,
            self.building,
            self.tasks,
            stores.artifacts,
            self.clock,
        )

    @cached_property
    def project_training(self) -> ProjectTrainingService:
        from dataloop.services.project_training import ProjectTrainingService

        stores = self.stores
        return ProjectTrainingService(
            stores.iterations,
            self.projects,
            self.training,
            self.advising,
            self.performing,
            stores.models,
            self.tasks,
            self.clock,
        )

    @cached_property
    def copying(self) -> CopyService:
        from dataloop.services.copying import CopyService

        stores = self.stores
        return CopyService(
            self.projects,
            stores.images,
            stores.terms,
            stores.iterations,
            self.tagging,
            self.tasks,
            stores.signing_root,
            self.clock,
        )

    @cached_property
    def project_deletions(self) -> ProjectDeletions:
        from dataloop.services.project_batches import ProjectDeletions

        stores = self.stores
        return ProjectDeletions(
            self.projects,
            stores.projects,
            stores.images,
            stores.terms,
            self.tagging,
            self.iterating,
            self.snapshots,
            self.stored_predictions,
            self.suggesting_tags,
            self.removing,
            self.tasks,
            self.clock,
        )

    @cached_property
    def project_batches(self) -> ProjectBatches:
        from dataloop.services.project_batches import ProjectBatches

        workers = {
            "bulk_delete": lambda task: self.project_deletions.step(task),
            "copy_project": lambda task: self.copying.step(task),
        }
        return ProjectBatches(self.tasks, workers)

    @cached_property
    def frozen_cache(self) -> FrozenCache:
        """One for all that reads frozen workspaces in this process."""
        from dataloop.services.frozen_reading import FrozenCache

        return FrozenCache(self.clock)

    @cached_property
    def snapshots(self) -> SnapshotService:
        from dataloop.services.snapshots import SnapshotService

        return SnapshotService(self.stores.artifacts, self.frozen_cache)

    @cached_property
    def snapshot_erasure(self) -> SnapshotEraser:
        from dataloop.services.snapshot_erasure import SnapshotEraser

        return SnapshotEraser(self.stores.erasable_artifacts)

    @cached_property
    def performing(self) -> PerformanceService:
        from dataloop.services.performing import PerformanceService

        return PerformanceService(self.stores.artifacts, self.browsing, self.frozen_cache)

    @cached_property
    def erasure_steps(self) -> ErasureSteps:
        from dataloop.services.erasure_projects import ProjectEraser
        from dataloop.services.erasure_receipts import ReceiptWriter
        from dataloop.services.erasure_records import RecordEraser
        from dataloop.services.erasure_steps import ErasureSteps
        from dataloop.services.erasure_sweep import CopySweeper
        from dataloop.services.snapshot_erasure import SnapshotEraser

        stores = self.stores
        raw, artifacts = stores.erasable_raw, stores.erasable_artifacts
        return ErasureSteps(
            stores.deletions,
            stores.erasures,
            self.tasks,
            RecordEraser(stores.erasures, stores.annotations, raw, artifacts, self.clock),
            ProjectEraser(
                stores.erasures,
                stores.projects,
                stores.images,
                self.tagging,
                stores.iterations,
                SnapshotEraser(artifacts),
                stores.predictions,
                stores.suggestions,
                artifacts,
            ),
            CopySweeper(stores.erasures, stores.datasets, stores.models, self.tasks, stores.queries, artifacts),
            ReceiptWriter(stores.erasures, stores.models, stores.releases, artifacts, self.clock),
            artifacts,
            self.clock,
        )
