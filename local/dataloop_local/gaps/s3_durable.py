"""Gap: an S3 object can be torn by kill -9, a failed disk write is still acknowledged, and every version stays in memory.

Stock (S3_PERSIST=1) writes the body, then a sidecar with metadata, checksums and versions, each by rename, before it
answers: right, but (1) a crash between the two leaves the old sidecar over the new body, or a body without a sidecar;
(2) errors such as a full disk are logged and the request is answered 200; (3) the bytes of every version of a versioned
bucket are kept in memory as well.
We keep the body that is being replaced until the new sidecar is there, mend torn objects before the emulator loads them,
let disk errors fail the request, and drop bytes that are on disk. Parts of an unfinished multipart upload are not kept:
the upload fails at its completion with NoSuchUpload and is sent again; no object was acknowledged.
Noticed by: tests/local/test_s3.py and tests/local/test_stock_gaps.py::test_stock_swallows_disk_errors.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# Beside the body while its replacement is being written; never a key of its own.
_REPLACED_SUFFIX = ".replaced.tmp"
_SIDECAR_SUFFIX = ".meta.json"


def mend(objects_dir: Path) -> int:
    """Bring every object to the state of its last answered write. Call before ministack.services.s3 is imported.

    Returns how many torn objects were mended. Cost: one directory walk.
    """
    mended = 0
    for folder, _, names in os.walk(objects_dir):
        if ".versions" in Path(folder).relative_to(objects_dir).parts:
            for name in names:
                if name.endswith(".tmp"):
                    Path(folder, name).unlink()
            continue
        mended += sum(_mend_one(Path(folder), name, names) for name in names)
    return mended


def _mend_one(folder: Path, name: str, names: list[str]) -> int:
    path = folder / name
    if name.endswith(_REPLACED_SUFFIX):
        body = folder / name[: -len(_REPLACED_SUFFIX)]
        sidecar = Path(f"{body}{_SIDECAR_SUFFIX}")
        torn = sidecar.exists() and _describes(sidecar, path) and not (body.exists() and body.samefile(path))
        if torn:
            path.replace(body)  # the new sidecar was never written: the old object stands
        else:
            path.unlink()
        return int(torn)
    if name.endswith(".tmp"):
        path.unlink()
        return 1
    if not name.endswith(_SIDECAR_SUFFIX) and f"{name}{_SIDECAR_SUFFIX}" not in names:
        path.unlink()  # a body without a sidecar: the first write of this key was not answered
        return 1
    return 0


def _describes(sidecar: Path, replaced: Path) -> bool:
    """Whether the sidecar still belongs to the replaced body (it names the identity of the body it was written for)."""
    try:
        return bool(json.loads(sidecar.read_bytes()).get("body_inode") == replaced.stat().st_ino)
    except (ValueError, OSError):
        return False


def install(*, fsync: bool) -> None:
    """Replace how ministack writes objects."""
    from ministack.services import s3

    def persist(bucket: str, key: str, record: Any) -> None:
        _persist(s3, bucket, key, record, fsync=fsync)

    s3._persist_object = persist
    stock_marker = s3._persist_delete_marker

    def persist_marker(bucket: str, key: str, marker: dict[str, Any]) -> None:
        stock_marker(bucket, key, marker)
        path = s3._object_disk_path(bucket, key)
        if path is None or not Path(f"{path}{_SIDECAR_SUFFIX}").exists():
            raise OSError(f"the delete marker of {key!r} could not be written")

    s3._persist_delete_marker = persist_marker


def _persist(s3: Any, bucket: str, key: str, record: dict[str, Any], *, fsync: bool) -> None:
    """Body, then sidecar, then answer. Raises OSError: the request then fails and nothing changed on disk."""
    path = Path(s3._object_disk_path(bucket, key))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replaced = Path(f"{path}{_REPLACED_SUFFIX}")
    body = record.get("body")
    if body is not None:
        if path.exists():
            os.link(path, replaced)
        _write(path, body, fsync=fsync)
    sidecar = {
        **s3._object_meta_from_record(record),
        **s3._key_history_meta(bucket, key),
        "key": key,
        "body_inode": path.stat().st_ino if path.exists() else None,
    }
    _write(Path(f"{path}{_SIDECAR_SUFFIX}"), json.dumps(sidecar).encode(), fsync=fsync)
    replaced.unlink(missing_ok=True)
    record["body"] = None
    for version in s3._object_versions.get((bucket, key)) or []:
        if version.get("data") is not None and _on_disk(s3, bucket, key, record, version["version_id"]):
            version["data"] = None
    root = os.path.join(s3.DATA_DIR, s3.get_account_id(), bucket)  # noqa: PTH118 - ministack compares strings
    s3._remove_key_files(s3._other_key_disk_path(root, key, str(path)))


def _on_disk(s3: Any, bucket: str, key: str, record: dict[str, Any], version_id: str) -> bool:
    current = (record.get("version_id") or "null") == version_id
    return current or bool(s3._version_file_exists(bucket, key, version_id))


def _write(path: Path, content: bytes, *, fsync: bool) -> None:
    temporary = Path(f"{path}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        if fsync:
            handle.flush()
            os.fsync(handle.fileno())
    temporary.replace(path)
