"""The root URL reaches the deployed HTTP API, and only from this machine."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest

from tests.local.stack import LocalStack


def test_method_path_query_headers_and_body_arrive(stack: LocalStack) -> None:
    status, headers, body = stack.http(
        "PATCH",
        "/api/v1/a%20b/c?x=1&x=2&y=%2B",
        b'{"n": 1}',
        **{
            "content-type": "application/json",
            "X-Mine": "ü".encode().decode("latin-1"),
        },
    )

    answer = json.loads(body)
    assert status == 201
    assert headers["X-Probe"] == "yes"
    assert headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert (answer["method"], answer["rawQueryString"]) == ("PATCH", "x=1&x=2&y=%2B")
    assert answer["body"] == '{"n": 1}'
    assert answer["isBase64Encoded"] is False
    assert answer["headers"]["x-mine"]


def test_a_get_with_a_body_arrives_whole(stack: LocalStack) -> None:
    status, _, body = stack.http("GET", "/api/v1/x", b"[1]", **{"content-type": "application/json"})

    assert (status, json.loads(body)["body"]) == (201, "[1]")


def test_health_is_the_application_s_not_the_emulator_s(stack: LocalStack) -> None:
    assert stack.http("GET", "/health")[2] == b'{"status": "ok"}'


def test_a_redirection_needs_no_body(stack: LocalStack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", "/api/v1/moved")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"], answer.read()) == (302, "/health", b"")
    connection.close()


def test_an_unknown_route_is_404(stack: LocalStack) -> None:
    assert stack.http("GET", "/nowhere")[0] == 404


def test_the_runtime_says_that_it_is_up(stack: LocalStack) -> None:
    assert json.loads(stack.http("GET", "/_local/health")[2]) == {"status": "ok"}
    assert stack.http("GET", "/_local/other")[0] == 404


def test_a_foreign_host_name_is_refused(stack: LocalStack) -> None:
    # DNS rebinding: a page elsewhere resolves its own name to 127.0.0.1.
    assert stack.http("GET", "/api/v1/x", Host="evil.example")[0] == 403


@pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="the kernel's list of sockets (/proc/net/tcp) is missing"
)
@pytest.mark.parametrize("which", ["gateway", "aws"])
def test_only_the_loopback_interface_is_bound(stack: LocalStack, which: str) -> None:
    port = stack.port if which == "gateway" else int(stack.info.aws_endpoint_url.rpartition(":")[2])
    listening = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.split(":")[1], 16) == port:
                listening.add(local.split(":")[0])

    # 127.0.0.1 as the kernel writes it, and no other address of either family.
    assert listening == {"0100007F"}


def test_a_connection_is_kept_and_a_put_takes_about_20_ms(stack: LocalStack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    times = []
    for number in range(25):
        started = time.perf_counter()
        connection.request("POST", f"/api/v1/put?id={number}")
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - started)
        assert answer.status == 200
    kept = connection.sock is not None
    connection.close()

    assert kept
    # A ceiling for a busy machine; the median is printed by the benchmark.
    assert sorted(times)[12] < 0.1
