"""Create or update the stack, only when its content changed."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from dataloop_local.clients import Clients
from dataloop_local.deployment.job_code import JobCode, read_job_code, upload_job_code
from dataloop_local.deployment.package import Package, package
from dataloop_local.deployment.template import load_template
from dataloop_local.files import read_json, write_json
from dataloop_local.settings import LocalRuntimeError, Settings

logger = logging.getLogger("dataloop.deploy")

_BUCKET = "dataloop-local-packages"
_TEMPLATE_KEY = "template.json"
# Part of the digest: raise it when packaging changes what is deployed from the same sources.
_PACKAGING = 1
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_STACK_WAIT_S = 180.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Stack:
    """A deployed stack. `functions` and `resources` map logical to physical names."""

    outputs: dict[str, str]
    resources: dict[str, str]
    api_id: str | None
    digest: str = ""
    # Whether this start changed it.
    is_new: bool = False

    def function(self, logical_id: str) -> str | None:
        return self.resources.get(logical_id)


def deploy(settings: Settings, clients: Clients) -> Stack:
    """Bring the stack to what the template says. Cost when nothing changed: reading and hashing the sources.

    Raises LocalRuntimeError with the reasons of the resources that failed.
    """
    template = load_template(settings.template_path())
    code = read_job_code(settings.root())
    prepared = package(template, settings.root(), _BUCKET)
    parameters = stack_parameters(settings, template, code)
    digest = _digest(prepared, parameters)
    status = _status(clients, settings.stack)
    deployed = read_json(settings.deployed_file)
    is_current = deployed is not None and deployed.get("digest") == digest
    if not (is_current and status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")):
        _apply(settings, clients, prepared, parameters, status)
        is_current = False
    stack = replace(describe(settings.stack, clients), digest=digest, is_new=not is_current)
    if code is not None:
        upload_job_code(clients.s3, _artifacts_bucket(stack), code)
    return stack


def remember(settings: Settings, stack: Stack) -> None:
    """Note what is deployed. Only once the deployed state is on disk: until then the next start has to deploy again."""
    write_json(settings.deployed_file, {"digest": stack.digest}, fsync=settings.fsync)


def stack_parameters(settings: Settings, template: dict[str, Any], code: JobCode | None) -> dict[str, str]:
    """What this machine sets by itself, where the template has such a parameter; the caller's parameters win."""
    own = {
        "AllowAnonymous": str(settings.anonymous).lower(),
        "LocalRoots": ":".join(settings.allow_roots),
        "LocalUrlHosts": ",".join(settings.allow_url_hosts),
        # Training here is this machine's CPU: the instance type is only a label, and spot only renames the price.
        "TrainingInstanceType": "ml.m5.large",
        "ProcessingInstanceType": "ml.m5.large",
        "UseSpot": "false",
        **({"CodeDigest": code.digest} if code else {}),
    }
    declared = template.get("Parameters") or {}
    unknown = sorted(set(settings.parameters) - set(declared))
    if unknown:
        raise LocalRuntimeError(f"the template has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    return {**{name: value for name, value in own.items() if name in declared}, **settings.parameters}


def describe(name: str, clients: Clients) -> Stack:
    described = clients.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    pages = clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    listed = [resource for page in pages for resource in page["StackResourceSummaries"]]
    apis = [r["PhysicalResourceId"] for r in listed if r["ResourceType"] == "AWS::ApiGatewayV2::Api"]
    return Stack(
        outputs={output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])},
        resources={r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in listed},
        api_id=apis[0] if apis else None,
    )


def _digest(prepared: Package, parameters: dict[str, str]) -> str:
    document = json.dumps([_PACKAGING, prepared.template, parameters], sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def _status(clients: Clients, stack: str) -> str | None:
    try:
        status: str = clients.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return status


def _apply(
    settings: Settings, clients: Clients, prepared: Package, parameters: dict[str, str], status: str | None
) -> None:
    started = time.monotonic()
    _upload(clients, prepared)
    request = {
        "StackName": settings.stack,
        # CloudFormation takes 51,200 bytes in a request and a megabyte from S3.
        "TemplateURL": f"{clients.s3.meta.endpoint_url}/{_BUCKET}/{_TEMPLATE_KEY}",
        "Capabilities": _CAPABILITIES,
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    }
    if status is None:
        clients.cloudformation.create_stack(**request)
    else:
        try:
            clients.cloudformation.update_stack(**request)
        except ClientError as error:
            # CloudFormation's way to say that the stack is already what was asked for.
            if "No updates are to be performed" not in str(error):
                raise
    final = _wait(clients, settings.stack)
    if final not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LocalRuntimeError(f"deploying {settings.stack} ended as {final}: {_reasons(clients, settings.stack)}")
    _forget_old_packages(clients, prepared)
    logger.warning("deployed %s in %.1f s", settings.stack, time.monotonic() - started)


def _upload(clients: Clients, prepared: Package) -> None:
    if _BUCKET not in {bucket["Name"] for bucket in clients.s3.list_buckets()["Buckets"]}:
        clients.s3.create_bucket(Bucket=_BUCKET)
    template = json.dumps(prepared.template, default=str).encode()
    for key, content in {**prepared.objects, _TEMPLATE_KEY: template}.items():
        clients.s3.put_object(Bucket=_BUCKET, Key=key, Body=content)


def _forget_old_packages(clients: Clients, prepared: Package) -> None:
    """Functions and layers hold their code; the archives are only needed while deploying."""
    for entry in clients.s3.list_objects_v2(Bucket=_BUCKET).get("Contents", []):
        if entry["Key"] not in (*prepared.objects, _TEMPLATE_KEY):
            clients.s3.delete_object(Bucket=_BUCKET, Key=entry["Key"])


def _wait(clients: Clients, stack: str) -> str:
    deadline = time.monotonic() + _STACK_WAIT_S
    while True:
        status = _status(clients, stack) or "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            return status
        if time.monotonic() > deadline:
            raise LocalRuntimeError(f"deploying {stack} did not end within {_STACK_WAIT_S:.0f} s; it is {status}")
        time.sleep(_LOOK_EVERY_S)


def _reasons(clients: Clients, stack: str) -> str:
    events = clients.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    return "; ".join(failed) or "no resource says why"


def _artifacts_bucket(stack: Stack) -> str:
    bucket = stack.resources.get("ArtifactsBucket")
    if not bucket:
        raise LocalRuntimeError("the template has job code beside it but no resource ArtifactsBucket to put it in")
    return bucket
