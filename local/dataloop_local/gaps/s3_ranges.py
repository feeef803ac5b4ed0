"""Gap: a range of one object version is answered with the whole version, as 200.

Stock slices only reads of the current object: with a versionId the Range header is ignored. Whoever reads an archive in
place, block by block and pinned to a version, gets bytes of other places.
We slice what stock answers, as AWS does: 206 with Content-Range and without the checksum of the whole, 416 behind the end.
Noticed by: tests/local/test_s3.py::test_a_range_of_a_version_is_that_range and
tests/local/test_stock_gaps.py::test_stock_ignores_ranges_of_versions.
"""

from __future__ import annotations

from typing import Any

from ministack.services import s3


def install() -> None:
    stock_get = s3._get_object

    def get_object(
        bucket: str, key: str, headers: dict[str, Any], query_params: dict[str, Any] | None = None
    ) -> tuple[Any, ...]:
        response: tuple[Any, ...] = stock_get(bucket, key, headers, query_params)
        wanted = headers.get("range", "")
        return _slice(response, wanted, bucket, key) if wanted and response[0] == 200 else response

    s3._get_object = get_object


def _slice(response: tuple[Any, ...], wanted: str, bucket: str, key: str) -> tuple[Any, ...]:
    _, headers, body = response
    place = s3._parse_range(wanted, len(body))
    if place is None:
        refusal = {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}
        return 416, refusal, s3._xml_body(s3._range_error_xml(bucket, key))
    start, end = place
    kept = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum-")}
    kept |= {"Content-Length": str(end + 1 - start), "Content-Range": f"bytes {start}-{end}/{len(body)}"}
    return 206, kept, body[start : end + 1]
