"""Enrolment: what is declared is implemented, what is implemented is declared."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataloop_jobs.declarations import ARCHITECTURES, EXPORTERS, TASK_TYPES, Declaration
from dataloop_jobs.faults import MissingRequirement
from dataloop_jobs.task_types.surface import TaskType
from tests.jobs.job_folder import RUN

PACKAGE = RUN.parent / "dataloop_jobs"
# Files of a family's folder that are not members of it.
NOT_MEMBERS = {"__init__", "surface", "verification"}
CATALOGS: list[Mapping[str, Declaration]] = [TASK_TYPES, ARCHITECTURES, EXPORTERS]


@pytest.mark.parametrize("catalog", CATALOGS)
def test_each_declaration_has_a_file_and_each_file_a_declaration(catalog: Mapping[str, Declaration]) -> None:
    (family,) = {declaration.family for declaration in catalog.values()}
    files = {path.stem for path in (PACKAGE / family).glob("*.py")} - NOT_MEMBERS
    assert files == set(catalog)
    for declaration in catalog.values():
        assert declaration.text
        declaration.load()


def test_every_task_type_has_the_whole_surface() -> None:
    wanted = {name for name, _ in inspect.getmembers(TaskType, inspect.isfunction) if not name.startswith("_")}
    for declaration in TASK_TYPES.values():
        task = declaration.load().IMPLEMENTATION
        assert task.name == declaration.name
        for name in wanted:
            ours = inspect.signature(getattr(type(task), name)).parameters
            assert list(ours) == list(inspect.signature(getattr(TaskType, name)).parameters), name


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_supports_declared_task_types_and_names_its_channels(name: str) -> None:
    declaration = ARCHITECTURES[name]
    assert declaration.supports
    assert set(declaration.supports) <= set(TASK_TYPES)
    try:
        backbone = declaration.load().build_backbone(0, pretrained=False)
    except MissingRequirement as error:
        pytest.skip(str(error))
    assert set(backbone.channels) == {8, 16, 32}


def test_every_exporter_has_the_same_surface() -> None:
    for declaration in EXPORTERS.values():
        module = declaration.load()
        assert list(inspect.signature(module.export).parameters) == ["job"]
        assert list(inspect.signature(module.verify).parameters) == ["job"]


def test_a_format_with_packages_of_its_own_has_a_requirement_file() -> None:
    files = {path.stem for path in (RUN.parent / "exports").glob("*.txt")}
    assert files - {"paddle_lite_opt"} == {name for name, entry in EXPORTERS.items() if entry.modules}


def test_run_py_looks_for_each_module_of_the_requirements() -> None:
    text = (RUN.parent / "requirements.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^([A-Za-z0-9-]+)", text, flags=re.MULTILINE)
    modules = re.search(r"MODULES = \((.*?)\)", RUN.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert modules
    named = re.findall(r'"(\w+)"', modules.group(1))
    assert [package.replace("-", "_") for package in packages] == [
        {"PIL": "pillow", "yaml": "pyyaml"}.get(name, name) for name in named
    ]


def test_jobs_import_only_what_travels_with_them_and_no_torchvision() -> None:
    carried = (RUN.parent / "carried.txt").read_text(encoding="utf-8")
    packages = "|".join(re.findall(r" dataloop/(\w+)$", carried, flags=re.MULTILINE))
    core = rf"dataloop(?!\.(?:{packages})\b| import (?:{packages})\b)"
    forbidden = re.compile(
        rf"^\s*(?:from|import) ({core}|dataloop_local|ankerautotrainsdk|torchvision)\b", re.MULTILINE
    )
    assert forbidden.search("from dataloop.services import steps")
    for path in [RUN, *Path(PACKAGE).rglob("*.py")]:
        assert not forbidden.search(path.read_text(encoding="utf-8")), path
