"""What devices, labellers and workflows do to the core, in a line each."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from dataloop.services.registering import ObjectNotice
from tests.core import ARTIFACTS, RAW, Core
from tests.pictures import picture

REPORT = {
    "task_type": "detection",
    "primary": {"name": "AP50", "value": 0.8},
    "summary": {"AP50": 0.8},
    "per_class": {"cat": {"AP50": 0.8, "support": 50}},
    "images": 3,
    "threshold": 0.3,
}


def sequencer(number: int) -> str:
    return f"{number:X}"


def put(core: Core, key: str, body: bytes | None = None, *, uid: bool = True) -> tuple[str, ObjectNotice]:
    """An object in the raw bucket, as an announced upload leaves it, and the notice of its event."""
    body = picture() + key.encode() if body is None else body  # cameras write behind the end mark, so do we
    sha256 = hashlib.sha256(body).hexdigest()
    answer = core.clients.s3.put_object(
        Bucket=RAW, Key=key, Body=body, ChecksumAlgorithm="SHA256", Metadata={"uid": sha256[:32]} if uid else {}
    )
    number = len(core.clients.s3.list_object_versions(Bucket=RAW, Prefix=key).get("Versions", []))
    return sha256[:32], ObjectNotice(key, answer["VersionId"], sequencer(number * 100))


def meta(uid: str, **extra: Any) -> dict[str, Any]:
    return {
        "uid": uid,
        "type": "image",
        "region": "CN",
        "securityLevel": "low",
        "storage": {},
        "fileMeta": {},
        "bg": "ap",
        "owner": "me",
        "extra": extra,
        "sourceInfo": {"type": "trigger"},
    }


def label(*uids: str, name: str = "cat", **more: Any) -> dict[str, Any]:
    return {
        "annotationType": "detection",
        "dataId": list(uids),
        "labelInfo": [{"label": name, "bbox_xyxy": [1, 1, 10, 10]}],
        "labelMethod": "manual",
    } | more


def info(name: str = "animals", version: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "datasetName": name,
        "datasetVersion": version,
        "annotationType": "detection",
        "modelType": "teacher",
    } | more


def image(core: Core, name: str, *, split: str = "train", tenant: str = "default", label_name: str = "cat") -> str:
    """An uploaded, registered, described and labelled image; returns its annotation's id."""
    key = f"d/{name}.jpg" if tenant == "default" else f"tenants/{tenant}/d/{name}.jpg"
    uid, notice = put(core, key)
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata(tenant, meta(uid, split=split))
    return core.services.annotating.register(tenant, label(uid, name=label_name)).id


def labelled(core: Core, count: int, prefix: str = "i", tenant: str = "default") -> list[str]:
    splits = ("train", "train", "val", "test")
    return [image(core, f"{prefix}{number}", split=splits[number % 4], tenant=tenant) for number in range(count)]


def run_build(core: Core, task_id: str, tenant: str = "default") -> dict[str, Any]:
    """The states of dataset_build, one after the other; a refused gate ends the task as the machine does."""
    building = core.again().building
    plan = building.plan(tenant, task_id)
    for key in sorted(name for name in core.objects() if name.startswith(plan["parts_prefix"])):
        core.again().building.join(tenant, task_id, key)
    found = core.again().building.reduce(tenant, task_id)
    if found["passed"]:
        core.again().building.mark_ready(tenant, task_id)
    else:
        core.again().tasks.fail(tenant, task_id, "QualityGateFailed", found["reason"])
    return found


def ready_version(
    core: Core, ids: list[str], name: str = "animals", version: str = "1", tenant: str = "default"
) -> Any:
    """A built dataset version."""
    made = core.services.curating.create(tenant, info(name, version))
    core.services.curating.link(tenant, made.id, ids)
    run_build(core, core.services.building.request_build(tenant, made.id).id, tenant)
    return core.services.curating.get(tenant, made.id)


def archive(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return target.getvalue()


def job_output(core: Core, task_id: str, value: float = 0.8, tenant: str = "default", **metrics: Any) -> str:
    """What a training job leaves in S3; returns the URI of its model archive. metrics: further keys of metrics.json."""
    onnx = b"an onnx file of " + task_id.encode()
    model = {"labels": ["cat"], "onnx": {"sha256": hashlib.sha256(onnx).hexdigest()}}
    prefix = f"{tenant}/training/{task_id}/jobs/train-{task_id}/output"
    files = {"model.onnx": onnx, "model.json": json.dumps(model).encode(), "model_card.md": b"# card"}
    report = REPORT | {"primary": {"name": "AP50", "value": value}} | metrics
    core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/model.tar.gz", Body=archive(files))
    body = archive({"metrics.json": json.dumps(report).encode(), "curves.json": b"{}"})
    core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/output.tar.gz", Body=body)
    return f"s3://{ARTIFACTS}/{prefix}/model.tar.gz"


def analysis_output(
    core: Core,
    task_id: str,
    *,
    predictions: dict[str, list[dict[str, Any]]] | None = None,
    chosen: list[dict[str, Any]] | None = None,
    duplicates: list[list[str]] | None = None,
    layers: list[dict[str, Any]] | None = None,
    tenant: str = "default",
) -> None:
    """What an analysis job leaves in S3: the files of predict, select or sensitivity."""
    files: dict[str, Any] = {}
    if predictions is not None:
        rows = [json.dumps({"uid": uid, "predictions": found}) for uid, found in predictions.items()]
        names = [one["label"] for found in predictions.values() for one in found]
        summary = {"images": len(rows), "failed": 0, "predictions": len(names), "min_score": 0.3}
        labels = {name: names.count(name) for name in names}
        files = {"predictions.jsonl": "\n".join(rows) + "\n", "summary.json": summary | {"labels": labels}}
    if chosen is not None:
        selection = {"strategy": "random", "seed": 0, "count": len(chosen), "chosen": chosen, "left_out": {}}
        files = {"selection.json": selection, "duplicates.json": {"groups": duplicates or [], "distance": 10}}
    if layers is not None:
        files = {"sensitivity.json": {"baseline": 0.8, "metric": "AP50", "images": 1, "layers": layers}}
    for name, body in files.items():
        text = body if isinstance(body, str) else json.dumps(body)
        key = f"{tenant}/analyses/{task_id}/output/{name}"
        core.clients.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=text.encode())


def trained_model(core: Core, version_id: str, value: float = 0.8, tenant: str = "default", **wish: Any) -> str:
    """A COMPLETED model; returns its id."""
    task = core.services.training.request(tenant, version_id, **wish)
    core.again().training.prepare(tenant, task.id)
    answer = core.again().training.register_model(tenant, task.id, job_output(core, task.id, value, tenant))
    return str(answer["model_id"])


def run_release(core: Core, task_id: str, tenant: str = "default") -> str:
    """The states of the release machine without approval; returns the release's id."""
    found = core.again().releasing.collect(tenant, task_id)
    release_id = str(found["release_id"])
    if not found["gate_passed"]:
        core.again().releasing.refuse(tenant, release_id, found["reason"])
        return release_id
    core.again().releasing.publish(tenant, release_id)
    core.again().releasing.smoke(tenant, release_id)
    core.again().releasing.mark(tenant, release_id)
    return release_id


def release(core: Core, model_id: str, name: str = "scenes", tenant: str = "default", **wish: Any) -> str:
    return run_release(core, core.services.releasing.request(tenant, model_id, name=name, **wish).id, tenant)
