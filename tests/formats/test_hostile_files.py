"""Label files that mean harm or are just broken, over all formats: clear errors, nothing that an annotation refuses."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloop.domain.annotations import make_annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import DomainError
from dataloop.formats.registry import names_read, reader_of, recognised, writer_of
from dataloop.formats.sources import ZipSource, check_relative
from dataloop.formats.surface import Findings, FormatError, Picture
from dataloop.formats.targets import ZipTarget
from tests.formats.in_memory import SAMPLES, Files, Made, Written
from tests.formats.test_ground_truth import floor
from tests.formats.versions import export_image, label_row

READERS = sorted(names_read())
XML = ("cvat", "voc")
# What breaks parsers and checks when it stands where something else stood.
TOKENS = [
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"0",
        b"99999999999999999999",
        b"1.5",
        b"true",
        b"null",
        b'""',
        b"[]",
        b"{}",
    ),
    *(
        b"\0",
        b"\xff\xfe",
        b"\xc3",
        b"\\ud800",
        b"<",
        b"&lt;",
        b"../",
        b"\\",
        b":",
        b"\n",
        b" ",
        b"\xef\xbb\xbf",
        b"[" * 2000,
    ),
]


def folder(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@cache
def sound(name: str) -> dict[str, bytes]:
    """A small source of each format: as its tool writes it, or as our writer does."""
    if (SAMPLES / name).is_dir():
        extra = {"output/5_2025-04-21T13:48:00.091190.png": floor()} if name == "ground_truth" else {}
        return folder(SAMPLES / name) | extra
    size = (16, 12)
    labels = [label_row("cat", size, (1, 1, 5, 5)), label_row("dog", size, polygons=[[2, 2, 9, 2, 9, 9]])]
    labels = [label_row("cat", size)] if name == "imagenet" else labels[1:] if name == "masks" else labels
    target = Written()
    images = [export_image(number, size, labels, split=split) for number, split in enumerate(["train", "val"])]
    writer = writer_of(name)
    writer.write(iter(images), ["cat", "dog"], target, Findings())
    return target.files | {writer.image_name(image): b"" for image in images}


def check(picture: Picture) -> None:
    """What a reader yields can become an annotation."""
    check_relative(picture.file_name)
    canonical_json(dict(picture.attributes))
    if "annotation" in picture.attributes:
        return  # our own lines go to the annotation service as they are
    labels = []
    for label in picture.labels:
        entry: dict[str, Any] = {"label": label.label, "score": label.score, "attributes": dict(label.attributes)}
        if picture.in_shares:
            continue
        if label.box is not None:
            entry["bbox_xyxy"] = list(label.box)
        if label.segmentation is not None:
            entry["segmentation"] = label.segmentation
        labels.append(entry)
    made = make_annotation("t", "2025-01-01T00:00:00Z", data_ids=["0" * 32], type=picture.kind, labels=labels)
    canonical_json([dict(label) for label in made.labels])


@pytest.mark.parametrize("name", READERS)
def test_each_source_is_recognised_as_what_it_is(name: str) -> None:
    assert name == recognised(Files(sound(name))).NAME


@st.composite
def broken(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """A source with some bytes of one of its files exchanged, left out, repeated or cut off."""
    files = dict(sound(name))
    chosen = draw(st.sampled_from(sorted(file for file in files if files[file])))
    data = files[chosen]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 5, 20, 10_000])))
        put = draw(st.sampled_from([b"", data[start:end] * 3, *TOKENS]) | st.binary(max_size=3))
        data = data[:start] + put + data[end:]
    files[chosen] = data
    return files


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(data=st.data())
def test_no_broken_file_gets_further_than_a_clear_error(name: str, data: st.DataObject) -> None:
    source = Files(data.draw(broken(name)))
    findings = Findings("skip")
    try:
        for picture in reader_of(name).read(source, findings):
            check(picture)
    except DomainError as error:
        assert str(error)
    for problem in findings.problems:
        assert problem["item"]
        assert problem["reason"]
    canonical_json(findings.to_json())


@pytest.mark.parametrize("name", READERS)
@given(data=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_noise_is_no_source_of_any_format(name: str, data: bytes) -> None:
    suffixes = (".json", ".jsonl", ".xml", ".manifest", ".txt", ".yaml", ".png")
    source = Files({f"a{suffix}": data for suffix in suffixes})
    reader_of(name).recognises(source)
    try:
        list(reader_of(name).read(source, Findings("skip")))
    except DomainError as error:
        assert str(error)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
def test_a_damaged_archive_gets_no_further_than_a_clear_error(name: str, data: st.DataObject) -> None:
    stream = io.BytesIO()
    target = ZipTarget(stream)
    for path, content in sound(name).items():
        with target.open(path) as file:
            file.write(content)
    target.close()
    damaged = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        source = ZipSource(io.BytesIO(bytes(damaged)))
        reader_of(name).recognises(source)
        for picture in reader_of(name).read(source, Findings("skip")):
            check(picture)
    except DomainError as error:
        assert str(error)


BOMB = "<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(9))
ATTACKS = {
    "an entity bomb": f"<!DOCTYPE x [{BOMB}]>{{root}}<name>&a9;</name>",
    "an entity that is a file": "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>{root}<name>&e;</name>",
    "an entity from the network": "<!DOCTYPE x [<!ENTITY e SYSTEM 'http://192.0.2.1/'>]>{root}<name>&e;</name>",
    "a parameter entity": "<!DOCTYPE x [<!ENTITY % e SYSTEM 'http://192.0.2.1/'> %e;]>{root}",
    "a DTD from elsewhere": "<!DOCTYPE x SYSTEM 'http://192.0.2.1/x.dtd'>{root}",
    "endless nesting": "{root}" + "<a>" * 100_000,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("name", XML)
def test_xml_that_reaches_out_or_blows_up_is_refused(name: str, attack: str) -> None:
    (path, text), *_ = ((file, data) for file, data in sound(name).items() if file.endswith(".xml"))
    root = "<annotations>" if name == "cvat" else "<annotation>"
    source = Files(sound(name) | {path: attack.replace("{root}", root)} if isinstance(text, bytes) else {})
    with pytest.raises(FormatError):
        list(reader_of(name).read(source, Findings("stop")))


def cvat(images: int) -> Iterator[bytes]:
    box = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="6"><attribute name="a">b</attribute></box>' * 100
    yield b"<annotations>"
    for number in range(images):
        yield f'<image name="{number}.jpg" width="40" height="30">{box}</image>'.encode()
    yield b"</annotations>"


def label_studio(images: int) -> Iterator[bytes]:
    value = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["cup"]}
    result = {"type": "rectanglelabels", "original_width": 40, "original_height": 30, "value": value}
    for number in range(images):
        task = {"data": {"image": f"{number}.jpg"}, "annotations": [{"result": [result] * 100}]}
        yield (b"," if number else b"[") + json.dumps(task).encode()
    yield b"]"


def ground_truth(images: int) -> Iterator[bytes]:
    annotation = {"class_id": 0, "left": 1, "top": 1, "width": 2, "height": 2}
    metadata = {"type": "groundtruth/object-detection", "class-map": {"0": "cup"}, "objects": [{"confidence": 1}] * 100}
    for number in range(images):
        line = {
            "source-ref": f"s3://b/{number}.jpg",
            "job": {"annotations": [annotation] * 100},
            "job-metadata": metadata,
        }
        yield json.dumps(line).encode() + b"\n"


def modelarts(images: int) -> Iterator[bytes]:
    label = {"type": "modelarts/image_classification", "name": "cup"}
    for number in range(images):
        yield json.dumps({"source": f"s3://b/{number}.jpg", "annotation": [label] * 100}).encode() + b"\n"


LARGE = {
    "cvat": ("a.xml", cvat),
    "label_studio": ("a.json", label_studio),
    "ground_truth": ("a.manifest", ground_truth),
    "modelarts": ("a.manifest", modelarts),
}


@pytest.mark.parametrize("name", LARGE)
def test_ten_times_the_objects_take_no_more_memory(name: str) -> None:
    """What is measured is what Python holds; a million objects in one file: docs/formats.md."""
    path, parts = LARGE[name]

    def made(images: int) -> Made:
        def bytes_of() -> Iterable[bytes]:
            return parts(images)

        return Made(path, bytes_of, next(iter(parts(1))) + b"...")

    def peak(images: int) -> int:
        tracemalloc.start()
        try:
            read = sum(len(picture.labels) for picture in reader_of(name).read(made(images), Findings("stop")))
            assert read == images * 100
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # Buffers are filled before the smaller one ends.
    small = peak(150)
    assert peak(600) < 1.25 * small + 500_000
