"""Gap: a checksum in a presigned POST form is neither checked nor stored, and PutObject does not return one.

Stock enforces the policy of a signed form (exact key, content-length-range, metadata, expiry) but ignores
`x-amz-checksum-*`: a wrong body is accepted, and HeadObject with ChecksumMode has no ChecksumSHA256.
We compute the named checksum: a mismatch is 400 BadDigest and writes nothing, a match is stored with the object. The
answer to a PutObject names the checksum that was stored, as on AWS.
Noticed by: tests/local/test_s3.py and tests/local/test_stock_gaps.py::test_stock_ignores_post_checksum.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import s3

_form: ContextVar[dict[str, str] | None] = ContextVar("dataloop_post_form", default=None)


class _Refused(Exception):
    """Carries ministack's error response out of the middle of a form upload."""

    def __init__(self, response: tuple[Any, ...]) -> None:
        super().__init__()
        self.response = response


def install() -> None:
    stock_post, stock_policy, stock_record = s3._post_object, s3._enforce_signed_post_policy, s3._build_object_record

    def post_object(bucket: str, body: bytes, headers: dict[str, str]) -> tuple[Any, ...]:
        token = _form.set(None)
        try:
            response: tuple[Any, ...] = stock_post(bucket, body, headers)
            return response
        except _Refused as refused:
            return refused.response
        finally:
            _form.reset(token)

    def enforce(fields: dict[str, str], *rest: Any) -> Any:
        _form.set(fields)
        return stock_policy(fields, *rest)

    def build_record(
        body: bytes, headers: dict[str, Any], etag: str | None = None, checksums: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        fields = _form.get()
        if fields is not None and checksums is None:
            named = {name: value for name, value in fields.items() if name.startswith("x-amz-checksum-")}
            checksums, error = s3._resolve_object_checksums(body, named)
            if error:
                raise _Refused(error)
        record: dict[str, Any] = stock_record(body, headers, etag=etag, checksums=checksums)
        return record

    stock_put = s3._put_object

    def put_object(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> tuple[Any, ...]:
        response: tuple[Any, ...] = stock_put(bucket, key, body, headers)
        if response[0] == 200:
            stored = s3._buckets[bucket]["objects"][key].get("checksums") or {}
            response[1].update({f"x-amz-checksum-{name.lower()}": value for name, value in stored.items()})
        return response

    s3._put_object = put_object
    s3._post_object, s3._enforce_signed_post_policy, s3._build_object_record = post_object, enforce, build_record
