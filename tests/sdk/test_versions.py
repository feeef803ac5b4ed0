"""Versions and lineage with the client and the command: what is asked, and what people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.commands import runner
from tests.sdk.fake_service import KEY, FakeService, Scripted

TASK = {"task_id": "t1", "kind": "diff", "status": "SUCCEEDED", "phase": None, "result": {}}
SERIES = {"series_id": "s", "name": "animals", "status": "ACTIVE", "info": {}, "tags": {"gold": "v1"}}
ROUTES = [
    (lambda c: c.list_series("a b", limit=3), "GET", "/series", {"name": "a b", "limit": "3"}, {"items": []}),
    (lambda c: c.list_versions("s", limit=2), "GET", "/series/s", {"limit": "2"}, SERIES | {"versions": []}),
    (lambda c: c.tag_dataset("d", "gold"), "PUT", "/datasets/d/tags/gold", None, SERIES),
    (lambda c: c.untag_dataset("d", "gold"), "DELETE", "/datasets/d/tags/gold", {}, SERIES),
    (lambda c: c.restore_dataset("d", "v2"), "POST", "/datasets/d/restore", {"datasetVersion": "v2"}, {}),
    (lambda c: c.diff_datasets("d", "e"), "POST", "/datasets/d/diff", {"other": "e"}, TASK),
    (lambda c: c.verify_dataset("d"), "POST", "/datasets/d/verify", {}, TASK),
    (lambda c: c.delete_dataset("d"), "DELETE", "/datasets/d", {}, {}),
    (lambda c: c.delete_dataset("d", force=True), "DELETE", "/datasets/d", {"force": "true"}, {}),
    (lambda c: c.delete_series("s", force=True), "DELETE", "/series/s", {"force": "true"}, SERIES),
    (lambda c: c.list_images("d", limit=1), "GET", "/datasets/d/images", {"limit": "1"}, {"items": [], "cursor": None}),
    (lambda c: c.trace("x"), "GET", "/lineage/x", {}, {"kind": "model"}),
    (lambda c: c.get_annotation_usage("a"), "GET", "/annotations/a/usage", {}, {"places": []}),
]


@pytest.mark.parametrize(("call", "method", "route", "sent", "answer"), ROUTES)
def test_each_call_makes_its_request(service: FakeService, client, call, method, route, sent, answer) -> None:
    service.answer(method, route, answer)
    call(client)
    (seen,) = service.calls(method, f"/api/v1{route}")
    given = seen.query if method in ("GET", "DELETE") else seen.json if seen.body else None
    assert given == sent


def test_lists_go_on_to_the_last_page(service: FakeService, client) -> None:
    versions = [{"dataset_id": "2"}, {"dataset_id": "1"}]
    pages = [SERIES | {"versions": versions[:1], "cursor": "x"}, SERIES | {"versions": versions[1:], "cursor": None}]
    service.script("GET", "/api/v1/series/s", *[Scripted(200, page) for page in pages])
    assert [each.dataset_id for each in client.iter_versions("s")] == ["2", "1"]
    images = [{"items": [{"uid": "1"}], "cursor": "x"}, {"items": [{"uid": "2"}], "cursor": None}]
    service.script("GET", "/api/v1/datasets/d/images", *[Scripted(200, page) for page in images])
    assert [each.uid for each in client.iter_images("d")] == ["1", "2"]


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dataloop(service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command against the service: (exit code, standard output, standard error)."""
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    return runner(capsys)


@pytest.fixture
def two(service: FakeService, client) -> tuple[str, str]:
    """The ids of versions 1 and 2 of animals."""
    names = [{"datasetName": "animals", "datasetVersion": version} for version in "12"]
    first, second = (client.create_dataset(each).dataset_id for each in names)
    service.answer("GET", "/series", {"items": [SERIES | {"versions": []}], "cursor": None})
    return first, second


def diff_result(**changes: Any) -> dict[str, Any]:
    side = {"name": "animals", "digest": "d" * 64, "counts": {"train": 8, "val": 1, "test": 1}}
    images = dict.fromkeys(("removed", "erased", "moved", "metadata", "annotations", "changed"), 0)
    labels = dict.fromkeys(("added", "removed", "mask", "score", "crowd", "nudge"), 0)
    return {
        "before": side | {"version": "1"},
        "after": side | {"version": "2"},
        "is_same": False,
        "images": images | {"added": 3, "relabelled": 1, "moved": 1, "unchanged": 6},
        "labels": labels | {"renamed": 1, "box": 2},
        "moves": [{"from": "val", "to": "train", "images": 1}],
        "statistics": {f"label-{n:02}": {"before": {"train": n}, "after": {"train": 2 * n}} for n in range(1, 23)},
        "labels_not_shown": 5,
    } | changes


def test_a_diff_is_a_summary_that_people_can_read(service: FakeService, dataloop, two, tmp_path: Path) -> None:
    service.objects["o"] = b"{}\n"
    files = [{"name": name, "url": f"{service.url}/object/o", "size_bytes": 3} for name in ("diff.jsonl", "diff.html")]
    task = TASK | {"result": diff_result() | {"files": files}}
    service.answer("POST", f"/datasets/{two[0]}/diff", task)
    service.answer("GET", "/tasks/t1", task)
    code, out, _ = dataloop("datasets", "diff", "animals", "1", "2", "-d", str(tmp_path))
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "animals 1 → animals 2"
    assert "         3  added" in lines
    assert "         1  val → train" in lines
    assert "         2  boxes moved" in lines
    assert "        +1  label-01 (1 → 2)" in lines
    assert "  and 7 more" in lines
    assert not any("removed" in line for line in lines)
    assert (tmp_path / "diff.html").read_bytes() == b"{}\n"
    (seen,) = service.calls("POST", f"/api/v1/datasets/{two[0]}/diff")
    assert seen.json == {"other": two[1]}


def test_equal_versions_are_said_to_be_equal(service: FakeService, dataloop, two) -> None:
    task = TASK | {"result": diff_result(is_same=True)}
    service.answer("POST", f"/datasets/{two[0]}/diff", task)
    service.answer("GET", "/tasks/t1", task)
    code, out, _ = dataloop("datasets", "diff", "animals", "1", "2")
    assert (code, out.splitlines()[1]) == (0, f"the same: 10 images, digest {'d' * 64}")
    assert json.loads(dataloop("datasets", "diff", "animals", "1", "2", "--json")[1])["result"]["is_same"]


def test_tags_restore_and_history(service: FakeService, dataloop, two) -> None:
    service.answer("PUT", f"/datasets/{two[0]}/tags/gold", SERIES)
    assert dataloop("datasets", "tag", "animals", "1", "gold")[:2] == (0, "animals gold is animals 1 now\n")
    service.answer("DELETE", "/datasets/v1/tags/gold", SERIES)
    assert dataloop("datasets", "untag", "animals", "gold")[:2] == (0, "animals gold is forgotten\n")
    assert dataloop("datasets", "untag", "animals", "silver")[0] == 1
    service.answer("POST", f"/datasets/{two[0]}/restore", {"dataset_id": "new"})
    assert dataloop("datasets", "restore", "animals", "1", "3")[:2] == (0, "new\n")
    version = {"dataset_id": "v1", "dataset_version": "1", "status": "READY", "created_at": "2026", "tags": ["gold"]}
    page = SERIES | {"versions": [version | {"digest": "a" * 64, "counts": {"train": 7}}], "cursor": None}
    service.answer("GET", "/series/s", page)
    code, out, _ = dataloop("datasets", "history", "animals")
    assert code == 0
    assert "READY   7       gold  aaaaaaaaaaaa" in out
    assert "gold" in dataloop("datasets", "series")[1]


def test_what_is_deleted_is_asked_for_first(service: FakeService, dataloop, two, monkeypatch) -> None:
    service.answer("DELETE", f"/datasets/{two[0]}", {"status": "DELETED"})
    monkeypatch.setattr("typer.confirm", lambda *_, abort: (_ for _ in ()).throw(SystemExit(1)))
    assert dataloop("datasets", "delete", "animals", "1")[0] == 1
    assert service.calls("DELETE", f"/api/v1/datasets/{two[0]}") == []
    assert dataloop("datasets", "delete", "animals", "1", "--yes")[:2] == (0, "animals 1: DELETED\n")
    service.answer("DELETE", "/series/s", SERIES | {"status": "DELETING"})
    assert dataloop("datasets", "delete", "animals", "--yes", "--force")[:2] == (0, "animals: DELETING\n")
    (seen,) = service.calls("DELETE", "/api/v1/series/s")
    assert seen.query == {"force": "true"}


VERDICT = {
    "sound": True,
    "digest": "d" * 64,
    "computed_digest": "d" * 64,
    "images": {"all": 5, "looked_at": 5, "proved": 5},
    "annotations": {"looked_at": 5, "proved": 5},
    "erased": 0,
    "problems": [],
    "report": {"counts": {}, "examples": {}},
}
TRACE = {
    "kind": "model",
    "id": "m",
    "image": None,
    "annotation": None,
    "release": None,
    "model": {"model_id": "m", "name": "front", "version": "3"},
    "dataset": {
        "dataset_id": "d",
        "dataset_name": "animals",
        "dataset_version": "1",
        "status": "READY",
        "digest": "abc",
    },
    "used": {
        "places": [],
        "versions": [],
        "models": [],
        "releases": [{"release_id": "r", "name": "scenes", "status": "PUBLISHED"}],
        "current": ["scenes"],
    },
}


def test_why_shows_the_chain_and_the_images(service: FakeService, dataloop) -> None:
    rows = [{"uid": f"u{n}", "split": "train", "annotation_ids": ["a"], "object_name": "x/y.jpg"} for n in range(5)]
    service.answer("GET", "/lineage/m", TRACE)
    service.answer("GET", "/datasets/d/images", {"dataset": {}, "items": rows, "cursor": None})
    code, out, _ = dataloop("why", "m", "--limit", "3")
    assert code == 0
    assert "front 3" in out
    assert "digest      abc" in out
    assert "in use      scenes" in out
    assert "u2" in out
    assert "u3" not in out
    assert "--all" in out
    answer = json.loads(dataloop("why", "m", "--all", "--json")[1])
    assert (len(answer["items"]), answer["more"], answer["kind"]) == (5, False, "model")


def test_why_of_a_file_shows_the_versions_it_is_in(service: FakeService, dataloop) -> None:
    place = {
        "dataset_name": "animals",
        "dataset_version": "1",
        "split": "val",
        "annotation_ids": ["a"],
        "digest": "abc",
    }
    image = {"uid": "0" * 32, "status": "REGISTERED", "sha256": "1" * 64}
    used = TRACE["used"] | {"places": [place]}  # type: ignore[operator]
    file = TRACE | {"kind": "image", "image": image, "model": None, "dataset": None, "used": used}
    service.answer("GET", f"/lineage/{'0' * 32}", file)
    code, out, _ = dataloop("why", "0" * 32)
    assert code == 0
    assert f"file        {'0' * 32} REGISTERED" in out
    assert "animals" in out
    assert "1 dataset versions" in out
    assert dataloop("why", "0" * 32, "--verify")[0] == 1


@pytest.mark.parametrize("sound", [True, False])
def test_why_verifies_and_says_so_with_its_exit_code(service: FakeService, dataloop, sound: bool) -> None:
    report = {"counts": {"missing_object": 1}, "examples": {"missing_object": ["u1"]}}
    wrong = {"sound": False, "report": report, "problems": [{"file": "train.jsonl", "reason": "is missing"}]}
    task = TASK | {"kind": "verify", "result": VERDICT | ({} if sound else wrong)}
    service.answer("GET", "/lineage/m", TRACE)
    service.answer("GET", "/datasets/d/images", {"dataset": {}, "items": [], "cursor": None})
    service.answer("POST", "/datasets/d/verify", task)
    service.answer("GET", "/tasks/t1", task)
    code, out, _ = dataloop("why", "m", "--verify")
    assert code == (0 if sound else 1)
    assert ("NOT SOUND" in out) == (not sound)
    assert ("train.jsonl: is missing" in out) == (not sound)
    assert ("1 missing object, e.g. u1" in out) == (not sound)
    assert "objects      5 of 5 proved by their checksum" in out


def test_a_version_is_verified_by_its_name(service: FakeService, dataloop, two) -> None:
    task = TASK | {"kind": "verify", "result": VERDICT}
    service.answer("POST", f"/datasets/{two[0]}/verify", task)
    service.answer("GET", "/tasks/t1", task)
    code, out, _ = dataloop("datasets", "verify", "animals", "1")
    assert (code, out.splitlines()[0]) == (0, "sound")
