"""Services of raw data, labels, tasks and keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from dataloop.bootstrap.stores import Stores
from dataloop.services.clock import Clock

if TYPE_CHECKING:
    from dataloop.domain.residency import Residency
    from dataloop.domain.tasks import Task
    from dataloop.services.annotating import AnnotationService
    from dataloop.services.claiming import ClaimService
    from dataloop.services.deleting import DeletionChoice
    from dataloop.services.erasing import ErasureService
    from dataloop.services.gathering import GatheringService
    from dataloop.services.hashing import HashService
    from dataloop.services.keyring import KeyringService
    from dataloop.services.registering import RegistrationService
    from dataloop.services.retaining import RetentionService
    from dataloop.services.searching import SearchService
    from dataloop.services.tracking import TaskService
    from dataloop.services.uploading import UploadService


class DataServices:
    """What registers, labels, finds and deletes raw data. Later groups build on earlier ones."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self.stores = stores
        self.settings = stores.settings
        self.clock = clock

    def endings(self) -> dict[str, Callable[[Task], None]]:
        """What must be done when a task of a kind ends; the later groups know."""
        return {}

    @cached_property
    def residency(self) -> Residency:
        from dataloop.domain.residency import Residency

        return Residency(self.settings.residency, self.settings.level_order)

    @cached_property
    def keyring(self) -> KeyringService:
        from dataloop.services.keyring import KeyringService

        stores, is_open = self.stores, self.settings.allow_anonymous
        return KeyringService(stores.keys, self.clock, is_open, self.residency, stores.signing_root)

    @cached_property
    def claiming(self) -> ClaimService:
        from dataloop.services.claiming import ClaimService

        return ClaimService(self.stores.once, self.clock)

    @cached_property
    def registering(self) -> RegistrationService:
        from dataloop.services.registering import RegistrationService

        # Made only when a late copy of erased content turns up: ingest pays nothing for it.
        return RegistrationService(
            self.stores.raw_data, self.stores.raw, self.clock, lambda *found: self.erasing.erase_late(*found)
        )

    @cached_property
    def hashing(self) -> HashService:
        from dataloop.services.hashing import HashService

        stores = self.stores
        return HashService(stores.keys, stores.raw_data, stores.raw, stores.ingest_queue, self.clock)

    @cached_property
    def uploading(self) -> UploadService:
        from dataloop.services.uploading import UploadService

        return UploadService(self.stores.raw_data, self.stores.raw, self.clock)

    @cached_property
    def annotating(self) -> AnnotationService:
        from dataloop.services.annotating import AnnotationService

        return AnnotationService(self.stores.annotations, self.registering, self.clock)

    @cached_property
    def gathering(self) -> GatheringService:
        from dataloop.services.gathering import GatheringService

        stores = self.stores
        return GatheringService(stores.raw_data, stores.annotations, stores.artifacts, stores.raw)

    @cached_property
    def searching(self) -> SearchService:
        from dataloop.services.searching import SearchService

        stores = self.stores
        return SearchService(stores.raw_data, stores.postings, stores.queries, self.gathering, self.clock)

    @cached_property
    def tasks(self) -> TaskService:
        """With the endings of all kinds registered, because any function may be the one to end a task."""
        from dataloop.services.tracking import TaskService

        tasks = TaskService(self.stores.tasks, self.stores.machines, self.stores.artifacts, self.clock)
        tasks.endings = self.endings()
        return tasks

    @cached_property
    def erasing(self) -> ErasureService:
        from dataloop.services.erasing import ErasureService

        stores = self.stores
        return ErasureService(stores.deletions, stores.erasures, self.tasks, stores.artifacts, self.clock)

    @cached_property
    def deleting(self) -> DeletionChoice:
        from dataloop.services.deleting import DeletionChoice

        return DeletionChoice(self.searching)

    @cached_property
    def retaining(self) -> RetentionService:
        from dataloop.services.retaining import RetentionService

        stores = self.stores
        return RetentionService(
            stores.retention,
            self.searching,
            self.erasing,
            stores.datasets,
            stores.models,
            stores.releases,
            stores.artifacts,
            self.clock,
        )
