"""Every scenario. Those that need the local stack come last: it takes CPU as long as it runs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scenario import Scenario
from benchmarks.scenarios import (
    coco_evaluation,
    dataset_build,
    dataset_diff,
    handler_init,
    handler_warm,
    ingest_cost,
    loop_overhead,
    online_inference,
    project_pages,
    registration,
    sdk_import,
    sdk_upload,
    snapshots,
)

_ALL = (
    Scenario(
        "registration",
        "DynamoDB calls and write units to register one object",
        "≤ 1 call, ≤ 2 WRU",
        "Powertools' idempotency decorator doing the same",
        registration.run,
    ),
    Scenario(
        "sdk_import",
        "CPU of importing the client",
        "≤ 100 ms, no boto3",
        "import boto3",
        sdk_import.run,
    ),
    Scenario(
        "handler_init",
        "CPU of each function's cold start",
        "≤ 1.25× Python + boto3 + its clients",
        "boto3 and the same clients",
        handler_init.run,
    ),
    Scenario(
        "handler_warm",
        "CPU of warm handlers per request",
        "≤ 1.3× bare boto3 making the same calls",
        "bare boto3, same calls, same server",
        handler_warm.run,
    ),
    Scenario(
        "dataset_build",
        "CPU and peak memory of a dataset build",
        "≤ 150 MB (at 1 M annotations; here at 60,000)",
        "parsing and writing the same rows as JSON",
        dataset_build.run,
    ),
    Scenario(
        "dataset_diff",
        "CPU and peak memory of a diff of two versions",
        "≤ 1.0× CPU, ≤ 150 MB and flat",
        "both versions in dictionaries, rows compared",
        dataset_diff.run,
    ),
    Scenario(
        "snapshots",
        "a frozen workspace: CPU, memory and bytes to write, GETs and time of a page",
        "≤ 256 MB; a page ≤ 7 GETs (of a rare tag ≤ 32)",
        "none: the live store answers from another service",
        snapshots.run,
        "design §5.3",
    ),
    Scenario(
        "project_pages",
        "read units and CPU of a page and a count in projects of 1 k, 100 k and 1 M images",
        "≤ 200 RRU a page of 256 at 1 M, three tags; ≤ 2× the CPU of 1 k",
        "reading every image's row",
        project_pages.run,
        "design §5.3",
    ),
    Scenario(
        "coco_evaluation",
        "CPU of COCO box evaluation",
        "≥ 40× pycocotools, equal to 1e-9",
        "pycocotools",
        coco_evaluation.run,
    ),
    Scenario(
        "sdk_upload",
        "uploading 1,000 files of 100 kB",
        "≤ 0.25× CPU of boto3 upload_file, ≤ 1.0× wall of s5cmd",
        "boto3 upload_file, s5cmd",
        sdk_upload.run,
    ),
    Scenario(
        "ingest_cost",
        "list price of taking in a million images",
        "≤ $8.5 per million",
        "S3 PUT alone",
        ingest_cost.run,
    ),
    Scenario(
        "online_inference",
        "asking a model: cold start, a warm image, memory, size of the layers",
        "≤ 1.3× CPU of the script; ≤ 250 MB of layers (Lambda)",
        "a script around ONNX Runtime, same request, same model",
        online_inference.run,
    ),
    Scenario(
        "loop_overhead",
        "a loop over 1,000 images besides its jobs",
        "≤ 10 s, ≤ 25 transitions",
        "none: nothing else does this",
        loop_overhead.run,
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
