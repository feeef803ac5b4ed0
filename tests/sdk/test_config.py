"""Where url and key come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, ConfigurationError
from ankerautotrainsdk.config import Credentials, find_credentials


def write_config(home: Path, text: str) -> None:
    folder = home / "config" / "dataloop"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)


def test_without_any_url_nothing_is_guessed() -> None:
    with pytest.raises(ConfigurationError, match=r"no service url: .* There is no default server") as caught:
        AnkerAutoTrainSDK()
    assert caught.value.code == "NotConfigured"


def test_argument_before_environment_before_file(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(empty_home, 'url = "http://file:1"\napi_key = "file"\n')
    assert find_credentials() == Credentials("http://file:1", "file")
    monkeypatch.setenv("DATALOOP_URL", "http://env:2/")
    monkeypatch.setenv("DATALOOP_API_KEY", "env")
    assert find_credentials() == Credentials("http://env:2", "env")
    assert find_credentials("http://arg:3", "arg") == Credentials("http://arg:3", "arg")


def test_a_key_alone_goes_with_any_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOOP_API_KEY", "env")
    assert find_credentials("http://arg:3").api_key == "env"


def test_a_key_never_goes_to_another_server_than_the_url_beside_it(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(empty_home, 'url = "https://production"\napi_key = "secret"\n')
    assert find_credentials("http://elsewhere").api_key is None
    assert find_credentials("https://production:443/").api_key == "secret"
    monkeypatch.setenv("DATALOOP_URL", "http://localhost:8000")
    monkeypatch.setenv("DATALOOP_API_KEY", "local")
    assert find_credentials("http://127.0.0.1:8000").api_key == "local"
    assert find_credentials("http://127.0.0.1:8001").api_key is None


def test_the_config_folder_may_be_the_file_itself(empty_home: Path) -> None:
    (empty_home / "config").mkdir()
    (empty_home / "config" / "dataloop").write_text('url = "http://file:1"')
    assert find_credentials().url == "http://file:1"


@pytest.mark.parametrize("text", ["url = ", "url = 3", "\udcff"])
def test_a_bad_file_is_named(empty_home: Path, text: str) -> None:
    folder = empty_home / "config" / "dataloop"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        find_credentials()


@pytest.mark.parametrize(
    "url", ["example.com", "ftp://x", "http://", "http://x:notaport", "http://a b", "http://u:p@x", "http://x?y=1"]
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not a usable service url"):
        AnkerAutoTrainSDK(url=url)


def test_a_key_is_not_in_reprs() -> None:
    assert "secret" not in repr(Credentials("http://x", "secret"))
    assert "secret" not in repr(AnkerAutoTrainSDK(url="http://x", api_key="secret"))
