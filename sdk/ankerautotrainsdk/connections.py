"""Keep-alive HTTP connections on the standard library, shared by threads.

One pool holds the idle connections of every server a client talks to (the API, and the storage behind presigned
urls). A connection is used by one thread at a time and goes back to the pool only after its answer was read whole.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from ankerautotrainsdk.errors import ConnectionFailed, DataloopError, RequestTimeout

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

Origin = tuple[str, str, int]
# Idle connections kept for each server; more threads than this still work, they only connect again.
_MAX_IDLE = 64


class Body(Protocol):
    """Something that can be sent, and sent again on a retry."""

    def send(self, connection: HTTPConnection) -> None:
        """Send all of it; the headers, with its Content-Length, are out already."""


@dataclass(frozen=True)
class Answer:
    """A whole answer: status, headers (names as sent; read with .header) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's value, whatever the case of its name."""
        return self.headers.get(name)


class NotSent(ConnectionFailed):
    """The connection could not be made, so the request certainly was not carried out."""


def split_url(url: str) -> tuple[Origin, str]:
    """((scheme, host, port), path with query)."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = parts.path or "/"
    if parts.query:
        target = f"{target}?{parts.query}"
    return (parts.scheme, parts.hostname or "", port), target


class ConnectionPool:
    """Idle keep-alive connections by server. Safe to share between threads, and after a fork.

    timeout_s: for connecting and for each wait on the socket, not for a whole transfer.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._idle: dict[Origin, list[HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._tls: SSLContext | None = None
        # A client is often just dropped; its sockets are closed then, and at the end of the program.
        self._finalizer = weakref.finalize(self, _close_all, self._idle)

    def take(self, origin: Origin, *, fresh: bool = False) -> tuple[HTTPConnection, bool]:
        """(connection, reused). fresh=True never gives a connection that was used before."""
        if self._pid != os.getpid():
            # The parent process owns the sockets in the list: forget them, do not speak on them.
            self._idle.clear()
            self._pid = os.getpid()
        if not fresh:
            with self._lock:
                waiting = self._idle.get(origin)
                if waiting:
                    return waiting.pop(), True
        return self._connect(origin), False

    def give_back(self, origin: Origin, connection: HTTPConnection) -> None:
        """Make a connection whose answer was read whole available again."""
        with self._lock:
            waiting = self._idle.setdefault(origin, [])
            if len(waiting) < _MAX_IDLE:
                waiting.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close every idle connection; the pool stays usable."""
        with self._lock:
            _close_all(self._idle)

    def _connect(self, origin: Origin) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        scheme, host, port = origin
        connection: HTTPConnection
        if scheme == "https":
            connection = HTTPSConnection(host, port, timeout=self.timeout_s, context=self._tls_context())
        else:
            connection = HTTPConnection(host, port, timeout=self.timeout_s)
        try:
            connection.connect()
        except TimeoutError as error:
            raise NotSent(f"no answer from {host}:{port} within {self.timeout_s:g} s", code="RequestTimeout") from error
        except OSError as error:
            raise NotSent(f"cannot connect to {scheme}://{host}:{port}: {error}") from error
        return connection

    def _tls_context(self) -> SSLContext:
        # Loading the certificates takes some 20 ms, once a client, and only for https.
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls


def _close_all(idle: dict[Origin, list[HTTPConnection]]) -> None:
    for waiting in idle.values():
        while waiting:
            waiting.pop().close()


class OpenAnswer:
    """An answer whose body is still on the wire; leaving the `with` block before its end drops the connection."""

    def __init__(
        self, pool: ConnectionPool, origin: Origin, connection: HTTPConnection, response: HTTPResponse
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # type: ignore[assignment]

    def read(self, size: int | None = None) -> bytes:
        """Up to size bytes; b"" at the end. Raises ConnectionFailed when the connection breaks."""
        from http.client import HTTPException

        try:
            return self._response.read(size) if size is not None else self._response.read()
        except TimeoutError as error:
            raise RequestTimeout(f"{self._origin[1]} stopped sending for {self._pool.timeout_s:g} s") from error
        except (OSError, HTTPException) as error:
            raise ConnectionFailed(f"the connection to {self._origin[1]} broke: {_reason(error)}") from error

    def read_all(self) -> Answer:
        """The whole answer, in memory."""
        return Answer(self.status, self.headers, self.read())

    def __enter__(self) -> OpenAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Only a connection without unread bytes can carry the next request.
        if kind is None and self._response.isclosed() and not self._response.will_close:
            self._pool.give_back(self._origin, self._connection)
        else:
            self._response.close()
            self._connection.close()


def send(
    pool: ConnectionPool,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Body | None = None,
    *,
    may_repeat: bool = True,
) -> OpenAnswer:
    """Send one request and wait for the head of its answer.

    A server may close a kept connection at any moment. That is no failure of this request: when it dies on a reused
    connection before any answer, it is sent once more on a fresh one, if may_repeat. A request that must not run twice
    (may_repeat False) gets a fresh connection from the start.
    Raises NotSent when no connection could be made, ConnectionFailed or RequestTimeout when no answer came.
    """
    from http.client import HTTPException

    origin, target = split_url(url)
    connection, reused = pool.take(origin, fresh=not may_repeat)
    while True:
        try:
            response = _exchange(connection, method, target, headers, body)
            return OpenAnswer(pool, origin, connection, response)
        except TimeoutError as error:
            connection.close()
            raise RequestTimeout(f"no answer from {origin[1]}:{origin[2]} within {pool.timeout_s:g} s") from error
        except (OSError, HTTPException) as error:
            connection.close()
            if isinstance(error, DataloopError):
                raise  # the body could not be read: that is no matter of the connection
            if not reused:
                raise ConnectionFailed(f"no answer from {origin[1]}:{origin[2]}: {_reason(error)}") from error
        except BaseException:
            connection.close()
            raise
        connection, reused = pool.take(origin, fresh=True)


def _exchange(
    connection: HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes | Body | None
) -> HTTPResponse:
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is None or isinstance(body, bytes):
        if body is not None or method == "POST":
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body or None)
        return connection.getresponse()
    connection.endheaders()
    try:
        body.send(connection)
    except (BrokenPipeError, ConnectionResetError):
        # A server that refuses an upload answers and hangs up while we are still sending: its answer
        # says why, if it got through. The connection is of no use afterwards.
        response = connection.getresponse()
        response.will_close = True
        return response
    return connection.getresponse()


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
