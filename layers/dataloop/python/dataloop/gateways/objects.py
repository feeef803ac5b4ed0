"""One S3 bucket."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.times import to_text

# Links live for minutes (design §9).
LINK_SECONDS = 900
DELETE_AT_ONCE = 1000  # S3: DeleteObjects takes 1,000 keys
MISSING = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"}


@dataclass(frozen=True, slots=True)
class Stored:
    """What S3 says of one object version. sha256 is the checksum S3 verified over the whole object, in hex, if any.

    modified: when S3 took it, as our time text; S3 tells whole seconds.
    """

    key: str
    version_id: str
    size_bytes: int
    metadata: Mapping[str, str]
    sha256: str | None = None
    content_type: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """One row of a version listing."""

    key: str
    version_id: str
    size_bytes: int
    is_latest: bool
    is_marker: bool
    modified: str


class Bucket:
    """Reads and writes of one bucket. A missing object is NotFound(object), trouble with S3 is Unavailable."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """One PUT."""
        self._call("put_object", key, Body=body, ContentType=content_type)

    def put_version(self, key: str, body: bytes, content_type: str, sha256: str) -> str:
        """One PUT that S3 checks against the content's SHA-256 (hex); returns the version it made."""
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        answer = self._call("put_object", key, Body=body, ContentType=content_type, ChecksumSHA256=checksum)
        return str(answer.get("VersionId") or "null")

    def upload(self, path: Path, key: str) -> None:
        """A file from disk, in parts when it is large."""
        try:
            self._client.upload_file(str(path), self.name, key)
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            raise Unavailable(f"S3 upload of {key}: {error}") from error

    def upload_stream(self, stream: IO[bytes], key: str) -> None:
        """A file-like object of unknown length, in parts."""
        try:
            self._client.upload_fileobj(stream, self.name, key)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"S3 upload of {key}: {error}") from error

    def get(self, key: str, version_id: str | None = None) -> bytes:
        """The whole object, or one version of it. Raises NotFound."""
        return self._read(key, **({"VersionId": version_id} if version_id and version_id != "null" else {}))

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """The whole object and its ETag, for `replace`. Raises NotFound."""
        answer = self._call("get_object", key)
        try:
            return answer["Body"].read(), answer["ETag"]
        except BotoCoreError as error:  # the connection broke while the body came
            raise Unavailable(f"S3: {error}") from error

    def replace(self, key: str, body: bytes, etag: str | None, content_type: str = "application/json") -> bool:
        """Put over exactly the object with this ETag; None: only where nothing is. False when there is another. 1 PUT."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._call("put_object", key, Body=body, ContentType=content_type, **condition)
        except NotFound:  # what was to be replaced is gone
            return False
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def get_range(self, key: str, start: int, length: int, version_id: str | None = None) -> bytes:
        """Bytes start … start+length-1 (fewer at the end, none behind it). Raises NotFound."""
        request: dict[str, Any] = {"Range": f"bytes={start}-{start + length - 1}"}
        if version_id and version_id != "null":
            request["VersionId"] = version_id
        try:
            return self._read(key, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":
                return b""
            raise

    def open(self, key: str, version_id: str | None = None) -> tuple[Stored, IO[bytes]]:
        """Facts and a stream of one object version. Raises NotFound."""
        request = {"VersionId": version_id} if version_id and version_id != "null" else {}
        answer = self._call("get_object", key, **request)
        return _stored(key, answer), answer["Body"]

    def lines(self, key: str) -> Iterator[bytes]:
        """The lines of an object, streamed. Raises NotFound."""
        _, stream = self.open(key)
        yield from stream.iter_lines()  # type: ignore[attr-defined]

    def download(self, key: str, path: Path) -> None:
        """An object to a file. Raises NotFound."""
        _, stream = self.open(key)
        with path.open("wb") as target:
            while chunk := stream.read(1 << 20):
                target.write(chunk)

    def head(self, key: str, version_id: str | None = None) -> Stored | None:
        """Facts of one object version with its verified checksum, or None."""
        request: dict[str, Any] = {"ChecksumMode": "ENABLED"}
        if version_id and version_id != "null":
            request["VersionId"] = version_id
        try:
            return _stored(key, self._call("head_object", key, **request))
        except NotFound:
            return None

    def copy(self, source_key: str, key: str) -> None:
        """A server-side copy inside the bucket (in parts above 5 GB)."""
        try:
            self._client.copy({"Bucket": self.name, "Key": source_key}, self.name, key)
        except ClientError as error:
            raise _translated(error, source_key) from error
        except BotoCoreError as error:
            raise Unavailable(f"S3 copy of {source_key}: {error}") from error

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; in a versioned bucket their bytes stay behind a marker until the bucket's rule expires them.

        What is not there is no error. One call per 1,000. Raises Unavailable.
        """
        rest = iter(keys)
        while chunk := [{"Key": key} for key in islice(rest, DELETE_AT_ONCE)]:
            try:
                answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": chunk, "Quiet": True})
            except (ClientError, BotoCoreError) as error:
                raise Unavailable(f"S3 deletion: {error}") from error
            if answer.get("Errors"):
                raise Unavailable(f"S3 deletion of {answer['Errors'][0]['Key']}: {answer['Errors'][0]['Code']}")

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys and sizes below a prefix, in key order; one call per 1,000."""
        for page in self._pages("list_objects_v2", Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"]

    def versions(self, prefix: str = "") -> Iterator[ListedVersion]:
        """Object versions and delete markers below a prefix; one call per 1,000."""
        for page in self._pages("list_object_versions", Prefix=prefix):
            for name, is_marker in (("Versions", False), ("DeleteMarkers", True)):
                for entry in page.get(name, []):
                    yield ListedVersion(
                        entry["Key"],
                        entry.get("VersionId") or "null",
                        entry.get("Size", 0),
                        entry["IsLatest"],
                        is_marker,
                        entry["LastModified"].isoformat(),
                    )

    def link(self, key: str, *, version_id: str | None = None, file_name: str | None = None) -> str:
        """A GET link for 15 minutes. No call."""
        request: dict[str, Any] = {"Bucket": self.name, "Key": key}
        if version_id and version_id != "null":
            request["VersionId"] = version_id
        if file_name:
            request["ResponseContentDisposition"] = "attachment; filename*=UTF-8''" + _percent(file_name)
        url: str = self._client.generate_presigned_url("get_object", Params=request, ExpiresIn=LINK_SECONDS)
        return url

    def upload_form(self, key: str, size_bytes: int, fields: Mapping[str, str]) -> dict[str, Any]:
        """A POST form for exactly this key, size and fields, for 15 minutes: {"url", "fields"}. No call."""
        # S3 replaces ${filename} in the key field by the client's file name: the policy pins the literal key, so a
        # name that really holds that text could never match. It is refused before it comes here.
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", size_bytes, size_bytes])
        answer: dict[str, Any] = self._client.generate_presigned_post(
            self.name, key, Fields=dict(fields), Conditions=conditions, ExpiresIn=LINK_SECONDS
        )
        return answer

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def _read(self, key: str, **request: Any) -> bytes:
        try:
            body: bytes = self._call("get_object", key, **request)["Body"].read()
        except BotoCoreError as error:  # the connection broke while the body came
            raise Unavailable(f"S3: {error}") from error
        return body

    def _pages(self, operation: str, **request: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from self._client.get_paginator(operation).paginate(Bucket=self.name, **request)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"S3 listing: {error}") from error

    def _call(self, operation: str, key: str, **request: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, Key=key, **request)
        except ClientError as error:
            raise _translated(error, key) from error
        except BotoCoreError as error:
            raise Unavailable(f"S3: {error}") from error
        return answer


def _translated(error: Any, key: str) -> Exception:
    code = str(error.response["Error"]["Code"])
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in MISSING or status == 404:
        return NotFound("object", key)
    if code in ("SlowDown", "Throttling", "RequestTimeout", "InternalError") or status >= 500:
        return Unavailable(f"S3: {code}")
    untranslated: Exception = error
    return untranslated


def _stored(key: str, answer: Mapping[str, Any]) -> Stored:
    checksum = answer.get("ChecksumSHA256")
    is_whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and checksum and "-" not in checksum
    return Stored(
        key=key,
        version_id=answer.get("VersionId") or "null",
        size_bytes=answer["ContentLength"],
        metadata=answer.get("Metadata", {}),
        sha256=_hex(checksum) if checksum and is_whole else None,
        content_type=answer.get("ContentType", ""),
        modified=to_text(answer["LastModified"]) if "LastModified" in answer else "",
    )


def _hex(base64_text: str) -> str:
    return base64.b64decode(base64_text).hex()


def _percent(text: str) -> str:
    return quote(text, safe="")


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
