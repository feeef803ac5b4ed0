"""Annotation files dropped under annotations/: COCO JSON and our JSONL, imported by event with a report per item."""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.ids import derived_uuid, uid_of
from dataloop.domain.masks import check_segmentation
from dataloop.domain.raw_data import is_key, key_of, split_key
from dataloop.gateways.objects import Bucket
from dataloop.gateways.queues import Queue
from dataloop.services.annotating import AnnotationService
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# A COCO file is parsed in memory, about ten times its size, within the function's 1 GB and five minutes; an image costs
# one or two HEADs, sixteen at a time. Larger files are sent in parts.
MAX_COCO_BYTES = 40 * 1024 * 1024
MAX_COCO_IMAGES = 50_000
HEADS_AT_ONCE = 16
BATCH = 100
# Lines with fine outlines may have 4 MB each: as objects, and once more as annotations, a batch takes ten times this.
BATCH_BYTES = 16 * 1024 * 1024
# Waits for files that the annotations name and that are not there yet: 30 s doubled up to 15 min, about two hours.
FIRST_DELAY_S = 30
MAX_ATTEMPTS = 12
REPORT_ITEMS = 100


@dataclass
class ImportReport:
    """How many annotations came in, and what was wrong with the others (the first hundred spelt out)."""

    registered: int = 0
    failed: int = 0
    missing: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def problem(self, item: str, reason: str) -> None:
        self.failed += 1
        if len(self.problems) < REPORT_ITEMS:
            self.problems.append({"item": item, "reason": reason})

    def miss(self, file_name: str) -> None:
        self.missing += 1
        if len(self.problems) < REPORT_ITEMS:
            self.problems.append({"item": file_name, "reason": "no such file in the bucket"})

    def to_json(self) -> dict[str, Any]:
        return {
            "registered": self.registered,
            "failed": self.failed,
            "missing": self.missing,
            "problems": self.problems,
        }


class ImportService:
    """Each file version is one task of kind `import`; importing it again registers the same annotations."""

    def __init__(self, annotating: AnnotationService, tasks: TaskService, raw: Bucket, ingest_queue: Queue) -> None:
        self._annotating = annotating
        self._tasks = tasks
        self._raw = raw
        self._ingest_queue = ingest_queue

    def import_file(self, key: str, version_id: str, attempt: int = 1) -> str:
        """Import one annotation file. Returns the task's id; a bad file ends the task as FAILED, with the reason."""
        tenant, name = split_key(key)
        task_id = import_task_id(key, version_id)
        task = self._tasks.create(tenant, "import", f"File#{name}", {"object_name": name}, id=task_id)
        if task.is_ended:
            return task_id
        task = self._tasks.begin(task, "import")
        try:
            report = self._import(tenant, key, name, version_id)
        except (InvalidInput, LimitExceeded, NotFound) as error:
            self._tasks.fail(tenant, task_id, type(error).__name__, str(error))
            return task_id
        if report.missing and attempt < MAX_ATTEMPTS:
            self._tasks.note(task, phase=f"waits for {report.missing} files", progress={"done": report.registered})
            retry = {"key": key, "version_id": version_id, "attempt": attempt + 1}
            self._ingest_queue.send({"retry_import": retry}, delay_s=FIRST_DELAY_S * 2 ** (attempt - 1))
            return task_id
        result = report.to_json()
        if report.registered == 0:
            first = report.problems[0]["reason"] if report.problems else "it holds no annotation"
            self._tasks.fail(tenant, task_id, "NothingImported", f"nothing of {name} could be imported: {first}")
        else:
            self._tasks.succeed(task, result)
        return task_id

    def _import(self, tenant: str, key: str, name: str, version_id: str) -> ImportReport:
        report = ImportReport()
        if name.lower().endswith(".jsonl"):
            stored, stream = self._raw.open(key, version_id)
            bodies = self._jsonl(stream.iter_lines(), report)  # type: ignore[attr-defined]
        elif name.lower().endswith(".json"):
            stored, stream = self._raw.open(key, version_id)
            if stored.size_bytes > MAX_COCO_BYTES:
                raise LimitExceeded("annotation file: bytes", MAX_COCO_BYTES, stored.size_bytes)
            # The whole file is in memory anyway: its annotations have no size of their own.
            bodies = ((0, body) for body in self._coco(tenant, name, stream.read(), report))
        else:
            raise InvalidInput("annotation file", "must be COCO .json or our .jsonl", name)
        batch: list[Mapping[str, Any]] = []
        size = 0
        for size_bytes, body in bodies:
            batch.append(body)
            size += size_bytes
            if len(batch) == BATCH or size >= BATCH_BYTES:
                self._register(tenant, batch, report)
                batch, size = [], 0
        if batch:
            self._register(tenant, batch, report)
        return report

    def _register(self, tenant: str, batch: Sequence[Mapping[str, Any]], report: ImportReport) -> None:
        for body, result in zip(batch, self._annotating.register_batch(tenant, batch), strict=True):
            if isinstance(result, DomainError):
                report.problem(str(body.get("dataId")), str(result))
            else:
                report.registered += 1

    @staticmethod
    def _jsonl(lines: Iterator[bytes], report: ImportReport) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """One annotation object of seed 000 per line, with the line's size in bytes."""
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                body = json.loads(line)
            except (ValueError, RecursionError) as error:
                report.problem(f"line {number}", f"is not JSON: {error}")
                continue
            if isinstance(body, Mapping):
                yield len(line), body
            else:
                report.problem(f"line {number}", "is not an object")

    def _coco(self, tenant: str, name: str, data: bytes, report: ImportReport) -> Iterator[Mapping[str, Any]]:
        """One annotation per image with all its labels. Raises InvalidInput for anything that is not COCO."""
        try:
            coco = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("annotation file", f"is not JSON: {error}") from error
        if not isinstance(coco, Mapping) or not isinstance(coco.get("images"), list):
            raise InvalidInput("annotation file", "is not COCO: it has no list `images`")
        names = {entry.get("id"): entry.get("name") for entry in _objects(coco, "categories")}
        entries, images = _objects(coco, "annotations"), _objects(coco, "images")
        has_objects = any(entry.get("bbox") or entry.get("segmentation") for entry in entries)
        labels: dict[Any, list[dict[str, Any]]] = {}
        for entry in entries:
            try:
                label = _coco_label(entry, names, has_objects)
            except (InvalidInput, LimitExceeded) as error:
                report.problem(f"annotation {entry.get('id')}", str(error))
            else:
                labels.setdefault(entry.get("image_id"), []).append(label)
        for image_id in labels.keys() - {entry.get("id") for entry in images}:
            report.problem(f"image {image_id}", "is not among the images")
        kind = coco.get("annotationType") or _coco_type(images, labels, has_objects)
        if len(images) > MAX_COCO_IMAGES:
            raise LimitExceeded("annotation file: images", MAX_COCO_IMAGES, len(images))
        with ThreadPoolExecutor(HEADS_AT_ONCE) as pool:
            uids = list(pool.map(lambda image: self._uid_of(tenant, name, image), images))
        seen: set[Any] = set()
        for image, uid in zip(images, uids, strict=True):
            if image.get("id") in seen:
                # Whose labels are they? The first image of an id keeps them.
                report.problem(f"image {image.get('id')}", f"{image.get('file_name')!r} has an id that came before")
                continue
            seen.add(image.get("id"))
            if uid is None:
                report.miss(str(image.get("file_name")))
                continue
            yield {
                "dataId": [uid],
                "annotationType": kind,
                "labelInfo": labels.get(image.get("id"), []),
                "labelMethod": "import",
            }

    def _uid_of(self, tenant: str, name: str, image: Mapping[str, Any]) -> str | None:
        """The content a COCO image names: by its `uid`, or by its file name beside or below the annotation file's path.

        annotations/site-a/labels.json naming 0001.jpg means site-a/0001.jpg or 0001.jpg. 1–2 HEADs an image.
        """
        if isinstance(image.get("uid"), str):
            return str(image["uid"])
        file_name = image.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            return None
        folder = posixpath.dirname(name.removeprefix("annotations/"))
        for candidate in dict.fromkeys((posixpath.join(folder, file_name), file_name)):
            key = key_of(tenant, candidate.lstrip("/"))
            # A name may spell another tenant's area, or something that no key can be.
            if split_key(key)[0] != tenant or not is_key(key):
                continue
            stored = self._raw.head(key)
            if stored is not None:
                return uid_of(stored.sha256 or self._hash(stored.key))
        return None

    def _hash(self, key: str) -> str:
        hasher = hashlib.sha256()
        _, stream = self._raw.open(key)
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
        return hasher.hexdigest()


def import_task_id(key: str, version_id: str) -> str:
    """The task of one annotation file version, so that hearing of it twice is hearing of it once."""
    return derived_uuid(0, "import", key, version_id)


def _objects(coco: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    entries = coco.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidInput("annotation file", f"is not COCO: {name} must be a list of objects")
    for entry in entries:
        for id_name in ("id", "image_id", "category_id"):
            if not isinstance(entry.get(id_name), str | int | None):
                raise InvalidInput("annotation file", f"is not COCO: {name} has a {id_name} that is no number or text")
    return entries


def _coco_type(
    images: Sequence[Mapping[str, Any]], labels: Mapping[Any, Sequence[Mapping[str, Any]]], has_objects: bool
) -> str:
    """What a file is about that does not say so by an `annotationType` of its own."""
    if not labels:
        return "detection"
    if not has_objects:
        is_one_each = all(len(labels.get(image.get("id"), ())) == 1 for image in images)
        return "classification" if is_one_each else "multilabel_classification"
    has_masks = all("segmentation" in label for found in labels.values() for label in found)
    return "instance_segmentation" if has_masks else "detection"


def _coco_label(entry: Mapping[str, Any], names: Mapping[Any, Any], has_objects: bool) -> dict[str, Any]:
    """A label in our words. has_objects: the file is about objects, so each entry needs a box or a segmentation.

    Raises InvalidInput, LimitExceeded.
    """
    label = names.get(entry.get("category_id"))
    if not isinstance(label, str):
        raise InvalidInput("category_id", "is not among the categories", entry.get("category_id"))
    found: dict[str, Any] = {"label": label}
    # Tools that have no box or no mask to say may write an empty list.
    box, segmentation = entry.get("bbox") or None, entry.get("segmentation") or None
    if box is not None or (has_objects and segmentation is None):
        found["bbox_xyxy"] = _coco_box(box)
    if segmentation is not None:
        # Kept as it came: the copy in our form is made when the annotation is, a hundred at a time.
        check_segmentation(segmentation, "segmentation")
        found["segmentation"] = segmentation
    if entry.get("iscrowd"):
        found["iscrowd"] = 1
    if isinstance(entry.get("score"), int | float):
        found["score"] = entry["score"]
    return found


def _coco_box(box: object) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        raise InvalidInput("bbox", "must be [x, y, width, height]", box)
    x, y, width, height = box
    if not (width > 0 and height > 0):
        raise InvalidInput("bbox", "needs a width and a height above 0", box)
    try:
        canonical_json(box)
    except ValueError:
        raise InvalidInput("bbox", "must hold finite numbers", box) from None
    return [x, y, x + width, y + height]
