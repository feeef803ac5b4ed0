"""The body of an S3 form upload (presigned POST), sent without copying the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ankerautotrainsdk.errors import TransferError

if TYPE_CHECKING:
    from http.client import HTTPConnection

_CHUNK_BYTES = 1 << 20


class FormUpload:
    """One multipart/form-data body: the policy's fields first, the file last, as S3 demands.

    content: the file's bytes, or its path when it is too large to hold; then size_bytes of it are read and sent in
    pieces of 1 MiB, anew for every attempt.
    """

    def __init__(self, fields: Mapping[str, str], content: bytes | Path, size_bytes: int) -> None:
        # 128 random bits: the chance that they occur in the content is nil.
        boundary = os.urandom(16).hex()
        self._content = content
        self._size_bytes = size_bytes
        self._preamble = _preamble(fields, boundary)
        self._epilogue = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._preamble) + size_bytes + len(self._epilogue)),
        }

    def send(self, connection: HTTPConnection) -> None:
        """Write the body. Raises TransferError when the file became shorter or cannot be read."""
        connection.send(self._preamble)
        if isinstance(self._content, bytes):
            connection.send(self._content)
        else:
            for piece in _pieces(self._content, self._size_bytes):
                connection.send(piece)
        connection.send(self._epilogue)


def _preamble(fields: Mapping[str, str], boundary: str) -> bytes:
    lines = []
    for name, value in fields.items():
        safe = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{safe}"\r\n\r\n{value}\r\n')
    # S3 takes the object's key and type from the fields, never from the file part.
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return "".join(lines).encode()


def _pieces(path: Path, size_bytes: int) -> Iterator[memoryview]:
    left = size_bytes
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, size_bytes)))
    try:
        with path.open("rb", buffering=0) as file:
            while left:
                got = file.readinto(buffer[: min(left, len(buffer))]) or 0
                if not got:
                    raise TransferError(f"{path} became shorter while it was uploaded", details={"path": str(path)})
                left -= got
                yield buffer[:got]
    except OSError as error:
        # Not left as an OSError, which would look like a broken connection and be tried again.
        raise TransferError(f"cannot read {path}: {error}", details={"path": str(path)}) from error
