"""New images through Microsoft's own client: bytes, files, URLs, predictions; and everything that is wrong with some."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageIdCreateBatch,
    ImageIdCreateEntry,
    ImageUrlCreateBatch,
    ImageUrlCreateEntry,
    Region,
)
from PIL import Image

from dataloop.domain.predictions import StoredPrediction, id_at
from dataloop.services.adding import MAX_BYTES
from tests import handlers
from tests.core import Core, account
from tests.pictures import picture
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway

UNKNOWN = "00000000-0000-4000-8000-000000000000"
PAGES: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        PAGES[self.path](self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """host:port of a server that the deployment may reach although it is private; `PAGES` says what it answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def core(site: str) -> Iterator[Core]:
    with account(local_url_hosts=site) as made:
        yield made


def answers(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return page


def statuses(summary: Any) -> list[str]:
    return [each.status for each in summary.images]


def files(*bodies: bytes, **batch: Any) -> ImageFileCreateBatch:
    entries = [
        ImageFileCreateEntry(name=f"{number}.jpg", contents=bytearray(body)) for number, body in enumerate(bodies)
    ]
    return ImageFileCreateBatch(images=entries, **batch)


def refused(call: Callable[[], Any]) -> tuple[int, str, str]:
    """(status, code, message) of what the service refuses as a whole."""
    with pytest.raises(CustomVisionErrorException) as caught:
        call()
    error: Any = caught.value
    return error.response.status_code, error.error.code, error.message


def opened(url: str) -> bytes:
    """The file behind a signed link, without a key."""
    return requests.get(url, timeout=5).content


@covers("create_images_from_data")
def test_bytes(training: Any, project: Any) -> None:
    tag, body = training.create_tag(project.id, "cat"), picture()

    summary = training.create_images_from_data(project.id, body, [tag.id])

    [made] = summary.images
    assert summary.is_batch_successful and (made.status, made.source_url) == ("OK", "0")
    assert (made.image.width, made.image.height) == (24, 16)
    assert [each.tag_name for each in made.image.tags] == ["cat"]
    assert opened(made.image.original_image_uri) == body
    [listed] = training.get_images(project.id)
    assert listed.id == made.image.id and training.get_tag(project.id, tag.id).image_count == 1


@covers("create_images_from_data")
def test_bytes_of_a_file_keep_every_byte(training: Any, project: Any, tmp_path: Any) -> None:
    body = picture("PNG") + b"\r\n--not-a-boundary\r\n\0\xff\r\n"
    file = tmp_path / "cat 1.png"
    file.write_bytes(body)
    with file.open("rb") as stream:
        [made] = training.create_images_from_data(project.id, stream).images
    assert made.source_url == '"cat 1.png"'
    assert opened(made.image.original_image_uri) == body
    [again] = training.create_images_from_data(project.id, io.BytesIO(body)).images
    assert (again.status, again.image.id) == ("OKDuplicate", made.image.id)


def test_names_of_parts_may_have_any_letters(gateway: Gateway, training_key: str, project: Any) -> None:
    head = '--b0\r\nContent-Disposition: form-data; name="imageData"; filename="bär 猫.jpg"\r\n\r\n'.encode()
    kind = {"Content-Type": "multipart/form-data; boundary=b0; x=猫"}
    status, answer = post(gateway, training_key, f"{project.id}/images", kind, head + picture() + b"\r\n--b0--")
    assert (status, answer["images"][0]["sourceUrl"]) == (200, '"bär 猫.jpg"')


def multipart(*bodies: bytes, name: str = "imageData", boundary: str = "b0") -> tuple[dict[str, str], bytes]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + body + b"\r\n"
        for body in bodies
    ]
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join(
        parts
    ) + f"--{boundary}--\r\n".encode()


def post(gateway: Gateway, key: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    target = f"/customvision/v3.3/Training/projects/{path}"
    status, _, answer = gateway.call("POST", target, {"Training-Key": key, **headers}, body)
    return status, json.loads(answer)


@covers("create_images_from_data")
def test_several_parts_of_one_body(gateway: Gateway, training_key: str, project: Any) -> None:
    bodies = [picture(seed=seed) for seed in range(64)]
    status, answer = post(gateway, training_key, f"{project.id}/images", *multipart(*bodies))
    assert status == 200 and answer["isBatchSuccessful"]
    assert [each["sourceUrl"] for each in answer["images"]] == [str(number) for number in range(64)]


@covers("create_images_from_data")
def test_a_body_that_is_the_image(gateway: Gateway, training_key: str, project: Any) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    status, answer = post(gateway, training_key, f"{project.id}/images", kind, picture())
    assert (status, answer["images"][0]["status"]) == (200, "OK")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (*multipart(*[b"x"] * 65), 400, "BadRequestExceededBatchSize"),
        ({"Content-Type": "multipart/form-data; boundary=b0"}, b"", 400, "BadRequestImageStream"),
        ({"Content-Type": "multipart/form-data"}, b"--b0--\r\n", 400, "BadRequestImageStream"),
        ({"Content-Type": "multipart/form-data; boundary=b0"}, b"nothing of the kind", 400, "BadRequestImageStream"),
        ({"Content-Type": "multipart/form-data; boundary=b0"}, multipart(b"xy")[1][:-9], 400, "BadRequestImageStream"),
        ({"Content-Type": "multipart/form-data; boundary=b0"}, b"--b0--\r\n", 400, "BadRequestImageBatch"),
        ({"Content-Type": f"multipart/form-data; boundary={'b' * 5000}"}, b"x", 400, "BadRequestImageStream"),
        ({"Content-Type": "application/octet-stream"}, b"", 400, "BadRequestImageStream"),
        ({"Content-Type": "text/html"}, b"<p>", 415, "UnsupportedMediaType"),
        ({"Content-Type": "application/json"}, b"{}", 415, "UnsupportedMediaType"),
    ],
)
def test_bodies_that_hold_no_images(
    gateway: Gateway, training_key: str, project: Any, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    got, answer = post(gateway, training_key, f"{project.id}/images", headers, body)
    assert (got, answer["code"]) == (status, code) and set(answer) == {"code", "message"} and answer["message"]


def test_more_than_twenty_tags(gateway: Gateway, training_key: str, project: Any) -> None:
    ids = ",".join(f"00000000-0000-4000-8000-{number:012d}" for number in range(21))
    status, answer = post(gateway, training_key, f"{project.id}/images?tagIds={ids}", *multipart(picture()))
    assert (status, answer["code"]) == (400, "BadRequestExceededBatchSize") and "20" in answer["message"]
    status, answer = post(gateway, training_key, f"{project.id}/images?tagIds=cat", *multipart(picture()))
    assert (status, answer["code"]) == (400, "BadRequestInvalidIds") and "cat" in answer["message"]


@covers("create_images_from_files")
def test_files_with_tags_and_regions(training: Any, detection_project: Any) -> None:
    cat, dog = (training.create_tag(detection_project.id, name) for name in ("cat", "dog"))
    region = Region(tag_id=dog.id, left=0.1, top=0.2, width=0.3, height=0.4)
    batch = ImageFileCreateBatch(
        images=[ImageFileCreateEntry(name="a.jpg", contents=bytearray(picture()), tag_ids=[cat.id], regions=[region])],
        metadata={"site": "a"},
    )

    summary = training.create_images_from_files(detection_project.id, batch)

    [made] = summary.images
    assert summary.is_batch_successful and made.source_url == "a.jpg"
    assert {each.tag_name for each in made.image.tags} == {"cat", "dog"}
    [box] = made.image.regions
    assert (box.tag_name, box.left, box.top, box.width, box.height) == ("dog", 0.1, 0.2, 0.3, 0.4)
    assert made.image.metadata == {"site": "a"}


@covers("create_images_from_files")
def test_each_file_has_its_own_answer(training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat")
    twice = picture(seed=9)
    bad_tag = ImageFileCreateEntry(name="tag", contents=bytearray(picture(seed=1)), tag_ids=[UNKNOWN])
    batch = files(
        picture(),
        b"not a picture",
        picture() + b"\0" * MAX_BYTES,
        picture("PNG", (60, 2)),
        twice,
        twice,
        tag_ids=[tag.id],
    )
    batch.images.append(bad_tag)

    summary = training.create_images_from_files(project.id, batch)

    assert statuses(summary) == [
        "OK",
        "ErrorImageFormat",
        "ErrorImageSize",
        "ErrorImageDimensions",
        "OK",
        "OKDuplicate",
        "ErrorInvalidTag",
    ]
    assert not summary.is_batch_successful
    assert [each.image is not None for each in summary.images] == [True, False, False, False, True, True, False]
    assert training.get_image_count(project.id) == 2


@covers("create_images_from_files")
def test_tags_that_do_not_go_together(training: Any, project: Any) -> None:
    cat = training.create_tag(project.id, "cat")
    nothing = training.create_tag(project.id, "nothing", type="Negative")
    summary = training.create_images_from_files(project.id, files(picture(), tag_ids=[cat.id, nothing.id]))
    assert statuses(summary) == ["ErrorNegativeAndRegularTagOnSameImage"]
    assert training.get_image_count(project.id) == 0


def test_a_batch_that_is_wrong_as_a_whole_adds_nothing(training: Any, detection_project: Any) -> None:
    owner, tag = detection_project.id, training.create_tag(detection_project.id, "cat")
    outside = Region(tag_id=tag.id, left=0.8, top=0, width=0.3, height=0.5)
    far = Region(tag_id=tag.id, left=0, top=-1, width=0.3, height=0.5)
    fine = picture()

    def with_region(region: Region) -> ImageFileCreateBatch:
        batch = files(fine, fine)
        batch.images[1].regions = [region]
        return batch

    for batch, code, words in (
        (files(*[fine] * 65), "BadRequestExceededBatchSize", "64"),
        (files(), "BadRequestImageBatch", "at least one"),
        (files(fine, tag_ids=[UNKNOWN[:-2] + f"{n:02d}" for n in range(21)]), "BadRequestExceededBatchSize", "20"),
        (files(fine, tag_ids=["cat"]), "BadRequestInvalidIds", "cat"),
        (with_region(outside), "BadRequestImageRegions", "image 1"),
        (with_region(far), "BadRequestImageRegions", "images[1].regions[0]"),
        (files(fine, metadata={"k" * 129: "v"}), "BadRequestImageMetadataKey", "128"),
        (files(fine, metadata={"k": "v" * 257}), "BadRequestImageMetadataValue", "256"),
    ):
        status, found, message = refused(lambda batch=batch: training.create_images_from_files(owner, batch))  # type: ignore[misc]
        assert (status, found) == (400, code) and words in message
    assert training.get_image_count(owner) == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"images": [{"contents": "%%%"}]}, "BadRequestImageBatch"),
        ({"images": [{"contents": "AAA"}]}, "BadRequestImageBatch"),
        ({"images": [{"name": "a"}]}, "BadRequestImageBatch"),
        ({"images": [{"contents": 7}]}, "BadRequestImageBatch"),
        ({"images": {}}, "BadRequest"),
        ({"images": ["a"]}, "BadRequest"),
        ({}, "BadRequestImageBatch"),
        ([], "BadRequest"),
        ({"images": [{"contents": "AAAA", "regions": [{}]}]}, "BadRequestInvalidIds"),
        ({"images": [{"contents": "AAAA", "regions": [{"tagId": UNKNOWN, "left": 0}]}]}, "BadRequestImageRegions"),
        ({"images": [{"contents": "AAAA"}], "metadata": ["a"]}, "BadRequest"),
        ({"images": [{"contents": "AAAA"}], "metadata": {"a": 1}}, "BadRequestImageMetadataValue"),
    ],
)
def test_bodies_that_are_no_batch(gateway: Gateway, training_key: str, project: Any, body: Any, code: str) -> None:
    kind = {"Content-Type": "application/json"}
    status, answer = post(gateway, training_key, f"{project.id}/images/files", kind, json.dumps(body).encode())
    assert (status, answer["code"]) == (400, code) and answer["message"]


@covers("create_images_from_urls")
def test_urls(training: Any, project: Any, site: str) -> None:
    tag = training.create_tag(project.id, "cat")
    first, second = picture(seed=1), picture("PNG", seed=2)
    PAGES.update({"/1.jpg": answers(first), "/2": answers(b"", 302, Location="/2.png"), "/2.png": answers(second)})
    urls = [f"http://{site}/1.jpg", f"http://{site}/2"]
    batch = ImageUrlCreateBatch(images=[ImageUrlCreateEntry(url=url) for url in urls], tag_ids=[tag.id])

    summary = training.create_images_from_urls(project.id, batch)

    assert summary.is_batch_successful and [each.source_url for each in summary.images] == urls
    assert [opened(each.image.original_image_uri) for each in summary.images] == [first, second]


@covers("create_images_from_urls")
def test_urls_that_cannot_be_fetched(training: Any, project: Any, site: str) -> None:
    PAGES.update(
        {
            "/fine": answers(picture()),
            "/gone": answers(b"no", 404),
            "/private": answers(b"", 302, Location="http://169.254.169.254/latest/meta-data/"),
            "/loop": answers(b"", 302, Location="/loop"),
            "/more": answers(b"x" * 10, Content_Length="20"),
            "/large": answers(b"", Content_Length=str(MAX_BYTES + 1)),
            "/page": answers(b"<html>"),
        }
    )
    wanted = {
        f"http://{site}/fine": "OK",
        f"http://{site}/gone": "ErrorSource",
        f"http://{site}/private": "ErrorSource",
        f"http://{site}/loop": "ErrorSource",
        f"http://{site}/more": "ErrorSource",
        f"http://{site}/large": "ErrorImageSize",
        f"http://{site}/page": "ErrorImageFormat",
        "http://127.0.0.1:9/a.png": "ErrorSource",
        "http://[::1]/a.png": "ErrorSource",
        "http://user:word@example.com/a.png": "ErrorSource",
        "ftp://example.com/a.png": "ErrorSource",
        "a.png": "ErrorSource",
    }
    batch = ImageUrlCreateBatch(images=[ImageUrlCreateEntry(url=url) for url in wanted])
    summary = training.create_images_from_urls(project.id, batch)
    assert dict(zip(wanted, statuses(summary), strict=True)) == wanted
    assert training.get_image_count(project.id) == 1


def test_why_an_image_failed_is_in_the_answer(gateway: Gateway, training_key: str, project: Any) -> None:
    body = json.dumps({"images": [{"url": "http://10.0.0.1/a.png"}]}).encode()
    kind = {"Content-Type": "application/json"}
    status, answer = post(gateway, training_key, f"{project.id}/images/urls", kind, body)
    assert status == 207 and "not public" in answer["images"][0]["message"]
    status, answer = post(gateway, training_key, f"{project.id}/images/urls", kind, b'{"images": [{"link": "x"}]}')
    assert (status, answer["code"]) == (400, "BadRequestImageUrl")


@covers("create_images_from_predictions")
def test_predictions_that_were_stored(core: Core, training: Any, project: Any) -> None:
    tag, body = training.create_tag(project.id, "cat"), picture(seed=3)
    owner = core.services.projects.get("default", project.id)
    now = core.clock.text()
    stored = StoredPrediction(
        tenant="default",
        project_id=owner.id,
        id=id_at(now, core.clock.random(10)),
        iteration_id=core.clock.new_id(),
        uid="0" * 32,
        media_type="image/jpeg",
        width=24,
        height=16,
        created_at=now,
        predictions=(),
        uncertainty=0.0,
    )
    core.services.stored_predictions.store(stored, body)
    entry = ImageIdCreateEntry(id=stored.id, tag_ids=[tag.id])

    summary = training.create_images_from_predictions(project.id, ImageIdCreateBatch(images=[entry]))

    [made] = summary.images
    assert (made.status, made.source_url) == ("OK", stored.id)
    assert opened(made.image.original_image_uri) == body
    missing = ImageIdCreateBatch(images=[ImageIdCreateEntry(id=UNKNOWN)])
    assert statuses(training.create_images_from_predictions(project.id, missing)) == ["ErrorSource"]
    wrong = ImageIdCreateBatch(images=[ImageIdCreateEntry(id="7")])
    assert refused(lambda: training.create_images_from_predictions(project.id, wrong))[:2] == (
        400,
        "BadRequestInvalidIds",
    )


def test_who_may_not_upload(core: Core, gateway: Gateway, project: Any, prediction_key: str) -> None:
    reader = core.services.keyring.create("default", "reader", ["read"])[1]
    for key, code in (("wrong", 401), (prediction_key, 403), (reader, 403)):
        assert post(gateway, key, f"{project.id}/images", *multipart(picture()))[0] == code
    training_key = core.services.keyring.create("default", "t", ["write"])[1]
    status, answer = post(gateway, training_key, f"{UNKNOWN}/images", *multipart(picture()))
    assert (status, answer["code"]) == (404, "NotFoundProject")


def test_links_to_smaller_copies(training: Any, project: Any) -> None:
    large = picture("JPEG", (2000, 500))
    [made] = training.create_images_from_data(project.id, large).images
    image = made.image
    sizes = {
        name: Image.open(
            io.BytesIO(opened(getattr(image, f"{name}_image_uri" if name != "thumbnail" else "thumbnail_uri")))
        )
        for name in ("original", "resized", "thumbnail")
    }
    assert {name: found.size for name, found in sizes.items()} == {
        "original": (2000, 500),
        "resized": (1024, 256),
        "thumbnail": (256, 64),
    }
    [small] = training.create_images_from_data(project.id, picture()).images
    assert small.image.thumbnail_uri == small.image.resized_image_uri == small.image.original_image_uri


def test_a_long_batch_of_base64(gateway: Gateway, training_key: str, project: Any) -> None:
    """More than a request of Lambda may hold: on one machine nothing stops it."""
    bodies = [picture(seed=seed) + bytes(400_000) for seed in range(20)]
    batch = {"images": [{"contents": base64.b64encode(body).decode()} for body in bodies]}
    kind = {"Content-Type": "application/json"}
    status, answer = post(gateway, training_key, f"{project.id}/images/files", kind, json.dumps(batch).encode())
    assert status == 200 and len(answer["images"]) == 20


def test_a_body_that_took_most_of_the_time_is_answered_all_the_same(
    training: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading hundreds of megabytes takes seconds: images that are not reached say so, and come with the next request."""
    batch = ImageFileCreateBatch(images=[ImageFileCreateEntry(name="a", contents=picture())])
    monkeypatch.setattr(handlers.Context, "remaining_ms", 9_000)
    assert statuses(training.create_images_from_files(project.id, batch)) == ["ErrorStorage"]
    monkeypatch.undo()
    assert statuses(training.create_images_from_files(project.id, batch)) == ["OK"]
