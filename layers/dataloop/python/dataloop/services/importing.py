"""Imports: label files of any readable format become annotations of the images they name, with a report per item.

    Read ──▶ parts of 1,000 annotations in S3 ──▶ register each ──▶ Finish

Read checks everything there is to check before a single annotation is registered: under the policy `stop` the first problem
ends the import, and nothing of it is there. A request runs as the machine dataset_import; a small file that is dropped under
annotations/ goes through the same three steps inside the function that hears of it.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.ids import derived_uuid
from dataloop.domain.raw_data import is_key, key_of, split_key
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.tasks import Task
from dataloop.formats import registry
from dataloop.formats.surface import POLICIES, REPORT_ITEMS, Picture
from dataloop.gateways.objects import Bucket
from dataloop.gateways.queues import Queue
from dataloop.manifests.merging import distinct, merged_lines
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.annotating import AnnotationService
from dataloop.services.curating import DatasetService
from dataloop.services.importing_parts import Parts, Report, batches
from dataloop.services.importing_pictures import OWN, PictureFinder, body_of, misfit, own_pictures
from dataloop.services.importing_sources import BothSources, PicturesBelow, PrefixSource, SourceInterrupted, open_source
from dataloop.services.tracking import TaskService

# What the function that hears of a file imports itself, in seconds; an archive may hold ten times its size. Anything larger
# runs as the machine.
INLINE_BYTES = 2 * 1024 * 1024
ARCHIVE_RATIO = 10
# Pictures that are looked up together, and annotations that are written together.
BATCH = 100
# Ids of one segment of a dataset: as many as one link request brings.
SEGMENT_IDS = 200_000
# Waits for files that the annotations name and that are not there yet: 30 s doubled up to 15 min, about two hours.
FIRST_DELAY_S = 30
MAX_ATTEMPTS = 12
WAITS = "waits for"


class ImportService:
    """Each request, and each version of a dropped file, is one task; importing again registers the same annotations."""

    def __init__(
        self,
        annotating: AnnotationService,
        curating: DatasetService,
        tasks: TaskService,
        raw_data: RawDataRepository,
        raw: Bucket,
        artifacts: Bucket,
        ingest_queue: Queue,
    ) -> None:
        self._annotating = annotating
        self._curating = curating
        self._tasks = tasks
        self._raw_data = raw_data
        self._raw = raw
        self._artifacts = artifacts
        self._ingest_queue = ingest_queue

    def request(
        self, tenant: str, body: Mapping[str, Any], task_id: str | None = None, clearance: Clearance = EVERYTHING
    ) -> Task:
        """{"object_name" | "prefix", "format"?, "on_error"?, "images"?, "dataset_id"?} -> the task.

        clearance: the caller's; images outside of it are refused item by item.
        Raises InvalidInput, NotFound (no such file, no such dataset), IllegalTransition (the dataset is no draft).
        Cost: 1 HEAD or 1 listing, 1 read of the dataset, and the task.
        """
        wish = self._wish(tenant, body)
        if clearance.is_limited:
            wish["clearance"] = clearance.to_json()
        named = wish.get("object_name") or wish["prefix"]
        task = self._tasks.create(tenant, "import", f"File#{named}", wish, id=task_id)
        return self._tasks.start(task)

    def _wish(self, tenant: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request, checked; the version of the file is pinned, so that every step reads the same bytes."""
        given = [name for name in ("object_name", "prefix") if body.get(name) is not None]
        if len(given) != 1:
            raise InvalidInput("object_name", "give either object_name or prefix")
        wish: dict[str, Any] = {
            "format": _format(body.get("format", "auto")),
            "on_error": body.get("on_error", "stop"),
        }
        if wish["on_error"] not in POLICIES:
            raise InvalidInput("on_error", f"must be one of {', '.join(POLICIES)}", wish["on_error"])
        for name in (*given, "images"):
            if body.get(name) is not None:
                wish[name] = _place(tenant, name, body[name])
        if "object_name" in wish:
            stored = self._raw.head(key_of(tenant, wish["object_name"]))
            if stored is None:
                raise NotFound("file", wish["object_name"])
            wish["version_id"] = stored.version_id
        elif next(self._raw.keys(key_of(tenant, wish["prefix"])), None) is None:
            raise NotFound("prefix", wish["prefix"])
        if body.get("dataset_id") is not None:
            version = self._curating.get(tenant, str(body["dataset_id"]))
            if version.status != "DRAFT":
                raise IllegalTransition("dataset", version.id, version.status, "linking")
            wish["dataset_id"] = version.id
        return wish

    def import_file(self, key: str, version_id: str, attempt: int = 1) -> str:
        """Import one dropped file: here when it is small, else by the machine. Returns the task's id.

        A bad file ends the task as FAILED, with the reason. What it names and is not there yet is waited for.
        """
        tenant, name = split_key(key)
        task_id = import_task_id(key, version_id)
        wish = {"object_name": name, "version_id": version_id, "format": "auto", "on_error": "skip", "waits": True}
        task = self._tasks.create(tenant, "import", f"File#{name}", wish, id=task_id)
        if task.is_ended:
            return task_id
        if task.attempt > attempt:
            # An earlier look is heard of again, or a sweep found the import quiet: it goes on where it is.
            self._look_again(task)
            return task_id
        if task.attempt < attempt:
            task = self._tasks.note(task, attempt=attempt)
        stored = self._raw.head(key, version_id)
        if stored is not None and not _is_small(name, stored.size_bytes):
            self._tasks.start(task)
            return task_id
        try:
            plan = self.read(tenant, task_id)
            parts = Parts(self._artifacts, _root(task))
            for index in range(plan["parts"]):
                self.register(tenant, task_id, parts.key(index))
            self.finish(tenant, task_id, plan["attempt"])
        except (InvalidInput, LimitExceeded, NotFound) as error:
            self._tasks.fail(tenant, task_id, type(error).__name__, str(error))
        return task_id

    def read(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Read the label files, find their images, check every annotation, and write them in parts. Registers nothing.

        Raises FormatError and other InvalidInput for what cannot be imported, NotFound, LimitExceeded.
        Cost: the reading, 1 to 5 HEADs a picture that is named by file name, 1 BatchGet per 100, 1 PUT per 1,000.
        """
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "read")
        parts = Parts(self._artifacts, _root(task))
        try:
            reader, report, count, total = self._read(task, parts)
        except SourceInterrupted as interrupted:
            raise interrupted.reason from interrupted
        facts = {"format": reader, "missing": report.missing, "annotations": total}
        parts.put("read.json", facts | report.to_json())
        self._tasks.note(task, phase="register", progress={"done": 0, "total": total, "unit": "annotation"})
        return {
            "bucket": self._artifacts.name,
            "parts_prefix": parts.prefix,
            "parts": count,
            "attempt": task.attempt,
        }

    def _read(self, task: Task, parts: Parts) -> tuple[str, Report, int, int]:
        """(format, report, number of parts, number of annotations)."""
        wish = task.parameters
        source = open_source(self._raw, task.tenant, wish)
        name = str(wish.get("format", "auto"))
        reader = registry.recognised(source) if name == "auto" else registry.reader_of(name)
        read = own_pictures if reader.NAME == OWN else reader.read
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.jsonl")
            with Report(policy=str(wish.get("on_error", "skip")), path=path) as report:
                below = source.pictures() if isinstance(source, PrefixSource | BothSources) else None
                count, total = parts.write(self._lines(task, read(source, report), report, below))
            self._artifacts.upload(path, f"{parts.root}/read.jsonl")
        return reader.NAME, report, count, total

    def _lines(
        self, task: Task, pictures: Iterable[Picture], report: Report, below: PicturesBelow | None
    ) -> Iterator[bytes]:
        """An entry of a part for each picture that can be imported: {"body", "split"?}."""
        wish = task.parameters
        folder = wish.get("prefix") or posixpath.dirname(str(wish.get("object_name", "")))
        finder = PictureFinder(self._raw, self._raw_data, task.tenant, str(folder), wish.get("images"), below)
        clearance = Clearance.from_json(wish.get("clearance") or {})
        is_final = not wish.get("waits") or task.attempt >= MAX_ATTEMPTS
        rest = iter(pictures)
        while batch := list(islice(rest, BATCH)):
            for picture, found in zip(batch, finder.find(batch), strict=True):
                if found is None:
                    report.miss(picture.file_name, is_final=is_final)
                    continue
                reason = misfit(picture, found, clearance)
                if reason is not None:
                    report.problem(picture.file_name or found.uid, reason)
                    continue
                try:
                    body = body_of(picture, found)
                    checked = self._annotating.read(task.tenant, body)
                except (InvalidInput, LimitExceeded) as error:
                    report.problem(picture.file_name or found.uid, str(error))
                    continue
                said = {"split": picture.split, "uids": checked.data_ids} if picture.split else {}
                yield canonical_json({"body": body} | said)

    def register(self, tenant: str, task_id: str, part_key: str) -> dict[str, Any]:
        """Register the annotations of one part, and what their file says of splits. Again it changes nothing.

        Cost: 2 calls and 2 WRU an annotation, 1 WRU an image whose split is said, 1 GET and 1 or 2 PUTs.
        """
        root, name = part_key.rsplit("/parts/", 1)
        parts = Parts(self._artifacts, root)
        clearance = Clearance.from_json(self._tasks.read(tenant, task_id).parameters.get("clearance") or {})
        ids: set[str] = set()
        registered, problems = 0, []
        for batch in batches(parts.read(part_key), BATCH):
            for entry in batch:
                for uid in entry.get("uids", ()):
                    self._raw_data.put_hints(tenant, uid, {"split": entry["split"]})
            bodies = [entry["body"] for entry in batch]
            for body, result in zip(bodies, self._annotating.register_batch(tenant, bodies, clearance), strict=True):
                if isinstance(result, DomainError):
                    problems.append({"item": str(body.get("dataId"))[:200], "reason": str(result)[:500]})
                else:
                    registered += 1
                    ids.add(result.id)
        lines = "".join(f"{id}\n" for id in sorted(ids)).encode()
        self._artifacts.put(f"{root}/ids/{name}", lines, "text/plain")
        parts.put(f"results/{name}", {"registered": registered, "problems": problems})
        return {"registered": registered}

    def finish(self, tenant: str, task_id: str, attempt: int) -> dict[str, Any]:
        """Wait for images that are not there yet, or link what was registered and end the task with its report."""
        task = self._tasks.read(tenant, task_id)
        if task.is_ended:
            return {"task_id": task.id}  # done before; only the answer was lost
        parts = Parts(self._artifacts, _root(task, attempt))
        found = parts.get("read.json")
        if task.parameters.get("waits") and found["missing"] and attempt < MAX_ATTEMPTS:
            self._wait(task, attempt, int(found["missing"]))
            return {"task_id": task.id}
        task = self._tasks.begin(task, "finish")
        results = list(parts.results())
        registered = sum(result["registered"] for result in results)
        late = [problem for result in results for problem in result["problems"]]
        problems = [*found["problems"], *late]
        if registered == 0:
            first = problems[0]["reason"] if problems else "it holds no annotation"
            named = task.parameters.get("object_name") or task.parameters.get("prefix")
            self._tasks.fail(tenant, task.id, "NothingImported", f"nothing of {named} could be imported: {first}")
            return {"task_id": task.id}
        result = {
            "format": found["format"],
            "registered": registered,
            "failed": found["failed"] + len(late),
            "missing": found["missing"],
            "problems": problems[:REPORT_ITEMS],
            "losses": found["losses"],
            "files": self._report(parts, late) if problems else [],
        }
        self._tasks.succeed(task, result | self._link(task, parts.root))
        return {"task_id": task.id}

    def _wait(self, task: Task, attempt: int, missing: int) -> None:
        """Look again later. The task's attempt moves before the note is sent: a crash between is mended by a repeat."""
        following = max(task.attempt, attempt + 1)
        self._look_again(self._tasks.note(task, attempt=following, phase=f"{WAITS} {missing} files"))

    def _look_again(self, task: Task) -> None:
        key = key_of(task.tenant, str(task.parameters["object_name"]))
        retry = {"key": key, "version_id": task.parameters["version_id"], "attempt": task.attempt}
        self._ingest_queue.send({"retry_import": retry}, delay_s=FIRST_DELAY_S * 2 ** (task.attempt - 2))

    def _link(self, task: Task, root: str) -> dict[str, Any]:
        """Put what was registered into the draft that the request names: a segment per 200,000 annotations."""
        version_id = task.parameters.get("dataset_id")
        if version_id is None:
            return {}
        version = self._curating.get(task.tenant, str(version_id))
        linked = 0
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for key, size in self._artifacts.keys(f"{root}/ids/"):
                if size:
                    paths.append(Path(folder, posixpath.basename(key)))
                    self._artifacts.download(key, paths[-1])
            ids = distinct(merged_lines(paths, Path(folder)))
            while segment := [line.decode() for line in islice(ids, SEGMENT_IDS)]:
                self._curating.add_segment(version, segment)
                linked += len(segment)
        return {"dataset_id": version.id, "linked": linked}

    def _report(self, parts: Parts, late: list[dict[str, str]]) -> list[dict[str, Any]]:
        """The whole report as one file of the task: a line per problem."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.jsonl")
            self._artifacts.download(f"{parts.root}/read.jsonl", path)
            with path.open("ab") as file:
                file.writelines(canonical_json(problem) + b"\n" for problem in late)
            self._artifacts.upload(path, f"{parts.root}/report.jsonl")
            size = path.stat().st_size
        return [{"name": "report.jsonl", "key": f"{parts.root}/report.jsonl", "size_bytes": size}]


def import_task_id(key: str, version_id: str) -> str:
    """The task of one dropped file's version, so that hearing of it twice is hearing of it once."""
    return derived_uuid(0, "import", key, version_id)


def waits_for_files(task: Task) -> bool:
    """An import between two looks: it has no execution, and a message of the ingest queue brings it back."""
    return task.kind == "import" and task.phase.startswith(WAITS)


def _root(task: Task, attempt: int | None = None) -> str:
    return f"{task.tenant}/imports/{task.id}/{attempt or task.attempt}"


def _is_small(name: str, size_bytes: int) -> bool:
    ratio = ARCHIVE_RATIO if name.lower().endswith(".zip") else 1
    return size_bytes * ratio <= INLINE_BYTES


def _format(value: object) -> str:
    """auto, or the name of a format that can be read. Raises InvalidInput."""
    names = ("auto", *sorted(registry.names_read()))
    if value not in names:
        raise InvalidInput("format", f"must be one of {', '.join(names)}", value)
    return str(value)


def _place(tenant: str, field: str, value: object) -> str:
    """An object name, or a prefix that ends in a slash, inside the tenant's area. Raises InvalidInput."""
    if not isinstance(value, str) or not value.strip("/ "):
        raise InvalidInput(field, "must be a non-empty text", value)
    name = value.lstrip("/")
    if field != "object_name":
        name = name.rstrip("/") + "/"
    if split_key(key_of(tenant, name))[0] != tenant or name.startswith("tenants/") or not is_key(key_of(tenant, name)):
        raise InvalidInput(field, "is no name in your area", value)
    return name
