"""Deletion in tests: the machine's states one after the other, and a scan for whatever is left of an image."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from unittest import mock

from dataloop.domain.erasure import QUIET_S
from dataloop.services.erasure_steps import StillInUse
from tests.core import ARTIFACTS, RAW, Core


def stopped_bucket_clock(core: Core) -> Any:
    """S3's clock is the test's: what came before and after a deletion is decided by it."""

    def now() -> datetime:
        return core.clock.moment.replace(tzinfo=None)

    return mock.patch("moto.s3.models.utcnow", now)


def delete(core: Core, uids: list[str], tenant: str = "default", reason: str = "asked for by its owner") -> str:
    """Request a deletion and run it to its end; returns its id."""
    deletion, task = core.again().erasing.request(tenant, uids, reason, by="test")
    run_deletion(core, task.id, tenant)
    return deletion.id


def run_deletion(core: Core, task_id: str, tenant: str = "default") -> None:
    """The states of the machine."""
    run_parts(core, core.again().erasure_steps.plan(tenant, task_id), task_id, tenant)
    core.clock.move(seconds=QUIET_S + 1)
    run_parts(core, core.again().erasure_steps.settle(tenant, task_id), task_id, tenant)
    core.again().erasure_steps.mark(tenant, task_id)


def run_parts(core: Core, plan: dict[str, Any], task_id: str, tenant: str = "default") -> None:
    for key in part_keys(core, plan):
        core.again().erasure_steps.erase(tenant, task_id, key)


def part_keys(core: Core, plan: dict[str, Any]) -> list[str]:
    pages = core.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=ARTIFACTS, Prefix=plan["parts_prefix"])
    return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))


def is_waiting(core: Core, task_id: str) -> bool:
    """Does the deletion wait for something?"""
    try:
        core.again().erasure_steps.settle("default", task_id)
    except StillInUse:
        return True
    return False


def receipt_of(core: Core, deletion_id: str, tenant: str = "default") -> dict[str, Any]:
    erasing = core.again().erasing
    found = erasing.receipt(erasing.get(tenant, deletion_id))
    assert found is not None
    return found


def all_versions(core: Core, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every object version that can be read, with its bytes."""
    for page in core.clients.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in page.get("Versions", []):
            answer = core.clients.s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
            yield entry["Key"], answer["Body"].read()


def unpacked(name: str, body: bytes) -> Iterator[bytes]:
    """A file, and what is inside of it when it is an archive."""
    yield body
    if name.endswith(".gz"):
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
            for member in archive:
                content = archive.extractfile(member)
                yield content.read() if content else b""
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            yield from (archive.read(entry) for entry in archive.namelist())
    elif body[:2] == b"\x1f\x8b":
        yield gzip.decompress(body)


def traces(core: Core, uid: str, content: bytes) -> list[str]:
    """Where an image still is: its bytes in any form, or its name anywhere but in the places that are allowed to keep it.

    Allowed: tombstones, the deletions' own files and items, and the mark on the record.
    """
    needles = (content, base64.b64encode(content)[:-4], uid.encode(), bytes.fromhex(uid))
    found = []
    for bucket in (RAW, ARTIFACTS):
        for key, body in all_versions(core, bucket):
            if key.endswith("/tombstones.jsonl") or "/deletions/" in key:
                continue
            if any(needle in piece for piece in unpacked(key, body) for needle in needles):
                found.append(f"{bucket}/{key}")
    for item in core.items():
        if "|DEL#" in item["pk"]:
            continue
        text = json.dumps(item, default=str)
        if uid in text.replace(f"|RAW#{uid}", ""):
            kept = {"pk", "sk", "tenant", "uid", "erased_at", "deletion_id", "cleared_at", "reopened_at", "reopened_by"}
            is_mark = item["pk"].endswith(f"|RAW#{uid}") and item["sk"] == "#" and set(item) <= kept
            if not is_mark:
                found.append(f"item {item['pk']} {item['sk']}")
        elif item["pk"].endswith(f"|RAW#{uid}"):
            found.append(f"item {item['pk']} {item['sk']}")
    return found
