"""Which operation of which service a request is, in the names of AWS's API references."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

# Sub-resources that make an S3 request something else than an object or bucket request.
_S3_SUBRESOURCES = {
    "tagging": "Tagging",
    "acl": "Acl",
    "versioning": "BucketVersioning",
    "notification": "BucketNotificationConfiguration",
    "policy": "BucketPolicy",
    "lifecycle": "BucketLifecycleConfiguration",
    "encryption": "BucketEncryption",
    "cors": "BucketCors",
    "attributes": "ObjectAttributes",
    "location": "BucketLocation",
}
_S3_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}


def operation_of(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> str:
    target = headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    if service == "s3":
        return s3_operation(method, path, headers, query)
    if service == "lambda":
        return _lambda_operation(method, path)
    action = query.get("Action") or parse_qs(body[:2048].decode("latin-1")).get("Action") or []
    return action[0] if action else f"{method} {path.split('/')[1] if '/' in path else path}"


def s3_operation(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> str:
    """The S3 operation of a path-style request."""
    bucket, _, key = path.lstrip("/").partition("/")
    if "uploads" in query or "uploadId" in query or "partNumber" in query:
        return _multipart_operation(method, query)
    for name, title in _S3_SUBRESOURCES.items():
        if name in query:
            kind = "Object" if key and title in ("Tagging", "Acl") else "Bucket" if title in ("Tagging", "Acl") else ""
            return f"{_S3_VERBS.get(method, method)}{kind}{title}"
    if not bucket:
        return "ListBuckets"
    if not key:
        return _bucket_operation(method, query)
    if method == "PUT":
        return "CopyObject" if "x-amz-copy-source" in headers else "PutObject"
    return f"{_S3_VERBS.get(method, method)}Object"


def _multipart_operation(method: str, query: dict[str, Any]) -> str:
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if method == "PUT":
        return "UploadPart"
    if method == "DELETE":
        return "AbortMultipartUpload"
    return "ListMultipartUploads" if "uploads" in query else "ListParts"


def _bucket_operation(method: str, query: dict[str, Any]) -> str:
    if method == "GET":
        return "ListObjectVersions" if "versions" in query else "ListObjectsV2"
    if method == "POST":
        return "DeleteObjects" if "delete" in query else "PostObject"
    return {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}.get(method, method)


def _lambda_operation(method: str, path: str) -> str:
    if path.rstrip("/").endswith("/invocations"):
        return "Invoke"
    parts = path.strip("/").split("/")
    return f"{method} {parts[1] if len(parts) > 1 else parts[0]}"
