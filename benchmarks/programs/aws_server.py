"""moto on one port, and on another the same, but asked once per kind of request; from then on the answer is repeated.

A kind is method, path with query, and the operation in x-amz-target. Writes the ports as one JSON line, runs until it
is terminated. moto's own server would want Flask: here its in-process mock answers what arrives on the sockets.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

import requests
from moto import mock_aws

_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}

Kind = tuple[str, str, str]


class Front:
    """Reads requests off a socket; answers are bytes ready to send."""

    def __init__(self, *, replays: bool) -> None:
        self._replays = replays
        self._answers: dict[Kind, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ", 2)
                pairs = [line.split(":", 1) for line in lines[1:] if line]
                headers = {name.lower(): value.strip() for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                kind = (method, path, headers.get("x-amz-target", ""))
                answer = self._answers.get(kind) or ask(method, path, headers, body)
                if self._replays and answer.startswith(b"HTTP/1.1 20"):
                    self._answers[kind] = answer
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()


def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """What moto says. The service is the one that the request is signed for."""
    found = _SERVICE.search(headers.get("authorization", ""))
    service = found.group(1) if found else "s3"
    answer = requests.request(
        method,
        f"https://{service}.us-east-1.amazonaws.com{path}",
        data=body,
        headers={name: value for name, value in headers.items() if name != "host"},
        timeout=30,
    )
    kept = [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() not in _HOP]
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason or 'OK'}", *kept, f"Content-Length: {len(answer.content)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.content


async def main() -> None:
    with mock_aws():
        fronts = {"moto": Front(replays=False), "replay": Front(replays=True)}
        servers = {
            name: await asyncio.start_server(front.serve, "127.0.0.1", 0, limit=1 << 20)
            for name, front in fronts.items()
        }
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await asyncio.gather(*(server.serve_forever() for server in servers.values()))


if __name__ == "__main__":
    asyncio.run(main())
