"""Files behind URLs that clients name: fetched without being led anywhere that the client could not reach by itself.

A server that fetches what strangers ask for can be made to read its own network (OWASP: server-side request forgery). So
only public addresses are connected to, and exactly those that were checked: the name is resolved once a request, by us.
Proxies of the environment are not used, for a proxy would resolve the name again.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from dataloop.domain.errors import InvalidInput, LimitExceeded

# A server that does not answer a connection within this time is away.
CONNECT_SECONDS = 5.0
# Silence of a server while it sends.
READ_SECONDS = 5.0
# From the first look at the name to the last byte, redirects included.
TOTAL_SECONDS = 15.0
MAX_REDIRECTS = 3
# Ours: longer URLs are refused by many servers.
MAX_URL_CHARACTERS = 8192
_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
# RFC 6052: an IPv4 address inside an IPv6 one, which a gateway of the network would unwrap.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Fetcher:
    """GETs of public http and https URLs, without cookies, credentials or headers of anybody.

    allowed_hosts: names or addresses, each with or without a port, that may be private (`nas.local`, `10.0.0.7:8080`).
    """

    def __init__(self, allowed_hosts: Collection[str] = ()) -> None:
        self._allowed = frozenset(host.strip().lower() for host in allowed_hosts if host.strip())
        self._tls = ssl.create_default_context()

    def fetch(self, url: object, max_bytes: int, seconds: float = TOTAL_SECONDS) -> bytes:
        """The body behind a URL, in at most so many seconds. No AWS call.

        Raises InvalidInput(url) with the reason, LimitExceeded(url: bytes).
        """
        if not isinstance(url, str):
            raise InvalidInput("url", "must be a text", url)
        until = time.monotonic() + min(seconds, TOTAL_SECONDS)
        target = url
        for _ in range(MAX_REDIRECTS + 1):
            try:
                body, following = self._ask(target, max_bytes, until)
            except TimeoutError as error:
                raise InvalidInput("url", "its server did not answer in time", target) from error
            except ssl.SSLError as error:
                raise InvalidInput("url", f"no TLS with its server: {error.reason or error}", target) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = str(error)[:200] or type(error).__name__
                raise InvalidInput("url", f"cannot be fetched: {reason}", target) from error
            if following is None:
                return body
            target = urljoin(target, following)
        raise InvalidInput("url", f"leads to more than {MAX_REDIRECTS} redirects", url)

    def _ask(self, url: str, max_bytes: int, until: float) -> tuple[bytes, str | None]:
        """(body, None) of a file, or (nothing, where to look instead)."""
        parts, host, port = _checked(url)
        address = self._public(host, port, url, until)
        line = self._connect(parts.scheme, host, address, until)
        try:
            connection = http.client.HTTPConnection(host, port)
            connection.default_port = _PORTS[parts.scheme]
            connection.sock = line
            connection.request("GET", _target(parts), headers={"Accept-Encoding": "identity", "Accept": "image/*, */*"})
            answer = connection.getresponse()
            if answer.status in _REDIRECTS:
                location = answer.getheader("Location")
                if not location:
                    raise InvalidInput("url", f"answers {answer.status} and does not say where to look", url)
                return b"", location
            if answer.status != 200:
                raise InvalidInput("url", f"answers with status {answer.status}", url)
            return _read(answer, max_bytes, url), None
        finally:
            line.hang_up()

    def _public(self, host: str, port: int, url: str, until: float) -> tuple[Any, ...]:
        """An address to connect to. Raises InvalidInput when one of the host's is private and the host is not allowed."""
        found = _resolve(host, port, until)
        if not self._allowed & {host, f"{host}:{port}"}:
            for entry in found:
                if not _is_public(ipaddress.ip_address(entry[4][0])):
                    raise InvalidInput("url", "its host has an address that is not public", url)
        return found[0]

    def _connect(self, scheme: str, host: str, address: tuple[Any, ...], until: float) -> _Timed:
        """A connection to exactly this address; the certificate must be the host's."""
        family, kind, protocol, _, place = address
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(min(CONNECT_SECONDS, _left(until)))
            plain.connect(place)
            if scheme == "http":
                return _Timed(plain, until)
            plain.settimeout(min(CONNECT_SECONDS, _left(until)))
            return _Timed(self._tls.wrap_socket(plain, server_hostname=host), until)
        except BaseException:
            plain.close()
            raise


class _Timed:
    """What http.client needs of a socket. Each wait ends at the silence limit or at the end of the whole time: a server
    that sends a byte now and then cannot hold us longer."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self._until = until

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(min(READ_SECONDS, _left(self._until)))
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._socket, self._until), _CHUNK)

    def close(self) -> None:
        """http.client lets go of the socket before it reads the body: whoever connected hangs up."""

    def hang_up(self) -> None:
        self._socket.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(min(READ_SECONDS, _left(self._until)))
        return self._socket.recv_into(buffer)


def _checked(url: str) -> tuple[SplitResult, str, int]:
    """(parts, host in ASCII, port). Raises InvalidInput."""
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidInput("url", f"is longer than {MAX_URL_CHARACTERS} characters", url)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError as error:
        raise InvalidInput("url", "is not a URL", url) from error
    if parts.scheme not in _PORTS:
        raise InvalidInput("url", "must begin with http:// or https://", url)
    if "@" in parts.netloc:
        raise InvalidInput("url", "must not hold a user name or a password", url)
    if not host:
        raise InvalidInput("url", "names no host", url)
    return parts, host.lower(), port or _PORTS[parts.scheme]


def _target(parts: SplitResult) -> str:
    """Path and query as they go over the wire: what is not ASCII is percent-encoded, escapes stay as they are."""
    safe = "!#$%&'()*+,/:;=?@[]~"
    return quote(parts.path or "/", safe=safe) + (f"?{quote(parts.query, safe=safe)}" if parts.query else "")


def _resolve(host: str, port: int, until: float) -> list[tuple[Any, ...]]:
    """The addresses of a host, in the resolver's order. Raises OSError, TimeoutError.

    The resolver of the system knows no time limit, so it works in a thread of its own, which is left behind if it hangs.
    """
    found: list[Any] = []

    def look() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(min(CONNECT_SECONDS, _left(until)))
    if not found:
        raise TimeoutError("the name was not resolved in time")
    if isinstance(found[0], Exception):
        raise OSError("its host is not known")
    return found


def _is_public(address: Address) -> bool:
    """May anybody on the Internet have this address? Addresses inside of others count, too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _left(until: float) -> float:
    """Seconds that are left, above zero. Raises TimeoutError."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return left


def _read(answer: http.client.HTTPResponse, max_bytes: int, url: str) -> bytes:
    """The body, counted while it comes: what the server says of its size only serves to refuse earlier."""
    encoding = (answer.getheader("Content-Encoding") or "identity").lower()
    if encoding != "identity":
        raise InvalidInput("url", f"answers in the encoding {encoding[:20]}, which was not asked for", url)
    if answer.length is not None and answer.length > max_bytes:
        raise LimitExceeded("url: bytes", max_bytes, answer.length)
    parts: list[bytes] = []
    size = 0
    while chunk := answer.read(min(_CHUNK, max_bytes + 1 - size)):
        parts.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise LimitExceeded("url: bytes", max_bytes)
    if answer.length:
        raise InvalidInput("url", f"ended {answer.length} bytes early", url)
    return b"".join(parts)
