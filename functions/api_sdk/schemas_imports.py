"""Imports, exports and formats: what clients send, what they get (pydantic; no handler imports this)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api_sdk import answers
from api_sdk.requests import Request

Readable = Literal[
    "auto",
    "coco",
    "voc",
    "yolo",
    "labelme",
    "cvat",
    "imagenet",
    "masks",
    "ground_truth",
    "modelarts",
    "label_studio",
    "jsonl",
]
Writable = Literal[
    "coco", "voc", "yolo", "imagenet", "masks", "ground_truth", "modelarts", "jsonl", "parquet", "croissant"
]


class ImportLabels(Request):
    """Exactly one of object_name (a label file, or a .zip of them) and prefix."""

    object_name: str | None = None
    prefix: str | None = None
    format: Readable = "auto"
    on_error: Literal["stop", "skip"] = Field(
        default="stop",
        description="stop: any problem, and nothing is registered. skip: the rest comes in, with a report.",
    )
    images: str | None = Field(default=None, description="Prefix of the images that the files name.")
    dataset_id: str | None = Field(default=None, description="A draft that gets what was registered.")


class ExportDataset(Request):
    format: Writable
    images: bool = Field(default=False, description="Also the pictures' own files.")


class Format(answers.Answer):
    name: str
    title: str
    reads: bool
    writes: bool
    kinds: list[str] = Field(description="The annotation types whose labels it can carry whole.")


class Formats(answers.Answer):
    items: list[Format]


ROUTES: dict[tuple[str, str], tuple[type[Request] | None, type[answers.Answer] | None, int]] = {
    ("POST", "/api/v1/imports"): (ImportLabels, answers.Task, 202),
    ("POST", "/api/v1/datasets/<dataset_id>/exports"): (ExportDataset, answers.Task, 202),
    ("GET", "/api/v1/formats"): (None, Formats, 200),
}
