"""Parquet: one file a split, one row a picture with its labels nested. pandas, DuckDB, Polars and Hugging Face read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.formats.names import SPLITS
from dataloop.formats.pixels import box_of, rings_of, size_of
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.survey import Survey
from dataloop.formats.targets import Target
from dataloop.formats.values import EXPORTED_IMAGES

# Rows that are in memory at once: some megabytes, and what readers take as one piece.
GROUP_ROWS = 2_000
GROUP_LABELS = 20_000


class ParquetWriter:
    """`data/train.parquet` and so on: the names from which Hugging Face's `datasets` knows the splits.

    Needs pyarrow, which only jobs and the extra `train` have. Everything of a row is kept; nothing is lost.
    """

    NAME = "parquet"

    def image_name(self, image: ExportImage) -> str:
        return EXPORTED_IMAGES + image.file_name

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        # Not at the top: the functions of Lambda import this module for its name, and have no pyarrow.
        import pyarrow.parquet as pq

        schema = _schema(labels)
        numbers = {label: number for number, label in enumerate(labels)}
        with Survey(images) as survey:
            for split in SPLITS:
                rows = (self._row(image, numbers) for image in survey.images() if image.split == split)
                first = next(rows, None)
                if first is None:
                    continue
                with (
                    target.open(f"data/{split}.parquet") as stream,
                    pq.ParquetWriter(stream, schema, compression="zstd") as writer,
                ):
                    for group in _groups(chain([first], rows)):
                        writer.write_table(_table(group, schema))

    def _row(self, image: ExportImage, numbers: Mapping[str, int]) -> dict[str, Any]:
        row = image.row
        size = size_of(row)
        return {
            "file_name": self.image_name(image),
            "uid": row["uid"],
            "sha256": row["sha256"],
            "width": size[0],
            "height": size[1],
            "split": image.split,
            "group": row["group"],
            "attributes": canonical_json(row["attributes"]).decode(),
            "annotations": [{"id": entry["id"], "method": entry["method"]} for entry in row["annotations"]],
            "objects": [
                _label(label, annotation, size, numbers)
                for annotation in row["annotations"]
                for label in annotation["labels"]
            ],
        }


def _label(
    label: Mapping[str, Any], annotation: Mapping[str, Any], size: tuple[int, int], numbers: Mapping[str, int]
) -> dict[str, Any]:
    corners = box_of(label, size)
    return {
        "label": label["label"],
        "class": numbers[label["label"]],
        "bbox": None if corners is None else [float(corner) for corner in corners],
        "share": label["box"],
        "polygons": rings_of(label["polygons"], size) if "polygons" in label else None,
        "mask": label.get("mask"),
        "score": label["score"],
        "crowd": bool(label.get("crowd")),
        "annotation_id": annotation["id"],
    }


def _schema(labels: Sequence[str]) -> Any:
    """The columns. The class numbers' names are in the file's own metadata."""
    import pyarrow as pa

    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    label = pa.struct(
        [
            ("label", pa.string()),
            ("class", pa.int32()),
            ("bbox", pa.list_(pa.float64())),
            ("share", pa.list_(pa.float64())),
            ("polygons", pa.list_(pa.list_(pa.float64()))),
            ("mask", mask),
            ("score", pa.float64()),
            ("crowd", pa.bool_()),
            ("annotation_id", pa.string()),
        ]
    )
    annotation = pa.struct([("id", pa.string()), ("method", pa.string())])
    texts = [(name, pa.string()) for name in ("file_name", "uid", "sha256")]
    numbers = [("width", pa.int32()), ("height", pa.int32())]
    more = [(name, pa.string()) for name in ("split", "group", "attributes")]
    columns = [*texts, *numbers, *more, ("annotations", pa.list_(annotation)), ("objects", pa.list_(label))]
    return pa.schema(columns, metadata={"dataloop.labels": canonical_json(list(labels)).decode()})


def _table(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema)


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups that have a bounded number of rows and of labels."""
    group: list[dict[str, Any]] = []
    labels = 0
    for row in rows:
        group.append(row)
        labels += len(row["objects"])
        if len(group) == GROUP_ROWS or labels >= GROUP_LABELS:
            yield group
            group, labels = [], 0
    if group:
        yield group
