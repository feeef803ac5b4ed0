"""May a function's role do what the function does? Every AWS call of a request is held against template.yaml's roles.

A call, or a link, whose right is missing fails the test that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from tests.core import ARTIFACTS, RAW, Core
from tests.infra.template import as_list, load_project, target_of, text_of

ROLES = {"handler": "ApiCustomvisionRole", "prediction_handler": "PredictCustomvisionRole"}
# boto3's name -> the action, where they differ; the rest is service:Operation.
_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "CopyObject": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
}
_SERVICES = {"sfn": "states", "stepfunctions": "states"}
_TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


@contextmanager
def held_to(core: Core, entry: str) -> Iterator[None]:
    """After the block, what it asked of AWS and the entry's role may not do is an AssertionError."""
    role = ROLES[entry]
    missing: list[str] = []

    def check(params: dict[str, Any], model: Any, **_: Any) -> None:
        for action, resource in _asked(model.service_model.service_name, model.name, params):
            if not any(fnmatchcase(action, given) and fnmatchcase(resource, on) for given, on in _rights(role)):
                missing.append(f"{action} on {resource}")

    clients = core.clients.all()
    for client in clients:
        client.meta.events.register("provide-client-params.*.*", check, unique_id="rights")
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister("provide-client-params.*.*", unique_id="rights")
    assert not missing, f"{role} lacks {missing}"


def _asked(service: str, operation: str, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(action, resource) of everything that one call needs."""
    if service == "dynamodb" and operation == "TransactWriteItems":
        for item in params["TransactItems"]:
            ((kind, body),) = item.items()
            yield f"dynamodb:{_TRANSACTED[kind]}", body["TableName"]
        return
    action = _ACTIONS.get(operation, f"{_SERVICES.get(service, service)}:{operation}")
    if service == "s3":
        if action == "s3:GetObject" and params.get("VersionId"):
            action = "s3:GetObjectVersion"
        if action == "s3:DeleteObject" and params.get("VersionId"):
            action = "s3:DeleteObjectVersion"
        keys = [each["Key"] for each in params.get("Delete", {}).get("Objects", [])] or [params.get("Key")]
        yield from ((action, f"{params['Bucket']}/{key}" if key is not None else params["Bucket"]) for key in keys)
    else:
        batch = next(iter(params.get("RequestItems", {})), None)
        name = params.get("TableName") or batch or params.get("stateMachineArn") or params.get("QueueUrl")
        yield action, str(name or "*")


@cache
def _rights(role: str) -> list[tuple[str, str]]:
    """(action, resource) patterns of a role and its managed policies; resources as the doubles call them."""
    resources = load_project().document["Resources"]
    properties = resources[role]["Properties"]
    policies = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    policies += [
        resources[str(target_of(each))]["Properties"]["PolicyDocument"]
        for each in properties.get("ManagedPolicyArns", [])
    ]
    return [
        (action, _resource(resource))
        for policy in policies
        for statement in policy["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


def _resource(resource: Any) -> str:
    """The template's resource in the doubles' names: buckets by name with keys, tables, machines; else anything."""
    target, text = target_of(resource), text_of(resource)
    if "-raw-" in text or target == "ArtifactsBucket":
        bucket = RAW if "-raw-" in text else ARTIFACTS
        found = re.search(r"(?:\$\{AWS::Region\}|\$\{ArtifactsBucket\.Arn\})(/[^\"]*)", text)
        return bucket + (found[1] if found else "")
    if target in ("Table", "OnceTable"):
        return "table" if target == "Table" else "once"
    if "stateMachine:" in text:
        return "*:stateMachine:" + re.sub(r"\$\{\w+\}-?", "", text.split("stateMachine:")[1].rstrip('"}'))
    return "*"
