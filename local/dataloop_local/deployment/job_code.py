"""The code of SageMaker jobs below code/{digest}/ of the artifacts bucket: run.py, requirements, and packages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataloop_local.deployment.package import files_below


@dataclass(frozen=True)
class JobCode:
    """Files by their key below code/{digest}/."""

    files: dict[str, Path]
    digest: str


def read_job_code(root: Path) -> JobCode | None:
    """The job code of the checkout, or None when there is none (a template without jobs)."""
    jobs = root / "jobs"
    if not (jobs / "run.py").is_file():
        return None
    single = [path for path in (jobs / "run.py", jobs / "requirements.txt") if path.is_file()]
    single += sorted((jobs / "exports").glob("*.txt"))
    files = {path.relative_to(jobs).as_posix(): path for path in [*single, *files_below(jobs / "dataloop_jobs")]}
    files |= {path.relative_to(folder).as_posix(): path for folder, path in _carried(root)}
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return JobCode(files, whole.hexdigest()[:16])


def _carried(root: Path) -> Iterator[tuple[Path, Path]]:
    """(folder of sources, file) of what jobs share with the functions, as jobs/carried.txt says."""
    listing = root / "jobs" / "carried.txt"
    for line in listing.read_text("utf-8").splitlines() if listing.is_file() else []:
        if line and not line.startswith("#"):
            folder, name = line.split()
            path = root / folder / name
            for file in [path] if path.is_file() else files_below(path):
                yield root / folder, file


def upload_job_code(client: Any, bucket: str, code: JobCode, prefix: str = "code") -> int:
    """Put the files that are not there yet; returns how many. The digest is in the key, so nothing is ever overwritten."""
    base = f"{prefix}/{code.digest}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=base)
    present = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    missing = {name: path for name, path in code.files.items() if base + name not in present}
    for name, path in missing.items():
        client.put_object(Bucket=bucket, Key=base + name, Body=path.read_bytes())
    return len(missing)
