"""A server that takes uploads in three protocols and keeps nothing: presigned form POST, S3 PUT, and the SDK's grants.

It does the same for all: read the head, throw the body away, answer. Nothing is verified, so that clients are compared
and not the server. Writes its port as one JSON line; runs until it is terminated.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

_GRANTS = b"/api/v1/uploads"
_PUT_ANSWER = b'HTTP/1.1 200 OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\nContent-Length: 0\r\n\r\n'
_POST_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection. Bodies are counted, not joined, except the small ones that are asked for grants."""

    url = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = b""
        self._missing = 0
        self._kept: list[bytes] | None = None
        self._line = b""

    def data_received(self, data: bytes) -> None:
        while data:
            if self._missing:
                used = min(self._missing, len(data))
                if self._kept is not None:
                    self._kept.append(data[:used])
                self._missing -= used
                data = data[used:]
                if not self._missing:
                    self._answer()
                continue
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._begin(head)

    def _begin(self, head: bytes) -> None:
        self._line, _, rest = head.partition(b"\r\n")
        headers = rest.lower()
        at = headers.find(b"content-length:")
        self._missing = int(headers[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self._kept = [] if self._line.split(b" ")[1] == _GRANTS else None
        if b"100-continue" in headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._missing:
            self._answer()

    def _answer(self) -> None:
        if self._kept is not None:
            body = json.dumps({"results": [self._grant(f) for f in json.loads(b"".join(self._kept))["files"]]}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            self._transport.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        elif self._line.startswith(b"PUT"):
            self._transport.write(_PUT_ANSWER)
        else:
            self._transport.write(_POST_ANSWER if self._line.startswith(b"POST") else _EMPTY)

    def _grant(self, file: dict[str, str]) -> dict[str, object]:
        """What the service answers for one file, fields as many and as long as real ones."""
        name, uid = f"{file['directory']}/{file['file_name']}", file["sha256"][:32]
        fields = {
            "key": name,
            "Content-Type": file["content_type"],
            "x-amz-meta-uid": uid,
            "x-amz-checksum-algorithm": "SHA256",
            "x-amz-checksum-sha256": "0" * 44,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request",
            "x-amz-date": "20260101T000000Z",
            "policy": "e30" * 300,
            "x-amz-signature": hashlib.sha256(name.encode()).hexdigest(),
        }
        form = {"url": f"{self.url}/bench-raw", "fields": fields}
        place = {"bucket": "bench-raw", "storage_id": "2vcrqyykgmaql", "object_name": name}
        return {"uid": uid, **place, "url": f"{self.url}/{name}", "exists": False, "upload": form}


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    Sink.url = f"http://127.0.0.1:{port}"
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
