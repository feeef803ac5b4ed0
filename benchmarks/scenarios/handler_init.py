"""CPU of a cold start, per function: a fresh process imports the handler, against one that imports only boto3 (and, for
`infer`, the packages that run models).

Both make the clients that the function's main path uses, with the same configuration. Two figures per function: `init`
is what happens before the first event (Lambda's init phase); `ready` adds what the first event of the main path would
still import and make, so that nothing is hidden by putting it off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks.lambda_environment import lambda_environment
from benchmarks.measure import ROOT, in_turns, python
from benchmarks.scenario import Bench, Budget, Figure

BUDGET = Budget(1.25)
# The largest function and the busiest one.
QUICK = ("api_sdk", "ingest_object")


@dataclass(frozen=True, slots=True)
class MainPath:
    """What the usual event of a function uses: clients by boto3's names, services by their path below `services`."""

    clients: tuple[str, ...]
    services: tuple[str, ...]
    where: str = "handler"
    # What it cannot be without, so the floor imports it too.
    packages: tuple[str, ...] = ()


MAIN_PATHS = {
    "api_sdk": MainPath(("dynamodb", "s3"), ("keyring", "registering", "uploading"), "context"),
    "api_customvision": MainPath(("dynamodb", "s3"), ("keyring", "projects", "browsing", "renditions"), "context"),
    "api_modelarts": MainPath(("dynamodb", "s3"), ("keyring", "surveying"), "context"),
    "erasure_steps": MainPath(("dynamodb", "s3"), ("erasure_steps",)),
    "infer": MainPath(("dynamodb", "s3"), ("keyring", "predicting"), "context", ("numpy", "onnxruntime", "PIL.Image")),
    "index_terms": MainPath(("dynamodb",), ("indexing",)),
    "ingest_object": MainPath(("dynamodb", "s3"), ("registering",)),
    "publish_changes": MainPath(("events",), ("stores.bus",)),
    "track_task": MainPath(("dynamodb", "stepfunctions", "s3"), ("tasks",)),
    "start_loop": MainPath(("dynamodb", "stepfunctions", "s3"), ("looping",)),
    "workflow_steps": MainPath(("dynamodb", "stepfunctions", "s3"), ("building",)),
    "housekeeping": MainPath(("dynamodb", "stepfunctions", "s3", "sqs"), ("sweeping",)),
}

_CLIENTS = """
from dataloop.gateways.clients import Clients
clients = Clients("us-east-1")
for name in {names}:
    getattr(clients, name).meta  # makes the client
"""
_FLOOR = """
import boto3
from botocore.config import Config
retries = dict(mode="standard", total_max_attempts=5)
config = Config(region_name="us-east-1", retries=retries, connect_timeout=5, read_timeout=60)
for name in {clients}:
    boto3.client(name, config=config)
"""


def functions() -> list[str]:
    """Every function there is, so that a new one is measured from its first day."""
    return sorted(path.parent.name for path in (ROOT / "functions").glob("*/handler.py"))


def run(bench: Bench) -> list[Figure]:
    """Interleaved fresh processes per function."""
    environment = lambda_environment()
    figures: list[Figure] = []
    for name in QUICK if bench.quick else functions():
        codes = codes_of(name)
        found = in_turns(
            {side: partial(_cpu_ms, code, environment) for side, code in codes.items()}, bench.rounds(5, 3)
        )
        figures += [
            Figure(f"{name}: {side}", "ms", found[side], "boto3 + clients", found["floor"], BUDGET)
            for side in ("init", "ready")
        ]
    return figures


def _cpu_ms(code: str, environment: dict[str, str]) -> float:
    """The less disturbed of two processes: what others do to a start of half a second can only make it slower."""
    return min(python(code, environment).cpu_s for _ in range(2)) * 1000


def codes_of(name: str) -> dict[str, str]:
    """The three programs of a function. A function without an entry above is measured with DynamoDB alone."""
    path = MAIN_PATHS.get(name, MainPath(("dynamodb",), ()))
    names = [{"stepfunctions": "states"}.get(client, client) for client in path.clients]
    init = f"import {name}.handler\n" + _CLIENTS.format(names=names)
    found = "services = services()\n" if path.where == "context" else ""
    touches = "".join(f"services.{service}\n" for service in path.services)
    clients = "".join(f"services.stores._clients.{client}.meta\n" for client in names)
    ready = f"import {name}.handler\nfrom {name}.{path.where} import services\n{found}{touches}{clients}"
    floor = "".join(f"import {package}\n" for package in path.packages) + _FLOOR.format(clients=path.clients)
    return {"init": init, "ready": ready, "floor": floor}
