"""A bucket whose object versions can be removed for good. Only the role of functions/erasure_steps may do what this does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import Unavailable
from dataloop.domain.times import to_text
from dataloop.gateways.objects import Bucket, ListedVersion

DELETE_AT_ONCE = 1000  # S3: DeleteObjects takes 1,000 keys


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that nobody completed; its parts are bytes that can be completed later."""

    key: str
    upload_id: str
    begun_at: str


class ErasableBucket(Bucket):
    """Removal of versions, markers and unfinished uploads. Raises Unavailable for trouble with S3."""

    def versions_of(self, key: str) -> list[ListedVersion]:
        """All versions and markers of exactly this key. One call per 1,000 keys that begin with it, mostly one."""
        return [entry for entry in self.versions(key) if entry.key == key]

    def remove(self, versions: Iterable[tuple[str, str]]) -> int:
        """Remove (key, version id) pairs for good; how many. What is gone already is no error. 1 call per 1,000."""
        rest = iter(versions)
        count = 0
        while chunk := [{"Key": key, "VersionId": version} for key, version in islice(rest, DELETE_AT_ONCE)]:
            answer = self._asked("delete_objects", Delete={"Objects": chunk, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise Unavailable(f"S3 removal of {first['Key']}: {first['Code']}")
            count += len(chunk)
        return count

    def purge(self, prefix: str) -> int:
        """Remove everything below a prefix: versions and markers. Returns how many. 2 calls per 1,000."""
        return self.remove((entry.key, entry.version_id) for entry in list(self.versions(prefix)))

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders right below a prefix that hold anything, old versions included. 1 call per 1,000."""
        try:
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self.name, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", []):
                    yield str(entry["Prefix"]).removeprefix(prefix).rstrip("/")
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"S3 listing: {error}") from error

    def unfinished_uploads(self, key: str) -> list[UnfinishedUpload]:
        """Multipart uploads of exactly this key. 1 call."""
        return [
            UnfinishedUpload(key, entry["UploadId"], to_text(entry["Initiated"]))
            for page in self._pages("list_multipart_uploads", Prefix=key)
            for entry in page.get("Uploads", [])
            if entry["Key"] == key
        ]

    def abort(self, upload: UnfinishedUpload) -> None:
        """Drop an upload with its parts; one that is gone already is no error. 1 call."""
        try:
            self._client.abort_multipart_upload(Bucket=self.name, Key=upload.key, UploadId=upload.upload_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchUpload":
                raise Unavailable(f"S3 abort of {upload.key}: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"S3 abort of {upload.key}: {error}") from error

    def _asked(self, operation: str, **request: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, **request)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"S3: {error}") from error
        return answer
