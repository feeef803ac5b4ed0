"""The exported server: real answers to images, and a plain refusal to everything else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dataloop_inference.model import LoadedModel
from dataloop_inference.predictions import Prediction, Rle
from dataloop_inference.server import BODY_LIMIT, CONNECTION_LIMIT, Server, answer, part_of_form
from tests.pictures import png_header
from tests.trained import TrainedModel


@pytest.fixture(scope="module")
def model(classifier: TrainedModel) -> LoadedModel:
    return LoadedModel.open(classifier.folder)


@pytest.fixture
def server(model: LoadedModel) -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), model)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def ask(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def raw(server: Server, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(content)
        return connection.recv(4096)


def form(content: bytes, boundary: str = "xyz") -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="imageData"; filename="a.jpg"\r\n\r\n'
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def test_it_says_what_it_is(server: Server, model: LoadedModel) -> None:
    status, said = ask(server, "GET", "/")
    assert status == 200
    assert said["status"] == "ready"
    assert said["labels"] == list(model.description.labels)


@pytest.mark.parametrize("path", ["/image", "/image?application=x", "/9f3c/classify/iterations/one/image"])
def test_an_image_gets_the_models_own_answer(
    server: Server, model: LoadedModel, classifier: TrainedModel, path: str
) -> None:
    for content in classifier.images.values():
        status, said = ask(server, "POST", path, content, Content_Type="application/octet-stream")
        assert status == 200
        assert said["predictions"] == answer(model.predict([content])[0], model.description.labels)["predictions"]
        assert sum(found["probability"] for found in said["predictions"]) == pytest.approx(1, abs=1e-4)


def test_a_form_and_its_bytes_get_the_same_answer(server: Server, classifier: TrainedModel) -> None:
    content = next(iter(classifier.images.values()))
    plain = ask(server, "POST", "/image", content)[1]["predictions"]
    for kind in ('multipart/form-data; boundary="xyz"', "Multipart/Form-Data; boundary=xyz; charset=utf-8"):
        status, said = ask(server, "POST", "/image", form(content), Content_Type=kind)
        assert (status, said["predictions"]) == (200, plain)


@pytest.mark.parametrize(
    "body",
    [b"", b"not an image", b"\xff\xd8\xff broken", png_header(60_000, 60_000), b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"],
)
def test_what_is_no_usable_image_is_400(server: Server, body: bytes) -> None:
    status, said = ask(server, "POST", "/image", body)
    assert status == 400
    assert "not a usable image" in said["error"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--xyz", "multipart/form-data; boundary=xyz"),
        (form(b"\xff\xd8\xff broken"), "multipart/form-data; boundary=xyz"),
        (form(b""), "multipart/form-data; boundary=other"),
        (form(b""), "multipart/form-data"),
    ],
)
def test_a_broken_form_is_400(server: Server, body: bytes, kind: str) -> None:
    assert ask(server, "POST", "/image", body, Content_Type=kind)[0] == 400


def test_a_form_part_may_hold_what_looks_like_an_end() -> None:
    content = b"a\r\n\r\nb\r\n--xy"
    assert part_of_form(form(content), "multipart/form-data; boundary=xyz") == content


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(BODY_LIMIT + 1)}, 413),
        ({"Content-Length": "9" * 30}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "²"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "5", "Transfer-Encoding": "chunked"}, 411),
        ({}, 411),
    ],
)
def test_a_body_without_a_sound_length_is_refused_unread(
    server: Server, headers: Mapping[str, str], status: int
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    said = raw(server, f"POST /image HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1"))
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in said


def test_an_address_is_not_fetched(server: Server) -> None:
    status, said = ask(server, "POST", "/url", b'{"url": "http://169.254.169.254/"}')
    assert status == 501
    assert "/image" in said["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/image"), ("GET", "/../../etc/passwd"), ("POST", "/")])
def test_an_unknown_route_is_404(server: Server, method: str, path: str) -> None:
    assert ask(server, method, path)[0] == 404


def test_more_connections_than_places_are_turned_away_and_places_come_back(server: Server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(CONNECTION_LIMIT)]
    try:
        assert raw(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in idle:
            connection.close()
    # A closed connection gives its place back when its thread has seen the end; until then 503 is the right answer.
    for _ in range(1000):
        if raw(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 "):
            return
    pytest.fail("no place came back")


def test_boxes_and_masks_are_written_in_plain_numbers() -> None:
    found = Prediction(1, 0.51234567, (0.1, 0.2, 0.30000001, 0.4), Rle(4, 6, "04"))
    (said,) = answer([found], ["a", "b"])["predictions"]
    assert said == {
        "tagName": "b",
        "probability": 0.512346,
        "boundingBox": {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4},
        "segmentation": {"size": [4, 6], "counts": "04"},
    }
