"""Turn the paths of a template (CodeUri, ContentUri, DefinitionUri) into content-addressed S3 objects."""

from __future__ import annotations

import copy
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The same content gives the same bytes on every machine and day.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_NOT_PACKAGED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store"}
_LAYER_NOTE = b"On one machine the functions run in the environment that has these packages already.\n"


@dataclass(frozen=True)
class Package:
    """A template that is ready to deploy, and the objects it refers to."""

    template: dict[str, Any]
    objects: dict[str, bytes]


def package(template: dict[str, Any], root: Path, bucket: str) -> Package:
    """Archive every folder that `template` names below `root`; the copy returned refers to `bucket` instead.

    A layer with a BuildMethod holds third-party packages; they are in this environment already, so what it has of its own
    and a note are its content.
    """
    result = copy.deepcopy(template)
    objects: dict[str, bytes] = {}

    def place(content: bytes, suffix: str) -> str:
        key = f"{hashlib.sha256(content).hexdigest()}{suffix}"
        objects[key] = content
        return key

    archives: dict[str, str] = {}

    def place_folder(folder: str) -> str:
        if folder not in archives:
            archives[folder] = place(zip_folder(root / folder), ".zip")
        return archives[folder]

    defaults = (result.get("Globals") or {}).get("Function") or {}
    default_code = defaults.pop("CodeUri", None)
    for resource in result["Resources"].values():
        properties = resource.setdefault("Properties", {})
        kind = resource["Type"]
        if kind == "AWS::Serverless::Function":
            code = properties.get("CodeUri", default_code)
            if isinstance(code, str):
                properties["CodeUri"] = {"Bucket": bucket, "Key": place_folder(code)}
        elif kind == "AWS::Serverless::LayerVersion" and isinstance(properties.get("ContentUri"), str):
            built = "BuildMethod" in (resource.get("Metadata") or {})
            folder = properties["ContentUri"]
            key = place(_zip(_own_part(root / folder)), ".zip") if built else place_folder(folder)
            properties["ContentUri"] = {"Bucket": bucket, "Key": key}
        elif kind == "AWS::Serverless::StateMachine" and isinstance(properties.get("DefinitionUri"), str):
            definition = (root / properties["DefinitionUri"]).read_bytes()
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": place(definition, ".asl.json")}
    return Package(result, objects)


def _own_part(folder: Path) -> dict[str, bytes]:
    """What a built layer holds beside third-party packages: its folder python/, which its Makefile copies."""
    python = folder / "python"
    own = {f"python/{path.relative_to(python).as_posix()}": path.read_bytes() for path in files_below(python)}
    return {"python/README": _LAYER_NOTE} | own


def zip_folder(folder: Path) -> bytes:
    """A deterministic archive of every file below `folder`, caches left out."""
    return _zip({path.relative_to(folder).as_posix(): path.read_bytes() for path in files_below(folder)})


def files_below(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _NOT_PACKAGED.intersection(path.relative_to(folder).parts)
    ]


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()
