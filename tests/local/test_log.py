"""The write-ahead log and the mending of objects, without a running stack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dataloop_local.durability.log import WriteAheadLog, read_segments, segment_path
from dataloop_local.durability.snapshots import SnapshotFolder
from dataloop_local.gaps.s3_durable import mend


def written(folder: Path, *records: dict[str, Any]) -> WriteAheadLog:
    log = WriteAheadLog(folder, fsync=False)
    log.open()
    for record in records:
        log.append(record)
    return log


def test_records_come_back_in_order(tmp_path: Path) -> None:
    written(tmp_path, {"n": 1}, {"n": "ü\u2028\ud800"}).close()
    written(tmp_path, {"n": 3}).close()

    assert [record["n"] for record in read_segments(tmp_path, 0)] == [1, "ü\u2028\ud800", 3]


@pytest.mark.parametrize("cut", [1, 5, 8, 9, 14])
def test_a_torn_record_is_cut_off_and_what_follows_is_read(tmp_path: Path, cut: int) -> None:
    # Given a log whose last write was cut off, and a later start that wrote on
    written(tmp_path, {"n": 1}, {"n": 2}).close()
    path = segment_path(tmp_path, 1)
    os.truncate(path, path.stat().st_size - cut)
    assert [record["n"] for record in read_segments(tmp_path, 0)] == [1]
    written(tmp_path, {"n": 3}).close()

    # Then the unfinished record is gone, and only it
    assert [record["n"] for record in read_segments(tmp_path, 0)] == [1, 3]


def test_a_corrupt_record_is_not_believed(tmp_path: Path) -> None:
    written(tmp_path, {"n": 1}, {"n": 2}).close()
    path = segment_path(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)

    assert [record["n"] for record in read_segments(tmp_path, 0)] == [1]


def test_a_snapshot_covers_the_segments_before_it(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path / "snapshots", fsync=True)
    log = written(tmp_path / "wal", {"n": 1})
    segment = log.rotate()
    log.append({"n": 2})
    folder.write([b"state\n"], segment)
    log.drop_before(segment)
    log.close()

    snapshot = folder.current()
    assert list(snapshot.lines()) == [b"state\n"]
    assert [record["n"] for record in read_segments(tmp_path / "wal", snapshot.segment)] == [2]


def test_a_snapshot_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, fsync=False)
    folder.write([b"one\n"], 1)

    def breaks() -> list[bytes]:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.write((line for line in breaks()), 2)
    assert list(folder.current().lines()) == [b"one\n"]


def test_nothing_is_acknowledged_after_the_log_is_closed(tmp_path: Path) -> None:
    log = written(tmp_path)
    log.close()
    with pytest.raises(OSError, match="stopping"):
        log.append({"n": 1})


def stored(folder: Path, name: str, body: bytes) -> Path:
    """An object as the emulator leaves it: body, and a sidecar that names it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    Path(f"{path}.meta.json").write_text(json.dumps({"key": name, "body_inode": path.stat().st_ino}))
    return path


def test_mending_brings_back_what_was_answered(tmp_path: Path) -> None:
    bucket = tmp_path / "000000000000" / "bucket"
    whole = stored(bucket, "whole", b"w")
    # The body was replaced, its sidecar was not: the old object stands.
    torn = stored(bucket, "deep/torn", b"old")
    os.link(torn, f"{torn}.replaced.tmp")
    Path(f"{torn}.tmp").write_bytes(b"new")
    Path(f"{torn}.tmp").replace(torn)
    # Everything was written, only the old body was not yet dropped.
    complete = stored(bucket, "complete", b"old")
    os.link(complete, f"{complete}.replaced.tmp")
    complete.unlink()
    stored(bucket, "complete", b"new")
    # The replacement had not begun.
    begun = stored(bucket, "begun", b"old")
    os.link(begun, f"{begun}.replaced.tmp")
    # A first write without its sidecar, and one that was not even renamed.
    (bucket / "unanswered").write_bytes(b"u")
    (bucket / "half.tmp").write_bytes(b"h")

    assert mend(tmp_path) == 3
    left = {
        str(p.relative_to(bucket)): p.read_bytes() for p in bucket.rglob("*") if p.is_file() and p.suffix != ".json"
    }
    assert left == {"whole": b"w", "deep/torn": b"old", "complete": b"new", "begun": b"old"}
    assert whole.exists()
    assert mend(tmp_path) == 0
