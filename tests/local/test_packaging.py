"""Packaging: deterministic, complete, and only what belongs to the application."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dataloop_local.deployment.deploy import stack_parameters
from dataloop_local.deployment.job_code import read_job_code
from dataloop_local.deployment.package import package, zip_folder
from dataloop_local.deployment.template import load_template
from dataloop_local.settings import LocalRuntimeError, Settings
from tests.local.stack import APP


def names(archive: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(archive)).namelist())


def test_short_forms_become_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "A: !Ref X\nB: !GetAtt X.Arn.More\nC: !Sub ['${a}', {a: !Ref Y}]\nD: !If [C, 1, 2]\nE: 2012-10-17\nF: !Condition G\n"
    )

    assert load_template(path) | {"E": None} == {
        "A": {"Ref": "X"},
        "B": {"Fn::GetAtt": ["X", "Arn.More"]},
        "C": {"Fn::Sub": ["${a}", {"a": {"Ref": "Y"}}]},
        "D": {"Fn::If": ["C", 1, 2]},
        "E": None,
        "F": {"Condition": "G"},
    }


def test_an_archive_depends_on_content_only(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "a.py").write_text("a = 1")
    first = zip_folder(tmp_path)
    (tmp_path / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / "pkg" / "a.py").touch()

    assert zip_folder(tmp_path) == first
    assert names(first) == {"pkg/a.py"}


def test_paths_become_objects_and_third_party_layers_a_note() -> None:
    prepared = package(load_template(APP), APP.parent, "bucket")
    resources = prepared.template["Resources"]

    code = resources["ProbeFunction"]["Properties"]["CodeUri"]
    assert code == resources["StreamFunction"]["Properties"]["CodeUri"]
    assert "probe/handler.py" in names(prepared.objects[code["Key"]])
    assert names(prepared.objects[resources["SharedLayer"]["Properties"]["ContentUri"]["Key"]]) == {
        "python/shared_layer/__init__.py"
    }
    assert names(prepared.objects[resources["DepsLayer"]["Properties"]["ContentUri"]["Key"]]) == {"python/README"}
    machine = resources["TrainingMachine"]["Properties"]["DefinitionUri"]
    assert b"createTrainingJob.sync" in prepared.objects[machine["Key"]]


def test_a_built_layer_keeps_what_it_has_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "layer" / "python" / "ours").mkdir(parents=True)
    (tmp_path / "layer" / "Makefile").write_text("build-X:")
    (tmp_path / "layer" / "python" / "ours" / "a.py").write_text("a = 1")
    layer = {
        "Type": "AWS::Serverless::LayerVersion",
        "Metadata": {"BuildMethod": "makefile"},
        "Properties": {"ContentUri": "layer/"},
    }

    prepared = package({"Resources": {"X": layer}}, tmp_path, "bucket")

    key = prepared.template["Resources"]["X"]["Properties"]["ContentUri"]["Key"]
    assert names(prepared.objects[key]) == {"python/README", "python/ours/a.py"}


def test_the_digest_of_job_code_follows_its_content(tmp_path: Path) -> None:
    assert read_job_code(tmp_path) is None
    (tmp_path / "jobs" / "dataloop_jobs").mkdir(parents=True)
    (tmp_path / "jobs" / "run.py").write_text("1")
    (tmp_path / "jobs" / "dataloop_jobs" / "a.py").write_text("2")
    first = read_job_code(tmp_path)
    assert first is not None
    assert set(first.files) == {"run.py", "dataloop_jobs/a.py"}
    (tmp_path / "jobs" / "dataloop_jobs" / "a.py").write_text("3")
    second = read_job_code(tmp_path)
    assert second is not None
    assert first.digest != second.digest


def test_parameters_are_the_machine_s_where_declared_and_the_caller_s_win(tmp_path: Path) -> None:
    template = load_template(APP)
    code = read_job_code(APP.parent)
    assert code is not None
    settings = Settings(state_dir=tmp_path, parameters={"Marker": "mine"}, anonymous=True)

    assert stack_parameters(settings, template, code) == {
        "AllowAnonymous": "true",
        "CodeDigest": code.digest,
        "Marker": "mine",
    }
    with pytest.raises(LocalRuntimeError, match="no parameter Other"):
        stack_parameters(Settings(state_dir=tmp_path, parameters={"Other": "1"}), template, code)
