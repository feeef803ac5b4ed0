"""verify names what is wrong: whatever is changed in a version's files, and nothing when images were deleted properly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloop.domain.canonical import canonical_json
from dataloop.manifests.tombstones import strike
from dataloop.manifests.verifying import verify, verify_files
from tests.properties.version_files import AT, write_version


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_version(tmp_path / "version")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_a_build_writes_is_sound(version: Path) -> None:
    verdict = verify(version)
    index = json.loads((version / "index.json").read_bytes())
    assert verdict.is_sound
    assert (verdict.digest, verdict.counts, verdict.erased) == (index["digest"], index["counts"], 0)
    assert verify_files(lambda name: (version / name).open("rb"), digest=index["digest"]).is_sound


def test_another_digest_in_the_record_is_named(version: Path) -> None:
    verdict = verify_files(lambda name: (version / name).open("rb"), digest="0" * 64)
    assert [problem.file for problem in verdict.problems] == ["index.json"]
    assert "the version's record says 000" in verdict.problems[0].reason


def rewritten(version: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file and the index's word on it: as somebody would who knows about the index."""
    body = change((version / name).read_bytes())
    (version / name).write_bytes(body)
    index = json.loads((version / "index.json").read_bytes())
    index["files"][name] = hashlib.sha256(body).hexdigest()
    (version / "index.json").write_bytes(canonical_json(index))


def lines_of(body: bytes) -> list[bytes]:
    return body.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train.jsonl", lambda body: body.replace(b'"cat"', b'"cow"', 1), "labels lacks"),
        ("train.jsonl", lambda body: body.replace(b'"label":"cat"', b'"label":"dog"', 1), "statistics is"),
        ("train.jsonl", lambda body: body.replace(b"0.", b"0.1", 1), "rows and labels give the digest"),
        ("train.jsonl", lambda body: b"".join(lines_of(body)[1:]), "counts is"),
        ("val.jsonl", lambda body: body + lines_of(body)[-1], "stands twice"),
        ("test.jsonl", lambda body: b"".join(reversed(lines_of(body))), "comes after"),
        ("train.jsonl", lambda body: b"{\n" + body, "no uid"),
        ("objects.jsonl", lambda body: b"".join(lines_of(body)[1:]), "where the rows have"),
        ("objects.jsonl", lambda body: body.replace(b'"split":"train"', b'"split":"test"', 1), "where the rows have"),
        ("uids.idx", lambda body: body[:-16], "entry 11"),
        ("label_map.json", lambda body: body.replace(b"cat", b"cow"), "label_map.json"),
    ],
)  # fmt: skip
def test_a_change_is_named(version: Path, name: str, change: Callable[[bytes], bytes], reason: str) -> None:
    rewritten(version, name, change)
    problems = verify(version).problems
    assert reason in " ".join(f"{problem.file}: {problem.reason}" for problem in problems)


@pytest.mark.parametrize("name", ["train.jsonl", "objects.jsonl", "dataset.json", "uids.idx", "images.manifest"])
def test_a_missing_or_torn_file_is_named(version: Path, name: str) -> None:
    body = (version / name).read_bytes()
    (version / name).write_bytes(body[:-1])
    assert name in {problem.file for problem in verify(version).problems}
    (version / name).unlink()
    assert ("is missing") in {problem.reason for problem in verify(version).problems if problem.file == name}


@pytest.mark.parametrize("index", [b"", b"[]", b"{}", b'{"files":1,"labels":[],"digest":"x"}', b"\xff"])
def test_a_broken_index_is_a_problem_not_a_crash(version: Path, index: bytes) -> None:
    (version / "index.json").write_bytes(index)
    assert [problem.file for problem in verify(version).problems] == ["index.json"]


def test_a_missing_index_is_named(version: Path) -> None:
    (version / "index.json").unlink()
    assert [(problem.file, problem.reason) for problem in verify(version).problems] == [("index.json", "is missing")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.integers(0, 11), max_size=5), max_size=4))
def test_deletions_keep_the_digest_and_a_tombstone_that_is_tampered_with_is_named(
    tmp_path_factory: pytest.TempPathFactory, deletions: list[set[int]]
) -> None:
    folder = write_version(tmp_path_factory.mktemp("v") / "version")
    digest = verify(folder).digest
    uids = [json.loads(line)["uid"] for line in (folder / "objects.jsonl").read_bytes().splitlines()]
    for number, gone in enumerate(deletions):
        target = tmp_path_factory.mktemp("t")
        strike(folder, target, [uids[place] for place in gone], f"d{number}", AT)
        for path in folder.iterdir():
            if not (target / path.name).exists():
                (target / path.name).write_bytes(path.read_bytes())
        folder = target
    verdict = verify(folder)
    erased = set().union(*deletions)
    assert (verdict.problems, verdict.digest, verdict.erased) == ([], digest, len(erased))
    if erased:
        mark = b'"row_sha256":"'
        rewritten(folder, "tombstones.jsonl", lambda body: body.replace(mark, mark + b"00", 1))
        assert "rows and labels give the digest" in verify(folder).problems[-1].reason
