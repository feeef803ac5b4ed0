"""Repositories and gateways, made when first used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataloop.settings import Settings

if TYPE_CHECKING:
    from dataloop.gateways.bus import EventBus
    from dataloop.gateways.erasable import ErasableBucket
    from dataloop.gateways.fetching import Fetcher
    from dataloop.gateways.link_signing import LinkSigner
    from dataloop.gateways.machines import Machines
    from dataloop.gateways.model_registry import ModelRegistry
    from dataloop.gateways.objects import Bucket
    from dataloop.gateways.queues import Queue
    from dataloop.gateways.secrets import Secret
    from dataloop.repositories.access_keys import AccessKeyRepository
    from dataloop.repositories.annotations import AnnotationRepository
    from dataloop.repositories.datasets import DatasetRepository
    from dataloop.repositories.deletions import DeletionRepository
    from dataloop.repositories.erasures import ErasureRepository
    from dataloop.repositories.images import ImageRepository
    from dataloop.repositories.iterations import IterationRepository
    from dataloop.repositories.loops import LoopRepository
    from dataloop.repositories.models import ModelRepository
    from dataloop.repositories.once import OnceRepository
    from dataloop.repositories.postings import PostingRepository
    from dataloop.repositories.predictions import PredictionRepository
    from dataloop.repositories.projects import ProjectRepository
    from dataloop.repositories.queries import QueryRepository
    from dataloop.repositories.raw_data import RawDataRepository
    from dataloop.repositories.releases import ReleaseRepository
    from dataloop.repositories.removals import RemovalRepository
    from dataloop.repositories.retention import RetentionRepository
    from dataloop.repositories.suggestions import SuggestionRepository
    from dataloop.repositories.table import Table
    from dataloop.repositories.tasks import TaskRepository
    from dataloop.repositories.terms import TermIndex


class Stores:
    """Repositories and gateways."""

    def __init__(self, clients: Any, settings: Settings) -> None:
        self._clients = clients
        self.settings = settings

    @cached_property
    def table(self) -> Table:
        from dataloop.repositories.table import Table

        return Table(self._clients.dynamodb, self.settings.table)

    @cached_property
    def raw(self) -> Bucket:
        from dataloop.gateways.objects import Bucket

        return Bucket(self._clients.s3, self.settings.raw_bucket)

    @cached_property
    def artifacts(self) -> Bucket:
        from dataloop.gateways.objects import Bucket

        return Bucket(self._clients.s3, self.settings.artifacts_bucket)

    @cached_property
    def raw_links(self) -> LinkSigner:
        return self._link_signer(self.settings.raw_bucket)

    @cached_property
    def artifact_links(self) -> LinkSigner:
        return self._link_signer(self.settings.artifacts_bucket)

    def _link_signer(self, bucket: str) -> LinkSigner:
        from dataloop.gateways.link_signing import LinkSigner

        return LinkSigner(self._clients.s3, bucket, self.settings.region, self._clients.credentials)

    @cached_property
    def fetcher(self) -> Fetcher:
        from dataloop.gateways.fetching import Fetcher

        return Fetcher(self.settings.local_url_hosts.split(","))

    @cached_property
    def ingest_queue(self) -> Queue:
        from dataloop.gateways.queues import Queue

        return Queue(self._clients.sqs, self.settings.ingest_queue_url)

    @cached_property
    def loop_queue(self) -> Queue:
        from dataloop.gateways.queues import Queue

        return Queue(self._clients.sqs, self.settings.loop_queue_url)

    @cached_property
    def bus(self) -> EventBus:
        from dataloop.gateways.bus import EventBus

        return EventBus(self._clients.events, self.settings.event_bus)

    @cached_property
    def machines(self) -> Machines:
        from dataloop.gateways.machines import Machines

        return Machines(self._clients.states, self.settings)

    @cached_property
    def registry(self) -> ModelRegistry:
        from dataloop.gateways.model_registry import ModelRegistry

        return ModelRegistry(self._clients.sagemaker, self.settings.model_package_group)

    @cached_property
    def signing_root(self) -> Secret:
        from dataloop.gateways.secrets import Secret

        return Secret(lambda: self._clients.secrets, self.settings.signing_secret)

    @cached_property
    def raw_data(self) -> RawDataRepository:
        from dataloop.repositories.raw_data import RawDataRepository

        return RawDataRepository(self.table)

    @cached_property
    def annotations(self) -> AnnotationRepository:
        from dataloop.repositories.annotations import AnnotationRepository

        return AnnotationRepository(self.table, self.artifacts)

    @cached_property
    def datasets(self) -> DatasetRepository:
        from dataloop.repositories.datasets import DatasetRepository

        return DatasetRepository(self.table)

    @cached_property
    def removals(self) -> RemovalRepository:
        from dataloop.repositories.removals import RemovalRepository

        return RemovalRepository(self.table, self.datasets)

    @cached_property
    def tasks(self) -> TaskRepository:
        from dataloop.repositories.tasks import TaskRepository

        return TaskRepository(self.table)

    @cached_property
    def models(self) -> ModelRepository:
        from dataloop.repositories.models import ModelRepository

        return ModelRepository(self.table)

    @cached_property
    def releases(self) -> ReleaseRepository:
        from dataloop.repositories.releases import ReleaseRepository

        return ReleaseRepository(self.table)

    @cached_property
    def iterations(self) -> IterationRepository:
        from dataloop.repositories.iterations import IterationRepository

        return IterationRepository(self.table)

    @cached_property
    def loops(self) -> LoopRepository:
        from dataloop.repositories.loops import LoopRepository

        return LoopRepository(self.table)

    @cached_property
    def postings(self) -> PostingRepository:
        from dataloop.repositories.postings import PostingRepository

        return PostingRepository(self.table)

    @cached_property
    def queries(self) -> QueryRepository:
        from dataloop.repositories.queries import QueryRepository

        return QueryRepository(self.table)

    @cached_property
    def projects(self) -> ProjectRepository:
        from dataloop.repositories.projects import ProjectRepository

        return ProjectRepository(self.table)

    @cached_property
    def predictions(self) -> PredictionRepository:
        from dataloop.repositories.predictions import PredictionRepository

        return PredictionRepository(self.table)

    @cached_property
    def suggestions(self) -> SuggestionRepository:
        from dataloop.repositories.suggestions import SuggestionRepository

        return SuggestionRepository(self.table)

    @cached_property
    def images(self) -> ImageRepository:
        from dataloop.repositories.images import ImageRepository

        return ImageRepository(self.table)

    @cached_property
    def terms(self) -> TermIndex:
        from dataloop.repositories.terms import TermIndex

        return TermIndex(self.table, self.images)

    @cached_property
    def keys(self) -> AccessKeyRepository:
        from dataloop.repositories.access_keys import AccessKeyRepository

        return AccessKeyRepository(self.table)

    @cached_property
    def once(self) -> OnceRepository:
        from dataloop.repositories.once import OnceRepository
        from dataloop.repositories.table import Table

        return OnceRepository(Table(self._clients.dynamodb, self.settings.once_table))

    @cached_property
    def deletions(self) -> DeletionRepository:
        from dataloop.repositories.deletions import DeletionRepository

        return DeletionRepository(self.table)

    @cached_property
    def erasures(self) -> ErasureRepository:
        from dataloop.repositories.erasures import ErasureRepository

        return ErasureRepository(self.table)

    @cached_property
    def retention(self) -> RetentionRepository:
        from dataloop.repositories.retention import RetentionRepository

        return RetentionRepository(self.table)

    @cached_property
    def erasable_raw(self) -> ErasableBucket:
        from dataloop.gateways.erasable import ErasableBucket

        return ErasableBucket(self._clients.s3, self.settings.raw_bucket)

    @cached_property
    def erasable_artifacts(self) -> ErasableBucket:
        from dataloop.gateways.erasable import ErasableBucket

        return ErasableBucket(self._clients.s3, self.settings.artifacts_bucket)
