"""File kinds by suffix: own table, because the operating system's differs from machine to machine."""

from __future__ import annotations

from pathlib import PurePath

_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".heic": "image/heic",
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".ts": "video/mp2t",
    ".h264": "video/h264",
    ".h265": "video/h265",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
}


def content_type(path: PurePath) -> str:
    """The MIME type by suffix, application/octet-stream when unknown."""
    return _CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")


def media_type(path: PurePath) -> str | None:
    """ "image", "video", or None for anything else."""
    kind = content_type(path).partition("/")[0]
    return kind if kind in ("image", "video") else None
