"""Package the job code and put it below code/{digest}/ of the artifacts bucket.

    python -m deploy.upload_code digest                                    prints CodeDigest=<digest>
    python -m deploy.upload_code upload --bucket B [--region R] [--wheels]  uploads what is missing, prints the same

Jobs find their code by digest, so an upload never changes what a running job reads, and a repeated upload does nothing.
The package holds run.py, dataloop_jobs/, requirements.txt and exports/ of jobs/, what jobs/carried.txt names of the
layers, and with --wheels also wheels/: the requirements as wheels for the container's Python and platform, for
containers without internet.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIGEST_CHARACTERS = 32
CONTAINER_PYTHON = "3.13"  # of the newest training container (deploy/resolve_images.py: tag ...-py313)
# Training instances are x86_64. Tags up to glibc 2.28 run on every container AWS still ships; pip wants each tag named.
CONTAINER_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


class IncompleteCode(ValueError):
    """jobs/ lacks a file that every job needs."""


def package(jobs: Path) -> dict[str, bytes]:
    """Files of the package by their name below code/{digest}/, sorted. Raises IncompleteCode.

    Caches are left out, so the digest is the same on every machine.
    """
    top = [jobs / "run.py", jobs / "requirements.txt"]
    missing = [path.name for path in (*top, jobs / "carried.txt") if not path.is_file()]
    if missing:
        raise IncompleteCode(f"{jobs} has no {', '.join(missing)}")
    files = {path.name: path.read_bytes() for path in top}
    files |= {f"exports/{path.name}": path.read_bytes() for path in (jobs / "exports").glob("*.txt")}
    for folder, package in ((jobs, jobs / "dataloop_jobs"), *_carried(jobs)):
        modules = [package] if package.is_file() else sorted(package.rglob("*"))
        modules = [path for path in modules if path.is_file() and "__pycache__" not in path.parts]
        files |= {path.relative_to(folder).as_posix(): path.read_bytes() for path in modules}
    return dict(sorted(files.items()))


def _carried(jobs: Path) -> Iterator[tuple[Path, Path]]:
    """(folder of sources, package or module in it) of what jobs share with the functions."""
    for line in (jobs / "carried.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            folder, name = line.split()
            yield jobs.parent / folder, jobs.parent / folder / name


def digest(files: dict[str, bytes]) -> str:
    """Hex digest of names and contents, whatever the order."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return total.hexdigest()[:DIGEST_CHARACTERS]


def wheels(requirements: Path, python: str, platforms: tuple[str, ...]) -> dict[str, bytes]:
    """The requirements and what they need, as wheels for the container. Cost: a download from the package index."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", folder]
        command += ["--implementation", "cp", "--python-version", python, "--requirement", str(requirements)]
        for platform in platforms:
            command += ["--platform", platform]
        subprocess.run(command, check=True)  # noqa: S603 - our own arguments
        return {f"wheels/{path.name}": path.read_bytes() for path in sorted(Path(folder).glob("*.whl"))}


def upload(files: dict[str, bytes], bucket: str, prefix: str, region: str | None) -> int:
    """Put the files that are not there yet; returns how many. The digest names the content, so presence is equality."""
    import boto3  # only this command needs it

    client = boto3.client("s3", region_name=region)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    present = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    wanted = {f"{prefix}{name}": body for name, body in files.items() if present.get(f"{prefix}{name}") != len(body)}
    for key, body in wanted.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    return len(wanted)


def main(arguments: list[str] | None = None) -> int:
    """Print `CodeDigest=<digest>` for `sam deploy --parameter-overrides`; notes go to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["digest", "upload"])
    parser.add_argument("--jobs", type=Path, default=ROOT / "jobs")
    parser.add_argument("--wheels", action="store_true", help="add the requirements as wheels for the container")
    parser.add_argument("--bucket", help="output ArtifactsBucketName of the stack")
    parser.add_argument("--prefix", default="code", help="parameter CodePrefix")
    parser.add_argument("--region")
    options = parser.parse_args(arguments)
    try:
        files = package(options.jobs)
    except IncompleteCode as error:
        sys.stderr.write(f"upload_code: {error}\n")
        return 1
    if options.wheels:
        files |= wheels(options.jobs / "requirements.txt", CONTAINER_PYTHON, CONTAINER_PLATFORMS)
    name = digest(files)
    if options.command == "upload":
        if not options.bucket:
            parser.error("upload needs --bucket")
        count = upload(files, options.bucket, f"{options.prefix}/{name}/", options.region)
        sys.stderr.write(
            f"upload_code: {count} of {len(files)} files to s3://{options.bucket}/{options.prefix}/{name}/\n"
        )
    sys.stdout.write(f"CodeDigest={name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
