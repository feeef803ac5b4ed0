"""How a job's files come from S3 and go back.

Inputs are copied from the emulator's own files (thousands of images would take minutes through HTTP); outputs go through
the S3 API, so that versions, notifications and durability are those of any other write.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ministack.services import s3

from dataloop_local.sagemaker.shapes import SageMakerError


def split_uri(uri: str) -> tuple[str, str]:
    """('bucket', 'key or prefix') of an s3:// URI."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "s3" or not parts.netloc:
        raise SageMakerError("ClientError", f"{uri!r} is not an S3 URI")
    # urlsplit cuts a query off; keys may contain "?".
    return parts.netloc, uri[len("s3://") + len(parts.netloc) :].lstrip("/")


def fetch_prefix(uri: str, folder: Path) -> int:
    """Copy every object under an S3 prefix (or the one object it names) into `folder`. Returns how many.

    Raises ClientError when there is none, as SageMaker does.
    """
    bucket, prefix = split_uri(uri)
    keys = sorted(key for key in list(_objects(bucket, uri)) if key.startswith(prefix) and not key.endswith("/"))
    if not keys:
        raise SageMakerError("ClientError", f"Data download failed: no S3 objects found under S3 URL {uri!r}")
    for key in keys:
        _copy(bucket, key, folder, _relative(key, prefix))
    return len(keys)


def restore_prefix(uri: str, folder: Path) -> int:
    """Like `fetch_prefix`, but an empty prefix is fine: the checkpoints of a first start."""
    try:
        return fetch_prefix(uri, folder)
    except SageMakerError:
        return 0


def fetch_manifest(uri: str, folder: Path) -> int:
    """Copy the objects that a ManifestFile names; each lands at <folder>/<its entry>. Returns how many.

    Format (AWS, S3DataSource): [{"prefix": "s3://bucket/some/"}, "key below it", …].
    """
    bucket, key = split_uri(uri)
    content = _read(bucket, key)
    try:
        head, *entries = json.loads(content)
        base_bucket, base = split_uri(head["prefix"])
    except (ValueError, TypeError, KeyError) as error:
        raise SageMakerError("ClientError", f"Data download failed: {uri} is not a manifest: {error}") from error
    for entry in entries:
        _copy(base_bucket, base + entry, folder, entry)
    return len(entries)


def upload_folder(client: Any, folder: Path, uri: str) -> int:
    """Put every file below `folder` under `uri`. Returns how many."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        upload_file(client, path, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}")
    return len(files)


def upload_file(client: Any, path: Path, uri: str) -> None:
    bucket, key = split_uri(uri)
    client.upload_file(str(path), bucket, key)


def _objects(bucket: str, uri: str) -> Iterable[str]:
    found = s3._buckets.get(bucket)
    if found is None:
        raise SageMakerError("ClientError", f"Data download failed: the bucket of {uri!r} does not exist")
    return list(found["objects"])


def _relative(key: str, prefix: str) -> str:
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(f"{prefix}/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def _read(bucket: str, key: str) -> bytes:
    content = s3._get_object_data(bucket, key)
    if content is None:
        raise SageMakerError("ClientError", f"Data download failed: NoSuchKey: s3://{bucket}/{key} does not exist")
    return bytes(content)


def _copy(bucket: str, key: str, folder: Path, relative: str) -> None:
    target = (folder / relative).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise SageMakerError("ClientError", f"Data download failed: {relative!r} leaves the channel's folder")
    record = (s3._buckets.get(bucket) or {"objects": {}})["objects"].get(key)
    if record is None:
        raise SageMakerError("ClientError", f"Data download failed: NoSuchKey: s3://{bucket}/{key} does not exist")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source = s3._object_disk_path(bucket, key)
        if record.get("body") is None and source is not None:
            shutil.copyfile(source, target)
        else:
            target.write_bytes(s3._read_body(bucket, key, record))
    except (NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise SageMakerError(
            "ClientError", f"Data download failed: {key!r} is a file where another object needs a folder"
        ) from error
