"""Model package groups and model packages: versioned records, no files."""

from __future__ import annotations

import time
from typing import Any

from dataloop_local.sagemaker import notices, store
from dataloop_local.sagemaker.shapes import SageMakerError

Request = dict[str, Any]


def create_group(request: Request) -> Request:
    name = request["ModelPackageGroupName"]
    arn = store.arn(store.GROUP, name)
    record = {
        **request,
        "ModelPackageGroupArn": arn,
        "CreationTime": time.time(),
        "CreatedBy": {},
        "ModelPackageGroupStatus": "Completed",
    }
    if not store.create(store.GROUP, name, record):
        raise SageMakerError("ValidationException", f"Model Package Group already exists: {arn}")
    return {"ModelPackageGroupArn": arn}


def describe_group(request: Request) -> Request:
    return _group(request["ModelPackageGroupName"])


def delete_group(request: Request) -> Request:
    group = _group(request["ModelPackageGroupName"])
    name = group["ModelPackageGroupName"]
    if _versions(name):
        raise SageMakerError("ConflictException", f"Model Package Group {name} still has model packages")
    store.delete(store.GROUP, name)
    return {}


def list_groups(request: Request) -> Request:
    wanted = request.get("NameContains", "")
    fields = ("ModelPackageGroupName", "ModelPackageGroupArn", "CreationTime", "ModelPackageGroupStatus")
    groups = [g for g in store.all_of(store.GROUP) if wanted in g["ModelPackageGroupName"]]
    return {"ModelPackageGroupSummaryList": [{name: group[name] for name in fields} for group in groups]}


def create_package(request: Request) -> Request:
    """The next version in a group, which must exist, as on AWS."""
    group = request.get("ModelPackageGroupName")
    if group is None:
        raise SageMakerError("ValidationException", "model packages outside a group are not supported on one machine")
    name = _group(group)["ModelPackageGroupName"]
    version = 1 + max((package["ModelPackageVersion"] for package in _versions(name)), default=0)
    arn = store.arn(store.PACKAGE, f"{name}/{version}")
    record = {
        **{key: value for key, value in request.items() if key not in ("ClientToken", "Tags")},
        "ModelPackageGroupName": name,
        "ModelPackageArn": arn,
        "ModelPackageVersion": version,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
        "CreationTime": time.time(),
    }
    store.create(store.PACKAGE, f"{name}/{version}", record)
    notices.emit(store.PACKAGE, record)
    return {"ModelPackageArn": arn}


def describe_package(request: Request) -> Request:
    return _package(request["ModelPackageName"])


def update_package(request: Request) -> Request:
    package = _package(request["ModelPackageArn"])
    removed = request.get("CustomerMetadataPropertiesToRemove") or []
    properties = {**package.get("CustomerMetadataProperties", {}), **request.get("CustomerMetadataProperties", {})}
    kept = {key: value for key, value in properties.items() if key not in removed}
    changes = {key: value for key, value in request.items() if key in ("ModelApprovalStatus", "ApprovalDescription")}
    package.update(changes, CustomerMetadataProperties=kept)
    store.save(store.PACKAGE, f"{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}", package)
    notices.emit(store.PACKAGE, package)
    return {"ModelPackageArn": package["ModelPackageArn"]}


def delete_package(request: Request) -> Request:
    package = _package(request["ModelPackageName"])
    name = f"{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}"
    store.delete(store.PACKAGE, name)
    return {}


def list_packages(request: Request) -> Request:
    group = request.get("ModelPackageGroupName")
    approval = request.get("ModelApprovalStatus")
    fields = (
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "CreationTime",
        "ModelPackageStatus",
        "ModelApprovalStatus",
    )
    found = [
        package
        for package in store.all_of(store.PACKAGE)
        if (group is None or package["ModelPackageGroupName"] == group.rpartition("/")[2])
        and (approval is None or package["ModelApprovalStatus"] == approval)
    ]
    ascending = request.get("SortOrder") == "Ascending"
    found.sort(key=lambda package: package["CreationTime"], reverse=not ascending)
    return {"ModelPackageSummaryList": [{name: package[name] for name in fields} for package in found]}


def _versions(group: str) -> list[store.Record]:
    return [package for package in store.all_of(store.PACKAGE) if package["ModelPackageGroupName"] == group]


def _group(name_or_arn: str) -> store.Record:
    group = store.find(store.GROUP, name_or_arn.rpartition("/")[2])
    if group is None:
        raise SageMakerError("ValidationException", f"Model Package Group {name_or_arn} does not exist.")
    return group


def _package(arn: str) -> store.Record:
    package = store.find(store.PACKAGE, arn.partition(":model-package/")[2])
    if package is None:
        raise SageMakerError("ValidationException", f"ModelPackage {arn} does not exist.")
    return package
