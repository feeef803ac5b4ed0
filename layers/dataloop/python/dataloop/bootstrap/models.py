"""Services of models: training, evaluation, analyses, releases, loops."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dataloop.bootstrap.datasets import DatasetServices

if TYPE_CHECKING:
    from dataloop.services.advising import AdviceService
    from dataloop.services.analysing import AnalysisService
    from dataloop.services.choosing import ModelChooser
    from dataloop.services.job_inputs import JobInputs
    from dataloop.services.judging import JudgingService
    from dataloop.services.loop_steps import LoopSteps
    from dataloop.services.looping import LoopService
    from dataloop.services.predicting import PredictionService
    from dataloop.services.releasing import ReleaseService
    from dataloop.services.training import TrainingService


class ModelServices(DatasetServices):
    """What trains, judges, asks and releases models."""

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
            stores.releases,
            stores.models,
            self.tasks,
            stores.machines,
            stores.registry,
            stores.artifacts,
            self.clock,
            self.residency,
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
            self.residency,
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
