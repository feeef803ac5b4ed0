"""Every relative link and every file named in backticks exists, in README.md and in all pages."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import BASES, MADE, ROOT, all_pages, find, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
SUFFIXES = {".py", ".md", ".json", ".jsonl", ".yaml", ".toml", ".txt", ".lock", ".svg"}
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchor(heading: str) -> str:
    """A heading's anchor as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def ids(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


@pytest.mark.parametrize("page", all_pages(), ids=ids(all_pages()))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = unquote(target).partition("#")
        file = page.parent / path if path else page
        is_there = file.exists()
        if is_there and fragment and file.suffix == ".md":
            is_there = fragment in {anchor(heading) for heading in HEADING.findall(file.read_text("utf-8"))}
        if not is_there:
            dead.append(target)
    assert not dead, f"{page.relative_to(ROOT)} links to what is not there: {dead}"


def named_files(text: str) -> list[str]:
    """Words in backticks that are paths of the repository: their first part is one of its folders."""
    folders = {entry.name for base in BASES for entry in base.iterdir() if entry.is_dir()} - MADE
    found = []
    for quoted in QUOTED.findall(text):
        for word in quoted.split():
            first, _, rest = word.strip("(),;").partition("/")
            name = word.strip("(),;")
            is_path = bool(rest) and first in folders and "{" not in word and "…" not in word
            is_root_file = not rest and Path(name).suffix in SUFFIXES and (ROOT / name).is_file()
            if is_path or is_root_file:
                found.append(name)
    return found


def exists(name: str, page: Path) -> bool:
    """The file or folder, beside the page or from a base; <x> and * stand for anything; ::test must be in the file."""
    path, _, test = name.partition("::")
    path = re.sub(r":\d+$", "", path).rstrip("/")
    if "<" in path or "*" in path:
        pattern = re.sub(r"<[^>]*>", "*", path)
        return any(next(base.glob(pattern), None) for base in BASES)
    file = page.parent / path if (page.parent / path).exists() else find(path)
    return file is not None and (not test or f"def {test.split('[')[0]}(" in file.read_text("utf-8"))


@pytest.mark.parametrize("page", all_pages(), ids=ids(all_pages()))
def test_files_in_backticks_exist(page: Path) -> None:
    gone = [name for name in named_files(prose(page)) if not exists(name, page)]
    assert not gone, f"{page.relative_to(ROOT)} names files that do not exist: {gone}"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs/index.md"
    linked = {(index.parent / unquote(target).partition("#")[0]).resolve() for target in LINK.findall(prose(index))}
    # The decisions have an index of their own.
    pages = {page for page in all_pages() if page.parent.name != "adr" or page.name == "README.md"}
    missing = sorted(page.relative_to(ROOT).as_posix() for page in pages - linked - {index, ROOT / "README.md"})
    assert not missing, f"docs/index.md does not lead to {missing}"
