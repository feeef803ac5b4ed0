"""What a million images cost to take in: calls counted on the local stack, times list prices (dataloop_demo.prices).

Counted: every request of the application, write units by AWS's rules, Lambda's GB-seconds as this machine took them.
Added by rule, because the emulator delivers without requests: S3's message to the queue, and the receive and delete by
which Lambda empties it (AWS: S3 event notifications, "Lambda polls the queue"). Not counted: storage and traffic.
"""

from __future__ import annotations

from typing import Any

from benchmarks import images
from benchmarks.measure import program
from benchmarks.scenario import Bench, Budget, Figure, counted
from benchmarks.scenarios.sdk_upload import make_folder
from dataloop_demo import costs, prices

_MILLION = 1e6
_RIVAL = "S3 PUT alone"


def run(bench: Bench) -> list[Figure]:
    """Files put straight into the bucket, and the SDK's folder upload with metadata."""
    count = 100 if bench.quick else 300
    stack = bench.stack
    s3, bucket = stack.client("s3"), stack.output("RawBucketName")
    s3.put_object(Bucket=bucket, Key="cost-warm/0.jpg", Body=images.jpeg(900_000))
    stack.settle()
    before = stack.meter()
    for number in range(count):
        s3.put_object(Bucket=bucket, Key=f"cost/{number:06d}.jpg", Body=images.jpeg(901_000 + number))
    stack.settle()
    direct = _per_million(bench, "files put into the bucket", costs.difference(stack.meter(), before), count)
    folder = make_folder(bench.folder / "cost", count, first=902_000)
    before = stack.meter()
    program("upload_folder", "sdk+raw_data", stack.url, stack.key, folder, "cost-sdk")
    stack.settle()
    full = _per_million(bench, "SDK, grants and metadata", costs.difference(stack.meter(), before), count)
    put = counted(prices.S3_WRITES.of(_MILLION))
    return [
        Figure("files put into the bucket", "$/million", counted(direct), _RIVAL, put, Budget(8.5, "ours")),
        Figure("SDK upload with metadata", "$/million", counted(full), _RIVAL, put),
    ]


def _per_million(bench: Bench, title: str, part: dict[str, Any], count: int) -> float:
    lines = [(line.what, line.dollars[0]) for line in costs.serverless([part]) if line.dollars[0]]
    batches = sum(used.get("invocations", 0) for name, used in part["lambda"].items() if "ingest-object" in name)
    lines.append(("SQS deliveries", prices.SQS.of(count + 2 * batches)))
    scaled = [(what, dollars * _MILLION / count) for what, dollars in lines]
    words = ", ".join(f"{what} {dollars:.2f}" for what, dollars in scaled)
    bench.note(f"ingest_cost, {title}, $ per million ({batches} batches for {count} files): {words}")
    return sum(dollars for _, dollars in scaled)
