"""Predict, select, measure: which images a job gets, what it is told, and what stays of what it found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.domain.analyses import make_image_query
from dataloop.domain.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.tasks import Task
from tests.actions import (
    analysis_output,
    image,
    info,
    label,
    labelled,
    meta,
    put,
    ready_version,
    release,
    run_build,
    trained_model,
)
from tests.core import ARTIFACTS, RAW, Core

TODAY = "2026-11-22"


def unlabelled(core: Core, name: str, **facts: Any) -> str:
    """An uploaded and described image that nobody has labelled; returns its uid."""
    uid, notice = put(core, f"new/{name}.jpg")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid) | facts)
    return uid


def model(core: Core, value: float = 0.8, **wish: Any) -> str:
    return trained_model(core, ready_version(core, labelled(core, 4)).id, value, **wish)


def written(core: Core, task: Task, name: str) -> Any:
    """What lies in the job's folder: a JSON value, or the rows of a .jsonl file."""
    body = core.objects()[f"default/analyses/{task.id}/input/{name}"]
    return [json.loads(line) for line in body.splitlines()] if name.endswith("l") else json.loads(body)


def test_a_prediction_names_images_in_the_order_asked_and_reports_what_cannot_be_used(core: Core) -> None:
    # given two sound images, one that was never uploaded and a file that is no image
    one, two = unlabelled(core, "1", extra={"group": "kitchen"}), unlabelled(core, "2", region="DE")
    text, notice = put(core, "new/notes.txt", b"not an image at all")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(text) | {"type": "file"})
    asked = [two, "0" * 32, one, text, two]
    # when
    task = core.services.analysing.request_prediction("default", {"model_id": model(core), "uids": asked})
    job = core.again().analysing.prepare("default", task.id)
    # then the job's folder has the sound ones, each once
    rows = written(core, task, "images.jsonl")
    assert [row["uid"] for row in rows] == [two, one]
    assert set(rows[0]) == {"uid", "sha256", "width", "height", "group", "attributes"}
    assert rows[0]["attributes"]["region"] == "DE"
    assert [row["group"] for row in rows] == [two, "kitchen"]
    assert [row["key"] for row in written(core, task, "objects.jsonl")] == ["new/2.jpg", "new/1.jpg"]
    assert written(core, task, "images.manifest") == [{"prefix": f"s3://{RAW}/"}, "new/2.jpg", "new/1.jpg"]
    # and the job is told where everything is
    inputs = {entry["InputName"]: entry["S3Input"]["S3Uri"] for entry in job["processing_inputs"]}
    assert set(inputs) == {"code", "dataset", "images", "model"}
    assert inputs["dataset"] == f"s3://{ARTIFACTS}/default/analyses/{task.id}/input/"
    assert (job["arguments"], job["environment"]) == (["predict"], {})
    # and what is missing is a number in the result, not a failure
    analysis_output(core, task.id, predictions={one: [], two: []})
    core.again().analysing.record("default", task.id)
    found = core.services.tasks.get("default", task.id)
    assert found.status == "SUCCEEDED"
    assert found.result["not_used"]["counts"] == {"missing_object": 1, "not_an_image": 1}
    assert found.result["not_used"]["examples"]["missing_object"] == ["0" * 32]
    assert found.result["images"] == 2


def test_the_files_of_a_prediction_are_links_and_no_keys(core: Core) -> None:
    uid = unlabelled(core, "1")
    task = core.services.analysing.request_prediction("default", {"model_id": model(core), "uids": [uid]})
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions={uid: []})
    core.again().analysing.record("default", task.id)
    files = core.services.tasks.files(core.services.tasks.read("default", task.id))
    assert sorted(file["name"] for file in files) == ["predictions.jsonl", "summary.json"]
    assert all(set(file) == {"name", "size_bytes", "url"} and file["size_bytes"] > 0 for file in files)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, ["1", "2"]),
        ({"from": TODAY, "to": TODAY}, ["1", "2"]),
        ({"from": "2026-11-20", "to": "2026-11-21"}, ["0"]),
        ({"from": "2026-11-20"}, ["0"]),
        ({"from": "2026-11-01", "to": TODAY}, ["0", "1", "2"]),
        ({"from": "2026-11-01", "to": TODAY, "regions": ["DE"]}, ["2"]),
        ({"from": "2026-11-01", "to": TODAY, "sources": ["button"]}, ["0"]),
        ({"from": "2026-11-01", "to": TODAY, "labels": "none"}, ["1", "2"]),
        ({"from": "2026-11-01", "to": TODAY, "labels": "suggested"}, ["0"]),
        ({"from": "2026-11-01", "to": TODAY, "limit": 1}, ["0"]),
    ],
)
def test_a_query_finds_images_by_day_place_and_labels(core: Core, query: dict[str, Any], wanted: list[str]) -> None:
    # given one image two days ago that a model has labelled, and two of today that nobody has
    core.clock.move(days=-2)
    uids = {unlabelled(core, "0", sourceInfo={"type": "button"}): "0"}
    core.clock.move(days=2)
    uids |= {unlabelled(core, "1"): "1", unlabelled(core, "2", region="DE"): "2"}
    first = next(iter(uids))
    core.services.annotating.register("default", label(first, labelMethod="auto"))
    # when a selection asks for them
    task = core.services.analysing.request_selection("default", {"query": query, "count": 5})
    core.again().analysing.prepare("default", task.id)
    # then
    assert sorted(uids[row["uid"]] for row in written(core, task, "images.jsonl")) == wanted


def test_a_query_says_when_it_was_cut(core: Core) -> None:
    for number in range(3):
        unlabelled(core, str(number))
    for limit, is_cut in ((2, True), (3, False)):
        wish = {"query": {"limit": limit}, "count": 1}
        task = core.services.analysing.request_selection("default", wish)
        core.again().analysing.prepare("default", task.id)
        assert len(written(core, task, "images.jsonl")) == limit
        assert core.services.tasks.read("default", task.id).context["is_cut"] is is_cut


def test_a_query_that_would_read_too_much_is_cut(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = [unlabelled(core, str(number)) for number in range(3)]
    for uid in uids:
        core.services.annotating.register("default", label(uid))
    unlabelled(core, "3")
    for name, query in (("MAX_LOOKUPS", {"labels": "none"}), ("MAX_SCANNED", {"regions": ["XX"]})):
        monkeypatch.setattr(f"dataloop.services.gathering.{name}", 2)
        found = core.services.gathering.by_query(
            "default", make_image_query(query, TODAY), lambda kind: True, spare_labelled=False
        )
        assert (found.is_cut, found.images) == (True, [])
        monkeypatch.undo()


def test_a_query_that_finds_nothing_is_done_without_a_job(core: Core) -> None:
    task = core.services.analysing.request_selection("default", {"query": {"from": "2020-01-01"}, "count": 1})
    for _ in range(2):  # the second time, only the answer was lost
        assert core.again().analysing.prepare("default", task.id) == {"has_images": False}
        found = core.services.tasks.get("default", task.id)
        assert (found.status, found.result["images"]) == ("SUCCEEDED", 0)


def test_images_of_which_none_can_be_used_fail_with_the_reasons(core: Core) -> None:
    task = core.services.analysing.request_selection("default", {"uids": ["0" * 32, "1" * 32], "count": 1})
    with pytest.raises(InvalidInput, match="'missing_object': 2"):
        core.again().analysing.prepare("default", task.id)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "query.from"),
        ({"to": "2026-13-01"}, "query.to"),
        ({"from": TODAY, "to": "2026-11-01"}, "query.to"),
        ({"labels": "good"}, "query.labels"),
        ({"limit": 0}, "query.limit"),
        ({"limit": True}, "query.limit"),
        ({"limit": 10_001}, "query.limit"),
        ({"regions": "DE"}, "query.regions"),
        ({"sources": [1]}, "query.sources"),
        ({"day": TODAY}, "query"),
        ([], "query"),
    ],
)
def test_a_bad_query_is_refused_by_the_name_of_its_field(core: Core, query: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.analysing.request_selection("default", {"query": query, "count": 1})
    assert caught.value.details()["field"] == field


def test_too_many_days_or_images_are_refused_with_the_limit(core: Core) -> None:
    with pytest.raises(LimitExceeded, match="92"):
        wish = {"query": {"from": "2026-01-01", "to": "2026-06-01"}, "count": 1}
        core.services.analysing.request_selection("default", wish)
    with pytest.raises(LimitExceeded, match="10000"):
        core.services.analysing.request_selection("default", {"uids": ["0" * 32] * 10_001, "count": 1})


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "uids"),
        ({"uids": ["0" * 32], "query": {}}, "uids"),
        ({"uids": []}, "uids"),
        ({"uids": "0" * 32}, "uids"),
        ({"uids": ["0" * 31]}, "uids[0]"),
        ({"uids": ["0" * 32], "min_score": 2}, "min_score"),
        ({"uids": ["0" * 32], "min_score": True}, "min_score"),
        ({"uids": ["0" * 32], "release": "scenes"}, "model_id"),
        ({"uids": ["0" * 32], "model_id": None}, "model_id"),
        ({"uids": ["0" * 32], "model_id": 7}, "model_id"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(core: Core, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.analysing.request_prediction("default", {"model_id": "m"} | wish)
    assert caught.value.details()["field"] == field


def test_a_release_name_is_the_model_it_stands_for_when_asked(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    first, second = trained_model(core, version.id, 0.7), trained_model(core, version.id, 0.8)
    uid = unlabelled(core, "1")
    release(core, first)
    task = core.services.analysing.request_prediction("default", {"release": "scenes", "uids": [uid]})
    release(core, second)
    job = core.again().analysing.prepare("default", task.id)
    assert task.parameters["model_id"] == first
    assert job["processing_inputs"][-1]["S3Input"]["S3Uri"] == f"s3://{ARTIFACTS}/default/models/{first}/model/"
    with pytest.raises(NotFound):
        core.services.analysing.request_prediction("default", {"release": "nobody", "uids": [uid]})


def test_a_model_that_is_not_trained_looks_at_nothing(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    task = core.services.training.request("default", version.id)
    with pytest.raises(IllegalTransition):
        wish = {"model_id": task.parameters["model_id"], "uids": ["0" * 32]}
        core.services.analysing.request_prediction("default", wish)


def test_a_selection_needs_a_model_only_where_its_strategy_asks_one(core: Core) -> None:
    uid = unlabelled(core, "1")
    task = core.services.analysing.request_selection("default", {"uids": [uid], "count": 1, "seed": 7})
    job = core.again().analysing.prepare("default", task.id)
    assert [entry["InputName"] for entry in job["processing_inputs"]] == ["code", "dataset", "images"]
    assert json.loads(job["environment"]["SELECTION"]) == {"strategy": "random", "count": 1, "seed": 7}
    for wish in ({"strategy": "uncertainty"}, {"balance": True}):
        with pytest.raises(InvalidInput, match="model"):
            core.services.analysing.request_selection("default", {"uids": [uid], "count": 1} | wish)


def test_the_longest_selection_fits_into_a_variable_of_sagemaker(core: Core) -> None:
    wish = {"strategy": "uncertainty_diversity", "count": 10_000, "seed": 2**31 - 1, "measure": "entropy"}
    wish |= {"per_group": 10_000, "balance": False, "near_duplicates": False}
    found = core.services.analysing.request_selection(
        "default", wish | {"uids": [unlabelled(core, "1")], "model_id": model(core)}
    )
    text = core.again().analysing.prepare("default", found.id)["environment"]["SELECTION"]
    assert json.loads(text) == wish
    assert len(text) <= 256


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"strategy": "best"}, "strategy"),
        ({"strategy": []}, "strategy"),
        ({"count": 0}, "count"),
        ({"count": None}, "count"),
        ({"count": 1.5}, "count"),
        ({"seed": -1}, "seed"),
        ({"measure": "size"}, "measure"),
        ({"per_group": "1"}, "per_group"),
        ({"near_duplicates": 1}, "near_duplicates"),
    ],
)
def test_a_bad_selection_is_refused_by_the_name_of_its_field(core: Core, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.analysing.request_selection("default", {"uids": ["0" * 32], "count": 1} | wish)
    assert caught.value.details()["field"] == field


def test_a_selection_keeps_what_was_chosen_and_why(core: Core) -> None:
    uids = [unlabelled(core, str(number)) for number in range(3)]
    task = core.services.analysing.request_selection("default", {"uids": uids, "count": 1})
    core.again().analysing.prepare("default", task.id)
    chosen = [{"uid": uids[1], "rank": 1, "score": 0.9, "reason": "drawn at random"}]
    analysis_output(core, task.id, chosen=chosen, duplicates=[uids[:2]])
    core.again().analysing.record("default", task.id)
    result = core.services.tasks.get("default", task.id).result
    assert (result["chosen"], result["count"]) == (chosen, 1)
    assert result["duplicates"] == {"groups": 1, "images": 2}
    assert {file["name"] for file in result["files"]} == {"selection.json", "duplicates.json"}


def test_a_long_selection_is_whole_in_its_file_and_short_in_the_task(core: Core) -> None:
    uids = [f"{number:032x}" for number in range(300)]
    task = core.services.analysing.request_selection("default", {"uids": [*uids, unlabelled(core, "1")], "count": 300})
    core.again().analysing.prepare("default", task.id)
    chosen = [{"uid": uid, "rank": rank, "score": 0.5, "reason": "x"} for rank, uid in enumerate(uids, 1)]
    analysis_output(core, task.id, chosen=chosen)
    core.again().analysing.record("default", task.id)
    result = core.services.tasks.get("default", task.id).result
    assert (result["count"], len(result["chosen"])) == (300, 100)


def test_layers_are_measured_on_val_without_anything_of_the_test_set(core: Core) -> None:
    # given a model judged on an older version's test set, which holds an image that is now in val
    first = ready_version(core, labelled(core, 4))
    tested = json.loads(core.objects()[f"{first.manifest_prefix}/test.jsonl"])["uid"]
    moved = core.services.annotating.register("default", label(tested, name="dog")).id
    core.services.registering.register_metadata("default", meta(tested, split="val"))
    made = core.services.curating.create("default", info(version="2"))
    core.services.curating.link("default", made.id, [*labelled(core, 4, "j"), moved])
    run_build(core, core.services.building.request_build("default", made.id).id)
    found = trained_model(core, made.id, test_version_id=first.id)
    # when
    task = core.services.analysing.request_sensitivity("default", found)
    job = core.again().analysing.prepare("default", task.id)
    # then
    rows = written(core, task, "val.jsonl")
    assert len(rows) == 1 and rows[0]["uid"] != tested
    assert [row["uid"] for row in written(core, task, "objects.jsonl")] == [rows[0]["uid"]]
    assert (written(core, task, "spec.json")["held_back"], job["arguments"]) == (1, ["sensitivity"])
    assert f"default/analyses/{task.id}/input/test.jsonl" not in core.objects()
    layers = [{"name": "stem", "macs": 1, "parameters": 1, "ratios": [0.5], "values": [0.7]}]
    analysis_output(core, task.id, layers=layers)
    core.again().analysing.record("default", task.id)
    result = core.services.tasks.get("default", task.id).result
    assert (result["layers"], result["baseline"], result["metric"]) == (1, 0.8, "AP50")


def test_a_replayed_record_answers_the_same(core: Core) -> None:
    uid = unlabelled(core, "1")
    task = core.services.analysing.request_prediction("default", {"model_id": model(core), "uids": [uid]})
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions={uid: []})
    first = core.again().analysing.record("default", task.id)
    done = core.services.tasks.read("default", task.id)
    assert core.again().analysing.record("default", task.id) == first
    assert core.services.tasks.read("default", task.id) == done


def test_a_stopped_analysis_registers_nothing(core: Core) -> None:
    uid = unlabelled(core, "1")
    task = core.services.analysing.request_annotation("default", {"model_id": model(core), "uids": [uid]})
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions={uid: [{"label": "cat", "score": 0.9, "box": [0, 0, 0.5, 0.5]}]})
    core.services.tasks.stop("default", task.id)
    with pytest.raises(IllegalTransition):
        core.again().analysing.record("default", task.id)
    assert core.services.registering.annotation_ids("default", uid) == []


def test_another_tenants_model_images_and_tasks_are_not_there(core: Core) -> None:
    uid, mine = unlabelled(core, "1"), model(core)
    with pytest.raises(NotFound):
        core.services.analysing.request_prediction("other", {"model_id": mine, "uids": [uid]})
    task = core.services.analysing.request_selection("other", {"uids": [uid], "count": 1})
    with pytest.raises(InvalidInput, match="missing_object"):
        core.again().analysing.prepare("other", task.id)


def test_an_evaluation_beside_a_baseline_gets_both_models_and_keeps_the_comparison(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    ours, theirs = trained_model(core, version.id, 0.8), trained_model(core, version.id, 0.7)
    task = core.services.judging.request_evaluation("default", ours, version.id, baseline_model_id=theirs)
    job = core.again().judging.prepare_evaluation("default", task.id)
    inputs = {entry["InputName"]: entry["S3Input"]["S3Uri"] for entry in job["processing_inputs"]}
    assert inputs["baseline"] == f"s3://{ARTIFACTS}/default/models/{theirs}/model/"
    prefix = f"default/evaluations/{task.id}/output"
    comparison = {"difference": 0.1, "low": 0.02, "high": 0.2}
    metrics = {"primary": {"name": "AP50", "value": 0.8}, "confidence": {"primary": [0.7, 0.9]}}
    for name, body in (("metrics", metrics), ("comparison", comparison)):
        core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/{name}.json", Body=json.dumps(body).encode())
    core.again().judging.record_evaluation("default", task.id)
    result = core.services.tasks.get("default", task.id).result
    assert result["comparison"] == comparison
    assert result["metrics"]["confidence"] == {"primary": [0.7, 0.9]}
    assert {file["name"] for file in result["files"]} == {"comparison.json", "metrics.json"}


def test_a_baseline_must_be_another_model_of_the_same_task(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    ours, other = trained_model(core, version.id), trained_model(core, version.id, task_type="classification")
    for wish in (ours, other, 7, ""):
        with pytest.raises(InvalidInput) as caught:
            core.services.judging.request_evaluation("default", ours, version.id, baseline_model_id=wish)
        assert caught.value.details()["field"] == "baseline_model_id"
    alone = core.services.judging.request_evaluation("default", ours, version.id)
    job = core.again().judging.prepare_evaluation("default", alone.id)
    assert [entry["InputName"] for entry in job["processing_inputs"]] == ["code", "dataset", "images", "model"]


def test_an_int8_export_sees_training_images_and_nothing_else_does(core: Core) -> None:
    version = ready_version(core, labelled(core, 8))
    found = trained_model(core, version.id)
    for format, names in (("onnx_int8", {"train.jsonl", "test.jsonl"}), ("openvino", {"test.jsonl"})):
        task = core.services.judging.request_export("default", found, format)
        job = core.again().judging.prepare_export("default", task.id)
        prefix = f"default/exports/{task.id}/input/"
        files = {key.removeprefix(prefix): body for key, body in core.objects().items() if key.startswith(prefix)}
        assert {name for name in files if name in ("train.jsonl", "val.jsonl", "test.jsonl")} == names
        rows = [json.loads(line) for name in names for line in files[name].splitlines()]
        placed = {json.loads(line)["uid"] for line in files["objects.jsonl"].splitlines()}
        assert placed == {row["uid"] for row in rows}
        assert len(json.loads(files["images.manifest"])) == 1 + len(rows)
        assert job["environment"] == {"EXPORT_FORMAT": format}


def test_only_an_export_that_rounds_may_lose_something(core: Core) -> None:
    found = model(core)
    task = core.services.judging.request_export("default", found, "onnx_int8", max_drop=0.05)
    job = core.again().judging.prepare_export("default", task.id)
    assert job["environment"] == {"EXPORT_FORMAT": "onnx_int8", "EXPORT_MAX_DROP": "0.05"}
    for format, wish in (("onnx", 0.05), ("onnx_int8", 2), ("onnx_int8", "1")):
        with pytest.raises(InvalidInput) as caught:
            core.services.judging.request_export("default", found, format, max_drop=wish)
        assert caught.value.details()["field"] == "max_drop"


def test_an_image_that_is_registered_and_labelled_is_found_as_labelled(core: Core) -> None:
    image(core, "a")
    task = core.services.analysing.request_selection("default", {"query": {"labels": "labelled"}, "count": 1})
    core.again().analysing.prepare("default", task.id)
    assert len(written(core, task, "images.jsonl")) == 1
