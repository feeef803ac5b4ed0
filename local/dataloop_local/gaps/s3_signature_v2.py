"""Gap: URLs and forms signed with the retired Signature Version 2 are served, unchecked and for ever.

boto3 still signs that way by default in us-east-1. Stock checks neither signature nor expiry of such a URL; AWS refuses it
for every bucket made after June 2020. Code that works only here would fail there.
We refuse it as AWS does: 400 InvalidRequest. The client needs Config(signature_version="s3v4").
Noticed by: tests/local/test_s3.py::test_signature_version_2_is_refused_as_on_aws and
tests/local/test_stock_gaps.py::test_stock_serves_signature_version_2.
"""

from __future__ import annotations

from typing import Any

from ministack.services import s3


def install() -> None:
    stock_verify, stock_policy = s3._verify_presigned_sigv4, s3._enforce_signed_post_policy

    def refused() -> tuple[Any, ...]:
        response: tuple[Any, ...] = s3._error(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            400,
        )
        return response

    def verify(method: str, path: str, headers: dict[str, Any], query: dict[str, Any]) -> Any:
        if "AWSAccessKeyId" in query and "Signature" in query:
            return refused()
        return stock_verify(method, path, headers, query)

    def enforce(fields: dict[str, str], bucket: str, region: str, size: int, sigv4: bool) -> Any:
        return stock_policy(fields, bucket, region, size, sigv4) if sigv4 else refused()

    s3._verify_presigned_sigv4, s3._enforce_signed_post_policy = verify, enforce
