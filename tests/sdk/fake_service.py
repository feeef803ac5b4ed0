"""A small service that speaks the SDK's HTTP API and a form-upload storage, on a real socket.

It keeps what it was told, so that tests can look; and it can be told to misbehave: `script` queues answers that are
given instead of the real ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from werkzeug.formparser import FormDataParser, parse_options_header

BUCKET = "data-sync-storage"
KEY = "dl_test"


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """An answer to give instead of the real one. drop: hang up without a word; cut: send only so many bytes of it."""

    status: int = 503
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: int | None = None
    raw: bytes | None = None
    after: bool = False  # do the real thing first: the answer is lost, the effect is not


class ServiceFault(Exception):
    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": details}


class FakeService:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.objects: dict[str, bytes] = {}
        self.object_fields: dict[str, dict[str, str]] = {}
        self.raw_data: dict[str, Any] = {}
        self.annotations: dict[str, Any] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.links: dict[str, set[str]] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.answers: dict[tuple[str, str], Any] = {}
        self._scripts: dict[tuple[str, str], list[Scripted]] = {}
        self._lock = threading.Lock()
        service = self

        class Handler(_Handler):
            owner = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, method: str, path: str, *answers: Scripted) -> None:
        """Queue answers for the next requests with this method and path."""
        self._scripts.setdefault((method, path), []).extend(answers)

    def answer(self, method: str, path: str, body: Any) -> None:
        """A fixed answer for a route that needs no memory."""
        self.answers[method, f"/api/v1{path}"] = body

    def calls(self, method: str, path: str) -> list[Seen]:
        with self._lock:
            return [each for each in self.seen if (each.method, each.path) == (method, path)]

    def note(self, seen: Seen) -> Scripted | None:
        with self._lock:
            self.seen.append(seen)
            waiting = self._scripts.get((seen.method, seen.path))
            return waiting.pop(0) if waiting else None

    # ---- the routes ----------------------------------------------------------------------------------------------

    def handle(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        if seen.path == f"/{BUCKET}" and seen.method == "POST":
            return self._store(seen)
        if seen.path.startswith("/object/"):
            content = self.objects.get(unquote(seen.path.removeprefix("/object/")))
            return (200, content, {}) if content is not None else (404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        if seen.path == "/health":
            return 200, {"status": "ok", "stage": "test", "version": "1"}, {}
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            raise ServiceFault(401, "Unauthenticated", "who are you?")
        fixed = self.answers.get((seen.method, seen.path))
        if fixed is not None:
            return 200, fixed, {}
        for method, pattern, route in self._routes():
            match = re.fullmatch(pattern, seen.path)
            if method == seen.method and match:
                return 200, route(seen, *(unquote(group) for group in match.groups())), {}
        raise ServiceFault(404, "NotFound", f"no route {seen.method} {seen.path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        one = "/api/v1"
        return [
            ("POST", f"{one}/uploads", lambda s: {"results": [self._grant(f) for f in s.json["files"]]}),
            ("POST", f"{one}/raw-data", lambda s: self._register(s.json)),
            ("POST", f"{one}/raw-data/batch", lambda s: self._each(s, self._register)),
            ("POST", f"{one}/annotations", lambda s: self._annotate(s.json)),
            ("POST", f"{one}/annotations/batch", lambda s: self._each(s, self._annotate)),
            ("POST", f"{one}/datasets", self._create),
            ("GET", f"{one}/datasets/lookup", self._lookup),
            ("POST", f"{one}/datasets/([^/]+)/links", self._link),
            ("POST", f"{one}/datasets/([^/]+)/download", self._download),
            ("GET", f"{one}/files/([^/]+)/link", self._file_link),
            ("POST", f"{one}/files/by-storage", self._by_storage),
            ("GET", f"{one}/tasks/([^/]+)", self._task),
        ]

    def _grant(self, file: dict[str, Any]) -> dict[str, Any]:
        if not file["size_bytes"]:
            return {"error": {"code": "InvalidInput", "message": "empty", "details": {}}}
        if file["file_name"].startswith("refuse"):
            return {"error": {"code": "InvalidInput", "message": "this name is refused", "details": {"field": "x"}}}
        object_name = f"{file['directory'] or '2024-10-24'}/{file['file_name']}"
        held = self.objects.get(object_name)
        exists = held is not None and hashlib.sha256(held).hexdigest() == file["sha256"]
        digest = base64.b64encode(bytes.fromhex(file["sha256"])).decode()
        fields = {
            "key": object_name,
            "Content-Type": file["content_type"],
            "x-amz-checksum-sha256": digest,
            "x-amz-meta-uid": file["sha256"][:32],
            "x-size": str(file["size_bytes"]),
            "policy": "cG9saWN5",
        }
        return {
            "uid": file["sha256"][:32],
            "bucket": BUCKET,
            "storage_id": "2vcrqyykgmaql",
            "object_name": object_name,
            "url": f"{self.url}/object/{object_name}",
            "exists": exists,
            "upload": None if exists else {"url": f"{self.url}/{BUCKET}", "fields": fields},
        }

    def _store(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        mime, options = parse_options_header(seen.headers["content-type"])
        parsed = FormDataParser(stream_factory=lambda **_: BytesIO()).parse(
            BytesIO(seen.body), mime, len(seen.body), options
        )
        fields = parsed[1].to_dict()
        content = parsed[2]["file"].read()
        if len(content) != int(fields["x-size"]):
            return 400, b"<Error><Code>EntityTooLarge</Code><Message>wrong size</Message></Error>", {}
        if base64.b64encode(hashlib.sha256(content).digest()).decode() != fields["x-amz-checksum-sha256"]:
            return 400, b"<Error><Code>BadDigest</Code><Message>The SHA256 did not match.</Message></Error>", {}
        with self._lock:
            self.objects[fields["key"]] = content
            self.object_fields[fields["key"]] = fields
        return 204, b"", {}

    def _register(self, item: dict[str, Any]) -> dict[str, Any]:
        if item.get("type") not in ("image", "video"):
            raise ServiceFault(422, "InvalidInput", "type must be image or video", field="type")
        self.raw_data[item["uid"]] = item
        return {"raw_data_id": item["uid"][:24]}

    def _annotate(self, item: dict[str, Any]) -> dict[str, Any]:
        if not item.get("dataId"):
            raise ServiceFault(422, "InvalidInput", "dataId needs at least one uid", field="dataId")
        key = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:24]
        self.annotations[key] = item
        return {"annotation_data_id": key}

    def _each(self, seen: Seen, one: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        results = []
        assert len(seen.json["items"]) <= 100
        for item in seen.json["items"]:
            try:
                results.append(one(item))
            except ServiceFault as fault:
                results.append({"error": fault.body})
        return {"results": results}

    def _create(self, seen: Seen) -> dict[str, Any]:
        info = seen.json
        for dataset in self.datasets.values():
            if (dataset["dataset_name"], dataset["dataset_version"]) == (info["datasetName"], info["datasetVersion"]):
                raise ServiceFault(409, "Conflict", "name and version are taken")
        key = f"{len(self.datasets) + 1:024x}"
        names = {"dataset_name": info["datasetName"], "dataset_version": info["datasetVersion"]}
        self.datasets[key] = {"dataset_id": key, **names, "status": "DRAFT"}
        return {"dataset_id": key}

    def _lookup(self, seen: Seen) -> dict[str, Any]:
        for dataset in self.datasets.values():
            if all(dataset[name] == value for name, value in seen.query.items()):
                return dataset
        raise ServiceFault(404, "NotFound", "no such dataset")

    def _link(self, seen: Seen, dataset_id: str) -> dict[str, Any]:
        if dataset_id not in self.datasets:
            raise ServiceFault(404, "NotFound", "no such dataset")
        ids = set(seen.json["annotation_id_list"])
        self.links.setdefault(dataset_id, set()).update(ids)
        return {"dataset_id": dataset_id, "segment_id": "s" * 64, "linked": len(ids)}

    def _download(self, seen: Seen, dataset_id: str) -> dict[str, Any]:
        states = self.tasks.get(f"download-{dataset_id}")
        return states[0] if states else self._no_task(dataset_id)

    def _no_task(self, dataset_id: str) -> dict[str, Any]:
        raise ServiceFault(404, "NotFound", f"no download prepared for {dataset_id}")

    def _task(self, seen: Seen, task_id: str) -> dict[str, Any]:
        states = self.tasks.get(task_id)
        if not states:
            raise ServiceFault(404, "NotFound", "no such task", task_id=task_id)
        return states.pop(0) if len(states) > 1 else states[0]

    def _link_of(self, name: str) -> dict[str, Any]:
        content = self.objects[name]
        digest = hashlib.sha256(content).hexdigest()
        known = {"size_bytes": len(content), "sha256": digest}
        return {"url": f"{self.url}/object/{name}?signature=x", "file_name": name.rpartition("/")[2], **known}

    def _file_link(self, seen: Seen, uid: str) -> dict[str, Any]:
        for name, content in self.objects.items():
            if hashlib.sha256(content).hexdigest()[:32] == uid:
                return self._link_of(name)
        raise ServiceFault(404, "NotFound", "no such file", uid=uid)

    def _by_storage(self, seen: Seen) -> dict[str, Any]:
        name = seen.json["object_name"]
        if seen.json["bucket"] != BUCKET or name not in self.objects:
            raise ServiceFault(404, "NotFound", "no such file")
        link = self._link_of(name)
        return {"url": link["url"], "file_name": link["file_name"]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: FakeService

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        seen = Seen(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
            self.client_address[1],
        )
        scripted = self.owner.note(seen)
        if scripted is not None and not scripted.after:
            self._give(scripted)
            return
        try:
            status, body, headers = self.owner.handle(seen)
        except ServiceFault as fault:
            status, body, headers = fault.status, fault.body, {"x-request-id": "req-1"}
        if scripted is not None:
            self._give(scripted)
            return
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._write(status, content, headers)

    do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 - the names http.server looks for

    def _give(self, scripted: Scripted) -> None:
        if scripted.drop:
            self.close_connection = True
            return
        content = scripted.raw if scripted.raw is not None else json.dumps(scripted.body).encode()
        self._write(scripted.status, content, scripted.headers, scripted.cut)

    def _write(self, status: int, content: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass
