"""The only wiring: clients and settings in, services out. Tests call the same `build` with moto's clients.

Services are made when first used, and their modules are imported then: a function pays only for what it does.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataloop import settings as settings_module
from dataloop.services.clock import Clock
from dataloop.settings import Settings

if TYPE_CHECKING:
    from dataloop.gateways.bus import EventBus
    from dataloop.gateways.machines import Machines
    from dataloop.gateways.model_registry import ModelRegistry
    from dataloop.gateways.objects import Bucket
    from dataloop.gateways.queues import Queue
    from dataloop.repositories.access_keys import AccessKeyRepository
    from dataloop.repositories.annotations import AnnotationRepository
    from dataloop.repositories.datasets import DatasetRepository
    from dataloop.repositories.loops import LoopRepository
    from dataloop.repositories.models import ModelRepository
    from dataloop.repositories.once import OnceRepository
    from dataloop.repositories.raw_data import RawDataRepository
    from dataloop.repositories.releases import ReleaseRepository
    from dataloop.repositories.table import Table
    from dataloop.repositories.tasks import TaskRepository
    from dataloop.services.advising import AdviceService
    from dataloop.services.analysing import AnalysisService
    from dataloop.services.annotating import AnnotationService
    from dataloop.services.building import BuildService
    from dataloop.services.choosing import ModelChooser
    from dataloop.services.claiming import ClaimService
    from dataloop.services.curating import DatasetService
    from dataloop.services.gathering import GatheringService
    from dataloop.services.importing import ImportService
    from dataloop.services.job_inputs import JobInputs
    from dataloop.services.judging import JudgingService
    from dataloop.services.keyring import KeyringService
    from dataloop.services.loop_steps import LoopSteps
    from dataloop.services.looping import LoopService
    from dataloop.services.predicting import PredictionService
    from dataloop.services.registering import RegistrationService
    from dataloop.services.releasing import ReleaseService
    from dataloop.services.sweeping import SweepService
    from dataloop.services.tracing import TracingService
    from dataloop.services.tracking import TaskService
    from dataloop.services.training import TrainingService
    from dataloop.services.uploading import UploadService


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
    def loops(self) -> LoopRepository:
        from dataloop.repositories.loops import LoopRepository

        return LoopRepository(self.table)

    @cached_property
    def keys(self) -> AccessKeyRepository:
        from dataloop.repositories.access_keys import AccessKeyRepository

        return AccessKeyRepository(self.table)

    @cached_property
    def once(self) -> OnceRepository:
        from dataloop.repositories.once import OnceRepository
        from dataloop.repositories.table import Table

        return OnceRepository(Table(self._clients.dynamodb, self.settings.once_table))


class Services:
    """Every use case. `stores` is for the wiring and for tests; adapters use services."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self.stores = stores
        self.settings = stores.settings
        self.clock = clock

    @cached_property
    def keyring(self) -> KeyringService:
        from dataloop.services.keyring import KeyringService

        return KeyringService(self.stores.keys, self.clock, self.settings.allow_anonymous)

    @cached_property
    def claiming(self) -> ClaimService:
        from dataloop.services.claiming import ClaimService

        return ClaimService(self.stores.once, self.clock)

    @cached_property
    def registering(self) -> RegistrationService:
        from dataloop.services.registering import RegistrationService

        return RegistrationService(self.stores.raw_data, self.stores.raw, self.clock)

    @cached_property
    def uploading(self) -> UploadService:
        from dataloop.services.uploading import UploadService

        return UploadService(self.stores.raw_data, self.stores.raw, self.clock)

    @cached_property
    def annotating(self) -> AnnotationService:
        from dataloop.services.annotating import AnnotationService

        return AnnotationService(self.stores.annotations, self.clock)

    @cached_property
    def importing(self) -> ImportService:
        from dataloop.services.importing import ImportService

        stores = self.stores
        return ImportService(self.annotating, self.tasks, stores.raw, stores.ingest_queue)

    @cached_property
    def curating(self) -> DatasetService:
        from dataloop.services.curating import DatasetService

        return DatasetService(self.stores.datasets, self.stores.annotations, self.stores.artifacts, self.clock)

    @cached_property
    def tasks(self) -> TaskService:
        """With the endings of all kinds registered, because any function may be the one to end a task."""
        from dataloop.services.tracking import TaskService

        tasks = TaskService(self.stores.tasks, self.stores.machines, self.stores.artifacts, self.clock)
        tasks.endings = {
            "build": lambda task: self.building.end_build(task),
            "train": lambda task: self.training.end_training(task),
            "release": lambda task: self.releasing.end_release(task),
            "loop": lambda task: self.loop_steps.end_run(task),
        }
        return tasks

    @cached_property
    def building(self) -> BuildService:
        from dataloop.services.building import BuildService

        stores = self.stores
        return BuildService(
            stores.datasets, stores.annotations, stores.raw_data, self.tasks, stores.artifacts, self.clock
        )

    @cached_property
    def job_inputs(self) -> JobInputs:
        from dataloop.services.job_inputs import JobInputs

        return JobInputs(self.stores.artifacts, self.stores.raw)

    @cached_property
    def training(self) -> TrainingService:
        from dataloop.services.training import TrainingService

        stores = self.stores
        return TrainingService(
            stores.datasets,
            stores.models,
            self.tasks,
            self.job_inputs,
            stores.registry,
            stores.artifacts,
            self.clock,
            self.settings,
        )

    @cached_property
    def advising(self) -> AdviceService:
        from dataloop.services.advising import AdviceService

        return AdviceService(self.training, self.stores.artifacts, self.settings)

    @cached_property
    def judging(self) -> JudgingService:
        from dataloop.services.judging import JudgingService

        stores = self.stores
        return JudgingService(
            stores.datasets, stores.models, self.tasks, self.job_inputs, stores.artifacts, self.clock, self.settings
        )

    @cached_property
    def gathering(self) -> GatheringService:
        from dataloop.services.gathering import GatheringService

        stores = self.stores
        return GatheringService(stores.raw_data, stores.annotations, stores.artifacts, stores.raw)

    @cached_property
    def analysing(self) -> AnalysisService:
        from dataloop.services.analysing import AnalysisService
        from dataloop.services.suggesting import SuggestionService

        stores = self.stores
        return AnalysisService(
            stores.models,
            self.choosing,
            stores.datasets,
            self.tasks,
            self.gathering,
            SuggestionService(stores.annotations, self.gathering, stores.artifacts, self.clock),
            self.job_inputs,
            stores.artifacts,
            self.clock,
            self.settings,
        )

    @cached_property
    def choosing(self) -> ModelChooser:
        from dataloop.services.choosing import ModelChooser

        return ModelChooser(self.stores.models, self.stores.releases)

    @cached_property
    def predicting(self) -> PredictionService:
        from dataloop.services.predicting import PredictionService

        return PredictionService(self.choosing, self.stores.raw_data, self.stores.raw, self.stores.artifacts)

    @cached_property
    def releasing(self) -> ReleaseService:
        from dataloop.services.releasing import ReleaseService

        stores = self.stores
        return ReleaseService(
            stores.releases, stores.models, self.tasks, stores.machines, stores.registry, stores.artifacts, self.clock
        )

    @cached_property
    def looping(self) -> LoopService:
        from dataloop.domain.retraining import Thresholds
        from dataloop.services.looping import LoopService

        stores, settings = self.stores, self.settings
        return LoopService(
            stores.loops,
            stores.datasets,
            self.curating,
            stores.annotations,
            stores.raw_data,
            self.releasing,
            self.tasks,
            stores.artifacts,
            self.clock,
            Thresholds(
                min_new=settings.retrain_min_new,
                fraction=settings.retrain_fraction,
                max_age_days=settings.retrain_max_age_days,
                cooldown_s=settings.retrain_cooldown_seconds,
            ),
        )

    @cached_property
    def loop_steps(self) -> LoopSteps:
        from dataloop.services.loop_steps import LoopSteps

        stores = self.stores
        return LoopSteps(
            self.looping,
            self.building,
            self.training,
            self.judging,
            self.releasing,
            stores.models,
            self.tasks,
            stores.loop_queue,
            self.clock,
        )

    @cached_property
    def tracing(self) -> TracingService:
        from dataloop.services.tracing import TracingService

        stores = self.stores
        return TracingService(stores.datasets, stores.models, stores.releases, stores.artifacts)

    @cached_property
    def sweeping(self) -> SweepService:
        from dataloop.services.sweeping import SweepService

        stores = self.stores
        return SweepService(
            stores.keys,
            stores.raw_data,
            stores.raw,
            stores.ingest_queue,
            self.tasks,
            self.looping,
            self.clock,
            self.settings.orphan_after_days,
        )


def build(clients: Any, settings: Settings, clock: Clock | None = None) -> Services:
    """Services over given clients; nothing is created until it is used."""
    return Services(Stores(clients, settings), clock or Clock())


def from_environment() -> Services:
    """What every Lambda calls once, when it is imported. Raises SettingError."""
    from dataloop.gateways.clients import Clients

    settings = settings_module.read()
    return build(Clients(settings.region), settings)
