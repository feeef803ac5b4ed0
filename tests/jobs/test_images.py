"""Images: verified, decoded under a limit, scaled; each bad one named by uid and key."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws
from PIL import Image

from dataloop_inference import images
from dataloop_inference.images import Letterbox, letterbox, normalise
from dataloop_jobs.dataset import Row, read_dataset
from dataloop_jobs.faults import BadImage, Interrupted
from dataloop_jobs.images import ImageStore
from tests.jobs.job_folder import JobFolder, scenes


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rows_of(job: JobFolder) -> tuple[Row, ...]:
    return read_dataset(job.write().dataset, needs="nothing").train


def refused(job: JobFolder, content: bytes) -> str:
    """The message for a training image of this content."""
    row = job.add("train", content, [])
    with pytest.raises(BadImage) as caught:
        ImageStore(job.images, 64, 10).load(rows_of(job)[0])
    assert row["uid"] in str(caught.value)
    assert job.objects[0]["key"] in str(caught.value)
    return str(caught.value)


def test_an_empty_file_is_refused(job: JobFolder) -> None:
    assert "0 bytes" in refused(job, b"")


def test_a_truncated_image_is_refused(job: JobFolder) -> None:
    whole = scenes("train", 1)[0].image_bytes
    assert "cannot be decoded" in refused(job, whole[: len(whole) // 2])


def test_what_is_no_image_is_refused(job: JobFolder) -> None:
    assert "cannot be decoded" in refused(job, b"%PDF-1.7 not an image")


def test_a_damaged_header_is_refused(job: JobFolder) -> None:
    content = bytearray(scenes("train", 1)[0].image_bytes)
    content[2:40] = bytes(38)
    assert "cannot be decoded" in refused(job, bytes(content))


def test_a_pixel_bomb_is_refused_before_it_is_decoded(job: JobFolder) -> None:
    message = refused(job, encoded(Image.new("1", (10_000, 10_000))))
    assert "10000 × 10000 pixels" in message
    assert "89,478,485" in message


def test_a_bomb_beyond_pillows_own_limit_is_refused_too(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(images, "PIXEL_LIMIT", 2500)
    assert "too large" in refused(job, encoded(Image.new("1", (100, 100))))


def test_a_key_that_leaves_the_folder_is_not_followed(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.new("RGB", (4, 4)))
    job.add("train", content, [])
    (job.images.parent / "secret.png").write_bytes(content)
    job.objects[0]["key"] = "../secret.png"
    tried: list[str] = []

    def fetch(row: Row, problem: str) -> bytes:
        tried.append(problem)
        return content

    monkeypatch.setattr("dataloop_jobs.images._fetch", fetch)
    ImageStore(job.images, 64, 10).load(rows_of(job)[0])
    assert tried == ["is not in the images channel"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A versioned bucket `raw`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="raw")
        client.put_bucket_versioning(Bucket="raw", VersioningConfiguration={"Status": "Enabled"})
        yield client


def test_a_file_that_was_overwritten_is_read_in_its_exact_version(job: JobFolder, bucket: Any) -> None:
    old, new = (encoded(Image.new("RGB", (32, 32), colour)) for colour in ("red", "blue"))
    job.add("train", old, [])
    key = job.objects[0]["key"]
    job.objects[0]["version_id"] = bucket.put_object(Bucket="raw", Key=key, Body=old)["VersionId"]
    bucket.put_object(Bucket="raw", Key=key, Body=new)
    (job.images / key).write_bytes(new)
    pixels, _ = ImageStore(job.images, 32, 10).load(rows_of(job)[0])
    assert pixels[5, 5].tolist() == [255, 0, 0]


def test_a_missing_file_that_s3_does_not_have_either_is_named(job: JobFolder, bucket: Any) -> None:
    job.add("train", b"content", [])
    (job.images / job.objects[0]["key"]).unlink()
    with pytest.raises(BadImage, match="not in the images channel, and version None could not be read from S3"):
        ImageStore(job.images, 32, 10).load(rows_of(job)[0])


def test_wrong_bytes_in_s3_are_named(job: JobFolder, bucket: Any) -> None:
    job.add("train", b"content", [])
    key = job.objects[0]["key"]
    (job.images / key).unlink()
    bucket.put_object(Bucket="raw", Key=key, Body=b"other")
    with pytest.raises(BadImage, match=r"differs from the manifest's .* in S3 too"):
        ImageStore(job.images, 32, 10).load(rows_of(job)[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_pixel_format_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 128 * 257, np.uint16))
    else:
        image = Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    decoded = images.decode(content)
    assert decoded.mode == "RGB"
    if mode not in {"1", "P", "CMYK"}:  # those have no such grey
        assert abs(decoded.getpixel((4, 4))[0] - 128) <= 1  # type: ignore[index]


def test_letterboxing_keeps_the_aspect_and_boxes_come_back() -> None:
    pixels, fit = letterbox(Image.new("RGB", (200, 50), "white"), 64)
    assert (fit.scale_x, fit.scale_y) == (64, 16)
    assert (pixels[:16] == 255).all()
    assert (pixels[16:] == images.PAD_VALUE).all()
    box = (0.25, 0.5, 0.25, 0.5)
    assert fit.to_image(fit.to_input(box)) == pytest.approx(box)
    assert fit.to_image((-5, -5, 500, 500)) == (0, 0, 1, 1)
    assert Letterbox.fit(10_000, 1, 64) == Letterbox(64, 1, 10_000, 1)


def test_the_cache_keeps_its_budget_and_still_serves_every_image(job: JobFolder) -> None:
    job.add_scenes("train", 4)
    rows = rows_of(job)
    store = ImageStore(job.images, 320, 1)  # an image takes 0.3 MB: three fit
    seen: list[tuple[int, int]] = []
    store.load_all(rows, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    for path in list(job.images.rglob("*.jpg")):
        path.write_bytes(b"gone")
    served = 0
    for row in rows:
        try:
            store.load(row)
            served += 1
        except BadImage:
            pass
    assert served == 3


def test_loading_stops_when_asked_to(job: JobFolder) -> None:
    def stop(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        ImageStore(job.images, 32, 1).load_all(rows_of(job.add_scenes("train", 3)), 1, stop)


def test_network_input_is_centred_and_channels_first() -> None:
    batch = normalise(np.full((2, 4, 6, 3), 255, np.uint8))
    assert batch.shape == (2, 3, 4, 6)
    assert batch.dtype == np.float32
    assert (batch == 1).all()


def test_paths_with_unicode_spaces_and_plus_are_found(job: JobFolder, tmp_path: Path) -> None:
    job.add_scenes("train", 1)
    assert "ü" in job.objects[0]["key"]
    assert "+" in job.objects[0]["key"]
    ImageStore(job.images, 32, 1).load(rows_of(job)[0])
