"""Fetching what a client's URL names: real servers on this machine, as bad as they get."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.gateways import fetching
from dataloop.gateways.fetching import Fetcher

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server whose paths answer as a test says; it writes down every request it gets."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, dict(self.headers.items())))
                site.pages[self.path](self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def encrypt(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def _site() -> Iterator[Site]:
    site = Site()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with _site() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Site]:
    with _site() as found:
        yield found


def _sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def _says(raw: bytes) -> Answer:
    """Exactly these bytes, whatever HTTP would have."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(raw)

    return answer


def _silent(site: Site) -> Answer:
    def answer(_: BaseHTTPRequestHandler) -> None:
        site.ended.wait()

    return answer


def _leads(to: str, status: int = 302) -> Answer:
    return _sends(b"", status, Location=to)


def _drips(site: Site, pause: float) -> Answer:
    """A byte now and then, for ever: each one within the limit of silence."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not site.ended.wait(pause):
            request.wfile.write(b"x")

    return answer


def _reason(fetcher: Fetcher, url: object, **limits: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        fetcher.fetch(url, limits.pop("max_bytes", 1000), **limits)
    assert caught.value.field == "url"
    return caught.value.reason


def test_a_file_comes_as_it_is_and_nothing_of_ours_goes_out(site: Site) -> None:
    site.pages["/a%20b.png?x=1&y=%2F"] = _sends(b"\x89PNG\r\n\x00bytes")

    assert Fetcher([site.place]).fetch(site.url("/a%20b.png?x=1&y=%2F#part"), 100) == b"\x89PNG\r\n\x00bytes"

    headers = site.requests[0][1]
    assert set(headers) == {"Host", "Accept", "Accept-Encoding"} and headers["Host"] == site.place


def test_letters_that_are_not_ascii_are_encoded(site: Site) -> None:
    site.pages["/b%C3%A4r.png"] = _sends(b"bear")
    assert Fetcher([site.place]).fetch(site.url("/bär.png"), 100) == b"bear"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    assert "not public" in _reason(Fetcher(), f"http://{host}:9/latest/meta-data/")


def test_a_name_that_stands_for_a_private_address_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolving("93.184.216.34", "10.0.0.5"))
    assert "not public" in _reason(Fetcher(), "https://images.example/a.png")


def _resolving(*addresses: str) -> Callable[..., list[Any]]:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


def test_what_was_checked_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says a public address first and a private one afterwards is asked only once."""
    asked: list[str] = []
    connected: list[Any] = []
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return _resolving(next(answers))(host, port)

    class Line(socket.socket):
        def connect(self, address: Any) -> None:
            connected.append(address)
            raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "socket", Line)

    assert "nobody is there" in _reason(Fetcher(), "http://rebinding.example:8080/a.png")
    assert asked == ["rebinding.example"] and connected == [("93.184.216.34", 8080)]


def test_only_the_port_that_is_allowed(site: Site, other: Site) -> None:
    site.pages["/a"] = _sends(b"a")
    fetcher = Fetcher([site.place])
    assert fetcher.fetch(site.url("/a"), 10) == b"a"
    assert "not public" in _reason(fetcher, other.url("/a"))
    assert other.requests == []


def test_an_allowed_host_has_all_its_ports(site: Site) -> None:
    site.pages["/a"] = _sends(b"a")
    assert Fetcher(["127.0.0.1"]).fetch(site.url("/a"), 10) == b"a"


def test_a_redirect_to_a_private_place_is_refused(site: Site, other: Site) -> None:
    site.pages["/away"] = _leads(other.url("/secret"))
    site.pages["/meta"] = _leads("http://169.254.169.254/latest/meta-data/")
    site.pages["/file"] = _leads("file:///etc/passwd")
    fetcher = Fetcher([site.place])

    assert "not public" in _reason(fetcher, site.url("/away"))
    assert "not public" in _reason(fetcher, site.url("/meta"))
    assert "must begin with" in _reason(fetcher, site.url("/file"))
    assert other.requests == []


def test_redirects_are_followed_three_times(site: Site) -> None:
    site.pages |= {"/1": _leads("/2", 301), "/2": _leads("3", 307), "/3": _leads(site.url("/4"), 308)}
    site.pages["/4"] = _sends(b"found")
    site.pages["/0"] = _leads("/1")
    fetcher = Fetcher([site.place])

    assert fetcher.fetch(site.url("/1"), 10) == b"found"
    assert "more than 3 redirects" in _reason(fetcher, site.url("/0"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "must be a text"),
        (7, "must be a text"),
        ("", "must begin with http"),
        ("ftp://example.com/a", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("/etc/passwd", "must begin with http"),
        ("http://", "names no host"),
        ("http://user:secret@example.com/a", "must not hold a user name"),
        ("http://example.com:99999/", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://a\ud800b/", "is not a URL"),
        ("http://example.com/" + "a" * 9000, "longer than"),
        ("http://no-such-host.invalid/a", "not known"),
    ],
)
def test_what_is_no_url_of_a_file(url: object, words: str) -> None:
    assert words in _reason(Fetcher(), url)


def test_a_status_that_is_not_200(site: Site) -> None:
    site.pages["/gone"] = _sends(b"no", 404)
    site.pages["/part"] = _sends(b"part", 206)
    site.pages["/lost"] = _sends(b"", 302)
    fetcher = Fetcher([site.place])

    assert "status 404" in _reason(fetcher, site.url("/gone"))
    assert "status 206" in _reason(fetcher, site.url("/part"))
    assert "does not say where" in _reason(fetcher, site.url("/lost"))


def test_a_server_that_says_less_than_it_sends_is_read_as_far_as_it_says(site: Site) -> None:
    site.pages["/a"] = _sends(b"0123456789", Content_Length="4")
    assert Fetcher([site.place]).fetch(site.url("/a"), 5) == b"0123"


def test_a_server_that_says_more_than_it_sends(site: Site) -> None:
    site.pages["/a"] = _sends(b"0123", Content_Length="10")
    assert "ended 6 bytes early" in _reason(Fetcher([site.place]), site.url("/a"))


def test_one_byte_too_many_is_too_many(site: Site) -> None:
    fetcher = Fetcher([site.place])
    site.pages["/said"] = _sends(b"x" * 101)
    site.pages["/unsaid"] = _says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101)
    site.pages["/just"] = _says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100)

    for path in ("/said", "/unsaid"):
        with pytest.raises(LimitExceeded) as caught:
            fetcher.fetch(site.url(path), 100)
        assert (caught.value.what, caught.value.limit) == ("url: bytes", 100)
    assert fetcher.fetch(site.url("/just"), 100) == b"x" * 100


def test_an_endless_body_ends_at_the_limit(site: Site) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not site.ended.is_set():
            try:
                request.wfile.write(b"400\r\n" + b"x" * 0x400 + b"\r\n")
            except OSError:
                return

    site.pages["/endless"] = endless
    with pytest.raises(LimitExceeded):
        Fetcher([site.place]).fetch(site.url("/endless"), 100_000)


def test_a_slow_server_is_left_at_the_end_of_the_whole_time(site: Site) -> None:
    site.pages["/drip"] = _drips(site, 0.02)
    assert "in time" in _reason(Fetcher([site.place]), site.url("/drip"), seconds=0.2)


def test_slow_headers_are_left_too(site: Site) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not site.ended.wait(0.02):
            request.wfile.write(b"x")

    site.pages["/drip"] = answer
    assert "in time" in _reason(Fetcher([site.place]), site.url("/drip"), seconds=0.2)


def test_a_silent_server_is_left_before_the_whole_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "READ_SECONDS", 0.1)
    site.pages["/silent"] = _silent(site)
    assert "in time" in _reason(Fetcher([site.place]), site.url("/silent"), seconds=15)


def test_a_server_that_takes_the_connection_and_never_speaks_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        place = f"127.0.0.1:{mute.getsockname()[1]}"
        assert "in time" in _reason(Fetcher([place]), f"https://{place}/a", seconds=15)


def test_https_needs_a_certificate_that_is_believed(site: Site) -> None:
    assert "no TLS" in _reason(Fetcher([site.place]), f"https://{site.place}/a")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of a server that calls itself images.example, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "images.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("images.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_https_asks_for_the_host_at_the_address_that_was_checked(
    site: Site, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    context.sni_callback = lambda _line, name, _context: asked_for.append(name)
    site.encrypt(context)
    site.pages["/a"] = _sends(b"secret picture")
    port = site.place.partition(":")[2]
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    monkeypatch.setattr(socket, "getaddrinfo", _resolving("127.0.0.1"))
    fetcher = Fetcher(["images.example", "other.example"])

    assert fetcher.fetch(f"https://images.example:{port}/a", 100) == b"secret picture"
    assert asked_for == ["images.example"]
    assert site.requests[0][1]["Host"] == f"images.example:{port}"
    assert "no TLS" in _reason(fetcher, f"https://other.example:{port}/a")


def test_a_name_that_is_not_resolved_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(fetching, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(5) and [])
    try:
        assert "in time" in _reason(Fetcher(), "http://slow-names.example/a")
    finally:
        ended.set()


def test_what_is_not_http_is_an_answer_that_cannot_be_used(site: Site) -> None:
    site.pages["/odd"] = _says(b"SSH-2.0-OpenSSH\r\n\r\n")
    site.pages["/zip"] = _sends(b"zipped", Content_Encoding="gzip")
    fetcher = Fetcher([site.place])
    assert "cannot be fetched" in _reason(fetcher, site.url("/odd"))
    assert "encoding gzip" in _reason(fetcher, site.url("/zip"))
