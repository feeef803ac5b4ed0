"""The code of SageMaker jobs below code/{digest}/ of the artifacts bucket: run.py, requirements, and two packages."""

from __future__ import annotations

import hashlib
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
    inference = root / "layers" / "inference" / "python"
    files |= {path.relative_to(inference).as_posix(): path for path in files_below(inference / "dataloop_inference")}
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return JobCode(files, whole.hexdigest()[:16])


def upload_job_code(client: Any, bucket: str, code: JobCode, prefix: str = "code") -> int:
    """Put the files that are not there yet; returns how many. The digest is in the key, so nothing is ever overwritten."""
    base = f"{prefix}/{code.digest}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=base)
    present = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    missing = {name: path for name, path in code.files.items() if base + name not in present}
    for name, path in missing.items():
        client.put_object(Bucket=bucket, Key=base + name, Body=path.read_bytes())
    return len(missing)
