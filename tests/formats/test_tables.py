"""Parquet tables hold all that a version says, for the readers that people use; Croissant describes them to the letter."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import mlcroissant
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from dataloop.formats.croissant import CroissantWriter
from dataloop.formats.parquet import ParquetWriter
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.registry import writer_of
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.targets import FolderTarget, ZipTarget
from tests.formats.in_memory import Written
from tests.formats.versions import export_image, label_row, labels_in, versions

EXAMPLES = settings(max_examples=50, deadline=None)


def tables_of(images: list[ExportImage]) -> tuple[dict[str, Any], Findings]:
    """The tables by name, as pyarrow reads them."""
    target, findings = Written(), Findings("stop")
    ParquetWriter().write(iter(images), labels_in(images), target, findings)
    return {name: pq.read_table(io.BytesIO(data)) for name, data in target.files.items()}, findings


@EXAMPLES
@given(versions("box", "polygons", "mask", "whole"))
def test_a_row_can_be_made_again_from_its_table(images: list[ExportImage]) -> None:
    tables, findings = tables_of(images)
    found = {row["uid"]: row for table in tables.values() for row in table.to_pylist()}
    assert tables.keys() == {f"data/{image.split}.parquet" for image in images}
    assert len(found) == len(images)
    assert findings.losses == {}
    for image in images:
        row, back = image.row, found[image.row["uid"]]
        assert back["split"] == image.split
        assert back["file_name"] == ParquetWriter().image_name(image)
        assert json.loads(back["attributes"]) == row["attributes"]
        assert {name: back[name] for name in ("sha256", "width", "height", "group")} == {
            name: row[name] for name in ("sha256", "width", "height", "group")
        }
        assert [(entry["id"], entry["method"]) for entry in back["annotations"]] == [
            (entry["id"], entry["method"]) for entry in row["annotations"]
        ]
        size, names = size_of(row), labels_in(images)
        for label, kept in zip(labels_of(row), back["objects"], strict=True):
            assert (kept["label"], kept["share"], kept["score"]) == (label["label"], label["box"], label["score"])
            assert names[kept["class"]] == label["label"]
            corners = box_of(label, size)
            assert kept["bbox"] == (None if corners is None else list(corners))
            assert (kept["polygons"] or kept["mask"]) == segmentation_of(label, size)
            assert kept["crowd"] == bool(label.get("crowd"))
            assert kept["annotation_id"] == row["annotations"][0]["id"]


def example() -> list[ExportImage]:
    size = (40, 20)
    cat = label_row("cat", size, (10, 10, 15, 12), score=0.5)
    dog = label_row("dog", size, polygons=[[4, 2, 12, 2, 12, 6]])
    images = [
        export_image(number, size, [cat, dog][: number % 3], split=split, attributes={"region": "CN"})
        for number, split in enumerate(["train", "val", "test", "train", "train"])
    ]
    return [*images, export_image(9, size, [label_row("cat", size)], split="val")]


def test_duckdb_and_pandas_read_the_tables(tmp_path: Path) -> None:
    ParquetWriter().write(iter(example()), ["cat", "dog"], FolderTarget(tmp_path), Findings())
    found = duckdb.sql(
        f"""SELECT split, o.label, count(*), max(o.bbox[3] - o.bbox[1])
            FROM '{tmp_path}/data/*.parquet', unnest(objects) AS t(o) GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    assert found == [
        ("test", "cat", 1, 5.0),
        ("test", "dog", 1, 8.0),
        ("train", "cat", 1, 5.0),
        ("val", "cat", 2, 5.0),
    ]
    import pandas as pd

    frame = pd.read_parquet(tmp_path / "data/test.parquet")
    assert list(frame.loc[0, "objects"][1]["polygons"][0]) == [4, 2, 12, 2, 12, 6]


def test_the_names_of_the_classes_are_in_the_file() -> None:
    tables, _ = tables_of(example())
    metadata = tables["data/train.parquet"].schema.metadata
    assert json.loads(metadata[b"dataloop.labels"]) == ["cat", "dog"]


@pytest.mark.parametrize(
    "writer", [ParquetWriter(), CroissantWriter({"name": "kitchen"})], ids=["parquet", "croissant"]
)
def test_the_same_version_gives_the_same_bytes(writer: ParquetWriter | CroissantWriter) -> None:
    archives = []
    for _ in range(2):
        stream = io.BytesIO()
        target = ZipTarget(stream)
        writer.write(iter(example()), ["cat", "dog"], target, Findings())
        target.close()
        archives.append(stream.getvalue())
    assert archives[0] == archives[1]


def test_a_large_version_is_written_in_groups_of_rows() -> None:
    label = label_row("cat", (9, 9), (1, 1, 5, 5))
    images = (export_image(number, (9, 9), [label]) for number in range(5_000))
    target = Written()
    ParquetWriter().write(images, ["cat"], target, Findings())
    file = pq.ParquetFile(io.BytesIO(target.files["data/train.parquet"]))
    assert file.metadata.num_rows == 5_000
    assert max(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)) == 2_000


def described(folder: Path, images: list[ExportImage], **about: Any) -> Any:
    """The description as mlcroissant reads it. It raises for what breaks the standard."""
    CroissantWriter(about).write(iter(images), labels_in(images), FolderTarget(folder), Findings())
    return mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))


ABOUT = {
    "name": "kitchen",
    "description": "Cups and plates.",
    "license": "https://creativecommons.org/licenses/by/4.0/",
    "url": "https://example.com/kitchen",
    "version": "1.0.0",
    "datePublished": "2025-04-01",
    "citeAs": "none",
}


@pytest.mark.filterwarnings("ignore")  # mlcroissant's own libraries have some
def test_mlcroissant_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    dataset = described(tmp_path, example(), **ABOUT)
    issues = dataset.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    assert dataset.metadata.name == "kitchen"


@pytest.mark.filterwarnings("ignore")
def test_mlcroissant_reads_the_records(tmp_path: Path) -> None:
    images = example()
    dataset = described(tmp_path, images, **ABOUT)
    assert [record["splits/name"] for record in dataset.records("splits")] == ["train", "val", "test"]
    assert [record["labels/name"] for record in dataset.records("labels")] == ["cat", "dog"]
    found = {record["images/uid"].decode(): record for record in dataset.records("images")}
    assert found.keys() == {image.row["uid"] for image in images}
    for image in images:
        record = found[image.row["uid"]]
        assert record["images/split"].decode() == image.split
        assert (record["images/width"], record["images/height"]) == size_of(image.row)
        corners = [box_of(label, size_of(image.row)) for label in labels_of(image.row)]
        kept = [entry["images/objects/bbox"] for entry in record["images/objects"]]
        assert kept == [None if box is None else list(box) for box in corners]


@pytest.mark.parametrize(
    ("said", "written"), [("2", "2.0.0"), ("v1.4", "1.4.0"), ("3.2.1", "3.2.1"), ("summer", None), ("", None)]
)
def test_the_version_is_spelt_as_the_standard_wants_it(said: str, written: str | None) -> None:
    target = Written()
    writer = writer_of("croissant", {"name": "kitchen", "version": said})
    writer.write(iter(example()), ["cat", "dog"], target, Findings())
    description = json.loads(target.files["croissant.json"])
    assert description.get("version") == written
    assert said in description["description"]


def test_the_description_has_the_digests_of_its_tables(tmp_path: Path) -> None:
    CroissantWriter().write(iter(example()), ["cat", "dog"], FolderTarget(tmp_path), Findings())
    files = [
        entry for entry in json.loads((tmp_path / "croissant.json").read_text())["distribution"] if "sha256" in entry
    ]
    assert {entry["contentUrl"] for entry in files} == {f"data/{split}.parquet" for split in ("train", "val", "test")}
    for entry in files:
        assert entry["sha256"] == hashlib.sha256((tmp_path / entry["contentUrl"]).read_bytes()).hexdigest()


@pytest.mark.parametrize("images", [True, False])
def test_only_pictures_that_are_there_are_described(images: bool) -> None:
    target = Written()
    writer = writer_of("croissant", {"name": "kitchen", "version": "1", "images": images})
    writer.write(iter(example()), ["cat", "dog"], target, Findings())
    description = json.loads(target.files["croissant.json"])
    assert ("files" in {entry["@id"] for entry in description["recordSet"]}) is images
    assert ("pictures" in {entry["@id"] for entry in description["distribution"]}) is images
