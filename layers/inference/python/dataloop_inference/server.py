"""A model behind HTTP, for devices: `python -m dataloop_inference.server --model model --port 8080`.

The routes are those of Custom Vision's exported container, so that its clients need no change:

    GET  /         {"status": "ready", "task_type", "labels", …}
    POST /image    the image's bytes, or a multipart form with them → {"predictions": [{"tagName", "probability", …}]}
    POST /url      refused (501): a server that fetches addresses for strangers can be sent into the network behind it

A path may have more in front (Custom Vision's clients send /{project}/classify/iterations/{name}/image).
Only the standard library serves; one image at a time is decoded and scored, because memory is what a device lacks.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from dataloop_inference.faults import InferenceFault, UnreadableImage
from dataloop_inference.model import LoadedModel
from dataloop_inference.predictions import Prediction

# Larger than any camera's JPEG, small enough that the connections below fit a device's memory.
BODY_LIMIT = 20_000_000
# Connections beyond these are answered 503 at once.
CONNECTION_LIMIT = 16
# A client that says nothing for so long loses its connection, and its place.
SILENCE_S = 30
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)


@dataclass
class _Refusal(Exception):
    """An answer that is not 200."""

    status: HTTPStatus
    message: str


class Server(ThreadingHTTPServer):
    """Serves one model; `serve_forever` blocks."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], model: LoadedModel):
        self.model = model
        self.one_at_a_time = threading.Lock()
        self.places = threading.BoundedSemaphore(CONNECTION_LIMIT)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread a connection, as long as there are places."""
        if not self.places.acquire(blocking=False):
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread's work; its place is free again afterwards, whatever happened."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is not worth a trace."""
        sys.stderr.write(f"connection lost: {sys.exc_info()[1]!r}\n")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "dataloop"
    sys_version = ""
    timeout: ClassVar[int] = SILENCE_S

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/":
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there is GET / and POST /image"})
            return
        known = self.server.model.description
        self._answer(
            HTTPStatus.OK,
            {
                "status": "ready",
                "model_id": known.model_id,
                "task_type": known.task_type,
                "labels": list(known.labels),
                "image_size": known.image_size,
                "threshold": known.threshold,
            },
        )

    def do_POST(self) -> None:
        try:
            answer = self._predict()
        except _Refusal as refusal:
            # The body may be unread: what follows on this connection would be taken for a request.
            self.close_connection = True
            self._answer(refusal.status, {"error": refusal.message})
        except UnreadableImage as fault:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": f"not a usable image: {fault}"})
        except InferenceFault as fault:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(fault)})
        else:
            self._answer(HTTPStatus.OK, answer)

    def _predict(self) -> dict[str, Any]:
        route = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        if route == "url":
            raise _Refusal(HTTPStatus.NOT_IMPLEMENTED, "this server fetches nothing: send the image itself to /image")
        if route != "image":
            raise _Refusal(HTTPStatus.NOT_FOUND, "there is GET / and POST /image")
        content = self._image()
        with self.server.one_at_a_time:
            (found,) = self.server.model.predict_each([content])
        if isinstance(found, UnreadableImage):
            raise found
        return answer(found, self.server.model.description.labels)

    def _image(self) -> bytes:
        """The encoded image of the request."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or self.headers.get("Transfer-Encoding"):
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "send Content-Length, and no Transfer-Encoding")
        if int(length) > BODY_LIMIT:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes; at most {BODY_LIMIT} are allowed")
        body = self.rfile.read(int(length))
        kind = self.headers.get("Content-Type", "")
        return part_of_form(body, kind) if kind.lower().startswith("multipart/form-data") else body

    def _answer(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Status lines without addresses or paths, which are the client's."""
        sys.stderr.write(f"{self.command or '-'} {args[1] if len(args) > 1 else ''}\n")


def part_of_form(body: bytes, content_type: str) -> bytes:
    """The first part's content of a multipart form; empty when there is none, which is then no image."""
    named = _BOUNDARY.search(content_type)
    if not named:
        return b""
    mark = b"--" + (named.group(1) or named.group(2)).encode("latin-1", "replace")
    first = body.find(mark)
    start = body.find(b"\r\n\r\n", first)
    end = body.find(b"\r\n" + mark, start + 2)
    return b"" if min(first, start, end) < 0 else body[start + 4 : end]


def answer(predictions: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    """The JSON of one image, in Custom Vision's words; masks are ours (COCO run lengths at the image's size)."""
    found = []
    for prediction in predictions:
        entry: dict[str, Any] = {"tagName": labels[prediction.label], "probability": round(prediction.score, 6)}
        if prediction.box is not None:
            names = ("left", "top", "width", "height")
            entry["boundingBox"] = dict(zip(names, (round(value, 6) for value in prediction.box), strict=True))
        if prediction.mask is not None:
            size = [prediction.mask.height, prediction.mask.width]
            entry["segmentation"] = {"size": size, "counts": prediction.mask.counts}
        found.append(entry)
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "predictions": found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model, say where it listens as one JSON line, serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve one exported model over HTTP.")
    parser.add_argument("--model", type=Path, default=Path("model"), help="folder with model.json and model.onnx")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes any free one")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of ONNX Runtime")
    given = parser.parse_args(arguments)
    try:
        server = Server((given.host, given.port), LoadedModel.open(given.model, given.threads))
    except (InferenceFault, OSError) as fault:
        sys.stderr.write(f"failed: {fault}\n")
        return 1
    host, port = server.server_address[:2]
    sys.stdout.write(json.dumps({"listening": f"http://{host!s}:{port}"}) + "\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
