"""Archives that mean harm: nothing is unpacked, so nothing can be; what they claim is refused with its name."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded, NotFound
from dataloop.formats.cvat import CvatReader
from dataloop.formats.sources import FolderSource, ZipSource
from dataloop.formats.surface import Findings


def archive(fill: Callable[[zipfile.ZipFile], None], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        fill(file)
    return stream


@pytest.mark.parametrize("name", ["../a.json", "/etc/passwd", "a/../../b.json", "C:/a.json", "a\\..\\b.json"])
def test_a_name_that_leads_outside_is_refused(name: str) -> None:
    stream = archive(lambda file: file.writestr(zipfile.ZipInfo("x" * len(name)), "x"))
    # As an attacker writes it: zipfile itself would tidy some of these names.
    data = stream.getvalue().replace(b"x" * len(name), name.encode())
    with pytest.raises(InvalidInput, match="stay inside"):
        ZipSource(io.BytesIO(data))


def test_a_link_is_refused() -> None:
    def fill(file: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("a.json")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")

    with pytest.raises(InvalidInput, match="links"):
        ZipSource(archive(fill))


def test_two_files_of_one_name_are_refused() -> None:
    def fill(file: zipfile.ZipFile) -> None:
        file.writestr("a.json", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.json", "2")

    with pytest.raises(InvalidInput, match="two files of one name"):
        ZipSource(archive(fill))


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive at all", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="zip"):
        ZipSource(io.BytesIO(data))


def test_a_bomb_is_refused_before_a_byte_of_it_is_unpacked() -> None:
    source = ZipSource(archive(lambda file: file.writestr("a.xml", b"\0" * 40_000_000)))
    with pytest.raises(LimitExceeded):
        source.open("a.xml")
    assert not CvatReader().recognises(source)


def test_a_file_that_is_larger_than_it_says_ends_where_it_said() -> None:
    data = archive(lambda file: file.writestr("a.json", b"a" * 1000), zipfile.ZIP_STORED).getvalue()
    # Both its headers say ten bytes less.
    data = data.replace(struct.pack("<II", 1000, 1000), struct.pack("<II", 990, 990))
    with pytest.raises(DomainError):
        ZipSource(io.BytesIO(data)).read("a.json", 10_000)


def test_a_damaged_file_is_named_and_the_archive_is_read_on() -> None:
    def fill(file: zipfile.ZipFile) -> None:
        file.writestr("a.json", b"a" * 1000)
        file.writestr("b.json", b"b")

    data = bytearray(archive(fill, zipfile.ZIP_STORED).getvalue())
    data[data.index(b"aaaa")] = ord("c")
    source = ZipSource(io.BytesIO(bytes(data)))
    with pytest.raises(InvalidInput, match=r"a\.json"):
        source.read("a.json", 10_000)
    assert source.read("b.json", 10_000) == b"b"


def test_a_file_above_its_limit_is_refused() -> None:
    source = ZipSource(archive(lambda file: file.writestr("a.json", "x" * 101)))
    with pytest.raises(LimitExceeded):
        source.read("a.json", 100)


def test_a_link_in_a_folder_is_not_followed_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<annotations/>")
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.xml").symlink_to(secret)
    source = FolderSource(folder)
    with pytest.raises(NotFound):
        source.open("a.xml")
    assert not CvatReader().recognises(source)
    with pytest.raises(DomainError):
        list(CvatReader().read(source, Findings("stop")))
