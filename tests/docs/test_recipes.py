"""What the how-to pages promise to turn red: what is declared in the core is declared in the jobs, and the other way."""

from __future__ import annotations

import inspect
from dataclasses import fields

from pydantic import BaseModel

from api_sdk import requests
from dataloop.catalog import architectures, exporters, selections, task_types
from dataloop.domain import analyses
from dataloop.services.steps import STEPS
from dataloop.settings import Settings
from dataloop_jobs import declarations
from dataloop_jobs.selection import uncertainty
from dataloop_jobs.task_types.surface import TaskType
from tests.docs.pages import DOCS, ROOT, prose


def test_core_and_jobs_know_the_same_task_types_and_metrics() -> None:
    ours = {kind.name: kind.primary for kind in task_types.TASK_TYPES}
    theirs = {name: entry.load().IMPLEMENTATION.primary_name for name, entry in declarations.TASK_TYPES.items()}
    assert ours == theirs


def test_core_and_jobs_know_the_same_architectures_for_the_same_tasks() -> None:
    ours = {entry.name: set(entry.task_types) for entry in architectures.ARCHITECTURES}
    assert ours == {name: set(entry.supports) for name, entry in declarations.ARCHITECTURES.items()}
    assert architectures.DEFAULT in ours


def test_core_and_jobs_know_the_same_export_formats() -> None:
    assert set(exporters.FORMATS) == set(declarations.EXPORTERS)


def test_core_and_jobs_know_which_formats_have_no_place_for_masks() -> None:
    masks = {entry.name for entry in task_types.TASK_TYPES if entry.needs == "mask"}
    ours = {entry.name for entry in exporters.EXPORTERS if not entry.takes_masks}
    theirs = {name for name, entry in declarations.EXPORTERS.items() if entry.supports}
    assert ours == theirs
    for name in theirs:
        assert set(declarations.EXPORTERS[name].supports) == set(declarations.TASK_TYPES) - masks


def test_core_and_jobs_know_the_same_ways_to_select() -> None:
    assert {entry.name: entry.needs_model for entry in selections.STRATEGIES} == declarations.SELECTIONS
    assert selections.MEASURES == uncertainty.MEASURES


def test_a_format_that_needs_its_own_environment_says_what_is_in_it() -> None:
    ours = {entry.name for entry in exporters.EXPORTERS if entry.needs_own_environment}
    assert ours == {name for name, entry in declarations.EXPORTERS.items() if entry.modules}
    assert all((ROOT / f"jobs/exports/{name}.txt").is_file() for name in ours)


def test_the_description_of_the_api_knows_the_same_words() -> None:
    def words(model: type[BaseModel], field: str) -> set[str]:
        schema = model.model_json_schema()["properties"][field]
        options = schema.get("anyOf", [schema])
        return {word for option in options for word in option.get("enum", [])}

    assert words(requests.Export, "format") == set(exporters.FORMATS)
    assert words(requests.Select, "strategy") == {entry.name for entry in selections.STRATEGIES}
    assert words(requests.Select, "measure") == set(selections.MEASURES)
    assert words(requests.ImageQuery, "labels") == set(analyses.LABEL_STATES)


def test_an_annotation_type_means_one_task_type() -> None:
    words = [word for kind in task_types.TASK_TYPES for word in kind.annotation_types]
    assert len(words) == len(set(words))


def test_the_recipe_for_state_machines_names_a_step_that_exists() -> None:
    assert "dataset.join" in STEPS
    assert "`dataset.join`" in prose(DOCS / "how-to/state-machine.md")


def test_the_recipe_for_settings_shows_a_setting_that_exists() -> None:
    assert "orphan_after_days" in {field.name for field in fields(Settings)}
    assert "`orphan_after_days`" in prose(DOCS / "how-to/settings.md")


def test_the_recipe_for_task_types_names_the_whole_surface() -> None:
    page = prose(DOCS / "how-to/task-type.md")
    functions = [name for name, _ in inspect.getmembers(TaskType, inspect.isfunction) if not name.startswith("_")]
    assert [name for name in functions if f"`{name}`" not in page] == []
