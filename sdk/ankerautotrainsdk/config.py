"""Where url and API key come from.

Order, for each of the two: argument, environment (DATALOOP_URL, DATALOOP_API_KEY), config file.

The config file is TOML with two strings, `url` and `api_key`, at $XDG_CONFIG_HOME/dataloop/config.toml (by default
~/.config/dataloop/config.toml; ~/.config/dataloop may also be the file itself).

A key belongs to the url it stands beside: when the environment or the file names a url and the caller asks for another
server, that key is not sent there. Otherwise a key for production would leak to any host a script mentions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ankerautotrainsdk.errors import ConfigurationError

URL_VARIABLE = "DATALOOP_URL"
KEY_VARIABLE = "DATALOOP_API_KEY"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Credentials:
    """What the client needs to reach a service; api_key is None for anonymous access."""

    url: str
    api_key: str | None

    def __repr__(self) -> str:
        # Tracebacks and logs show reprs; a key must not be among what they show.
        return f"Credentials(url={self.url!r}, api_key={'***' if self.api_key else None})"


def config_folder() -> Path:
    """$XDG_CONFIG_HOME/dataloop, by default ~/.config/dataloop. It need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG rules say that a relative value is to be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path("~/.config").expanduser()
    return root / "dataloop"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/dataloop, by default ~/.cache/dataloop: what can be fetched again."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path("~/.cache").expanduser()
    return root / "dataloop"


def state_folder() -> Path:
    """$XDG_STATE_HOME/dataloop, by default ~/.local/state/dataloop: receipts of uploads, the local runtime."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path("~/.local/state").expanduser()
    return root / "dataloop"


def read_config_file() -> tuple[str | None, str | None]:
    """(url, api_key) of the config file; (None, None) without one.

    Raises ConfigurationError when the file is there but cannot be read or is not what it should be.
    """
    folder = config_folder()
    path = folder if folder.is_file() else folder / "config.toml"
    if not path.is_file():
        return None, None
    import tomllib

    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", details={"path": str(path)}) from error
    values: list[str | None] = []
    for name in ("url", "api_key"):
        value = settings.get(name)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} in {path} must be a string", details={"path": str(path), "field": name})
        values.append(value or None)
    return values[0], values[1]


def checked_url(url: str) -> str:
    """The url without trailing slashes; raises ConfigurationError unless it is http(s) with a host and no query."""
    text = url.strip() if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_good = urlsplit(""), False
    is_http = parts.scheme in ("http", "https") and bool(parts.hostname)
    is_plain = not parts.query and not parts.fragment and parts.username is None and not any(c.isspace() for c in text)
    if not (is_http and is_plain and port_is_good):
        raise ConfigurationError(
            f"not a usable service url: {url!r} (expected something like http://127.0.0.1:8000)", details={"url": url}
        )
    return text.rstrip("/")


def same_server(one: str, other: str) -> bool:
    """True when both urls name the same scheme, host and port; the loopback names count as one host."""

    def origin(url: str) -> tuple[str, str, int]:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return parts.scheme, "loopback" if host in _LOOPBACK else host, port

    return origin(one) == origin(other)


def find_credentials(url: str | None = None, api_key: str | None = None) -> Credentials:
    """Decide url and key from arguments, environment and config file.

    Raises ConfigurationError when no url is given anywhere: there is no built-in server.
    """
    file_url, file_key = read_config_file()
    places = (
        (url, api_key),
        (os.environ.get(URL_VARIABLE), os.environ.get(KEY_VARIABLE)),
        (file_url, file_key),
    )
    chosen = next((place_url for place_url, _ in places if place_url), None)
    if not chosen:
        raise ConfigurationError(
            f'no service url: pass AnkerAutoTrainSDK(url="…"), or set {URL_VARIABLE}, '
            f'or write url = "…" into {config_folder() / "config.toml"}. There is no default server.'
        )
    chosen = checked_url(chosen)
    for place_url, place_key in places:
        if place_key and (not place_url or same_server(checked_url(place_url), chosen)):
            return Credentials(chosen, place_key.strip())
    return Credentials(chosen, None)
