"""The only wiring: clients and settings in, services out. Tests call the same `build` with moto's clients.

Services are made when first used, and their modules are imported then: a function pays only for what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataloop import settings as settings_module
from dataloop.bootstrap.projects import ProjectServices
from dataloop.bootstrap.stores import Stores
from dataloop.services.clock import Clock
from dataloop.settings import Settings

if TYPE_CHECKING:
    from dataloop.domain.tasks import Task
    from dataloop.services.sweeping import SweepService


class Services(ProjectServices):
    """Every use case. `stores` is for the wiring and for tests; adapters use services."""

    def endings(self) -> dict[str, Callable[[Task], None]]:
        return {
            "build": lambda task: self.building.end_build(task),
            "train": lambda task: self.training.end_training(task),
            "release": lambda task: self.releasing.end_release(task),
            "loop": lambda task: self.loop_steps.end_run(task),
            "copy_project": lambda task: self.copying.end_copy(task),
            "train_project": lambda task: self.iterating.end_training(task),
        }

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
            self.removing,
            self.project_deletions,
            self.retaining,
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
