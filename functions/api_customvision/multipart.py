"""Images in a request's body: parts of multipart/form-data, or the body itself.

Microsoft's clients send parts without a file name and without a content type, which form parsers take for texts; here the
bytes of every part stay bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api_customvision.faults import Refused, UnsupportedMedia
from edge.request import header, raw_body

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# What the service calls the parts that are images.
IMAGE_PART = "imagedata"
BAD_STREAM = "BadRequestImageStream"


@dataclass(frozen=True, slots=True)
class Part:
    """One image of a body. file_name: what the client calls it, "" when it says nothing."""

    file_name: str
    data: bytes


def images(router: APIGatewayHttpRouter) -> list[Part]:
    """The images of the request's body, in order; none of them is looked at.

    Parts that are called `imageData` count, or all of them when none is called so. Raises
    Refused(BadRequestImageStream) for an empty or broken body, UnsupportedMedia for another content type.
    """
    body = raw_body(router)
    if not body:
        raise Refused(BAD_STREAM, "body: is empty; an image is needed")
    content_type = header(router, "content-type") or "application/octet-stream"
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind == b"application/octet-stream" or kind.startswith(b"image/"):
        return [Part("", body)]
    if kind != b"multipart/form-data":
        raise UnsupportedMedia(
            f"content-type: must be multipart/form-data or application/octet-stream (got {content_type[:100]!r})"
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refused(BAD_STREAM, "content-type: multipart/form-data names no boundary")
    return _named(_parts(body, boundary))


@dataclass(slots=True)
class _Reading:
    """A part while it is read: its headers and where its bytes are."""

    headers: dict[str, str] = field(default_factory=dict)
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    chunks: list[bytes] = field(default_factory=list)

    def end_header(self) -> None:
        self.headers[self.name.decode("latin-1").strip().lower()] = self.value.decode("latin-1").strip()
        self.name.clear()
        self.value.clear()


def _parts(body: bytes, boundary: bytes) -> list[_Reading]:
    """Every part of a multipart body. Raises Refused(BadRequestImageStream) for a broken one."""
    found: list[_Reading] = []
    ends: list[bool] = []
    callbacks: MultipartCallbacks = {
        "on_part_begin": lambda: found.append(_Reading()),
        "on_header_field": lambda data, start, end: found[-1].name.extend(data[start:end]),
        "on_header_value": lambda data, start, end: found[-1].value.extend(data[start:end]),
        "on_header_end": lambda: found[-1].end_header(),
        "on_part_data": lambda data, start, end: found[-1].chunks.append(data[start:end]),
        "on_end": lambda: ends.append(True),
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refused(BAD_STREAM, f"body: is no multipart/form-data: {str(error)[:200]}") from error
    if not ends:
        raise Refused(BAD_STREAM, "body: is cut short: the closing boundary is missing")
    return found


def _named(parts: list[_Reading]) -> list[Part]:
    options = [parse_options_header(part.headers.get("content-disposition", ""))[1] for part in parts]
    is_image = [said.get(b"name", b"").lower() == IMAGE_PART.encode() for said in options]
    return [
        Part(said.get(b"filename", b"").decode("utf-8", "replace"), b"".join(part.chunks))
        for part, said, named in zip(parts, options, is_image, strict=True)
        if named or not any(is_image)
    ]
