"""Uploads: a form for exactly one key, size and checksum per file; and links to read files back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.ids import SHA256, storage_id, uid_of
from dataloop.domain.raw_data import Location, RawData, is_key, key_of, split_key
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.gateways.objects import Bucket, Stored
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock

MAX_FILES = 1000
HEADS_AT_ONCE = 16
MAX_SIZE = 5 * 1024**3  # S3: an object of one POST is at most 5 GB
MAX_KEY_BYTES = 1024  # S3: key length
MAX_PART_BYTES = 255  # Linux and macOS: length of one file name; training machines must be able to store it


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A file a client wants to upload; unchecked."""

    file_name: object
    directory: object
    size_bytes: object
    sha256: object
    content_type: object = None


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """Where a file goes and how. form is None when these bytes are already there."""

    uid: str
    bucket: str
    storage_id: str
    object_name: str
    form: dict[str, Any] | None


class UploadService:
    """Presigning costs no AWS call; knowing what is there already costs a BatchGet per hundred files, and a HEAD for
    each file that seems to be."""

    def __init__(self, repository: RawDataRepository, bucket: Bucket, clock: Clock) -> None:
        self._repository = repository
        self._bucket = bucket
        self._clock = clock

    def plan(self, tenant: str, requests: Sequence[UploadRequest]) -> list[UploadPlan | DomainError]:
        """One plan or error per request, in order. Raises LimitExceeded for more than 1,000.

        To ask for a form for erased content is the decision to have it again (docs/deletion.md).
        """
        if len(requests) > MAX_FILES:
            raise LimitExceeded("files", MAX_FILES, len(requests))
        checked = [self._check(tenant, request) for request in requests]
        uids = {uid_of(entry[2]) for entry in checked if isinstance(entry, tuple)}
        known = self._repository.get_many(tenant, uids)
        for uid, raw in known.items():
            if raw.is_erased:
                self._repository.reopen(tenant, uid, self._clock.text())
        there = self._standing(
            {(uid_of(entry[2]), key_of(tenant, entry[1])) for entry in checked if isinstance(entry, tuple)}, known
        )
        return [entry if isinstance(entry, DomainError) else self._plan(*entry, there) for entry in checked]

    def _standing(self, wanted: set[tuple[str, str]], known: dict[str, RawData]) -> set[tuple[str, str]]:
        """Which (uid, key) are what the key holds now. A record keeps the version of a file that another replaced, so
        what the record says is asked of S3 again."""
        places = [(uid, at) for uid, key in wanted if uid in known for at in known[uid].live_locations if at.key == key]
        if not places:
            return set()
        with ThreadPoolExecutor(min(HEADS_AT_ONCE, len(places))) as pool:
            newest = pool.map(lambda place: self._is_newest(place[1]), places)
            return {(uid, at.key) for (uid, at), stands in zip(places, newest, strict=True) if stands}

    def _check(self, tenant: str, request: UploadRequest) -> tuple[str, str, str, int, str] | DomainError:
        try:
            size = request.size_bytes
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise InvalidInput("size_bytes", "must be a whole number of bytes", size)
            if size == 0:
                raise InvalidInput("size_bytes", "the file is empty")
            if size > MAX_SIZE:
                raise LimitExceeded("size_bytes", MAX_SIZE, size)
            if not isinstance(request.sha256, str) or not SHA256.fullmatch(request.sha256):
                raise InvalidInput("sha256", "must be 64 lower-case hex characters", request.sha256)
            content_type = request.content_type or "application/octet-stream"
            is_plain = isinstance(content_type, str) and content_type.isascii() and content_type.isprintable()
            if not is_plain or len(str(content_type)) > 128:
                raise InvalidInput("content_type", "must be a media type", content_type)
            name = object_name(request.file_name, request.directory, self._clock.text()[:10])
            return tenant, name, request.sha256, size, str(content_type)
        except DomainError as error:
            return error

    def _plan(
        self, tenant: str, name: str, sha256: str, size: int, content_type: str, there: set[tuple[str, str]]
    ) -> UploadPlan:
        uid, key = uid_of(sha256), key_of(tenant, name)
        fields = {
            "Content-Type": content_type,
            "x-amz-meta-uid": uid,
            "x-amz-checksum-algorithm": "SHA256",
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        }
        form = None if (uid, key) in there else self._bucket.upload_form(key, size, fields)
        return UploadPlan(uid, self._bucket.name, storage_id(self._bucket.name, key), name, form)

    def _is_newest(self, place: Location) -> bool:
        stored = self._bucket.head(place.key)
        return stored is not None and stored.version_id == place.version_id

    def link_by_uid(self, tenant: str, uid: str, clearance: Clearance = EVERYTHING) -> tuple[RawData, str, str]:
        """(record, link, file name) of content. Raises NotFound, ResidencyViolation. 1 DynamoDB call."""
        raw = self._repository.get(tenant, uid)
        location = raw.location if raw else None
        if raw is None or location is None:
            raise NotFound("file", uid)
        clearance.require(raw.meta or {}, f"file {uid}")
        file_name = PurePosixPath(split_key(location.key)[1]).name
        return raw, self._bucket.link(location.key, version_id=location.version_id, file_name=file_name), file_name

    def link_by_storage(
        self, tenant: str, storage: object, bucket: object, name: object, clearance: Clearance = EVERYTHING
    ) -> tuple[Stored, str, str]:
        """(what S3 holds there, link, file name) of a place. Raises NotFound, InvalidInput, ResidencyViolation.

        Cost: 1 HEAD; with a limited clearance 1 DynamoDB call more. Then a file that S3 has no whole checksum of is refused:
        nothing says which record it belongs to.
        """
        if not isinstance(name, str) or not name:
            raise InvalidInput("object_name", "must be a non-empty text", name)
        if bucket != self._bucket.name or name.startswith("tenants/") or not is_key(key_of(tenant, name)):
            raise NotFound("file", f"{bucket}/{name}")
        key = key_of(tenant, name)
        is_named_so = storage in (None, "", storage_id(self._bucket.name, key))
        stored = self._bucket.head(key) if is_named_so else None
        if stored is None:
            raise NotFound("file", f"{bucket}/{name}")
        if clearance.is_limited:
            raw = self._repository.get(tenant, uid_of(stored.sha256)) if stored.sha256 else None
            clearance.require((raw.meta if raw else None) or {}, f"file {name}")
        file_name = PurePosixPath(name).name
        return stored, self._bucket.link(key, version_id=stored.version_id, file_name=file_name), file_name


def object_name(file_name: object, directory: object, today: str) -> str:
    """`<directory or date>/<file name>`, checked. Raises InvalidInput, LimitExceeded."""
    if not isinstance(file_name, str) or not file_name.strip("/ "):
        raise InvalidInput("file_name", "must be a non-empty text", file_name)
    if directory is not None and not isinstance(directory, str):
        raise InvalidInput("directory", "must be a text", directory)
    folder = (directory or "").strip("/") or today
    name = f"{folder}/{file_name.strip('/')}"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidInput("directory", "must not have empty, . or .. parts", name)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or "${filename}" in name:
        raise InvalidInput("file_name", "must not hold control characters or ${filename}", name)
    if parts[0] == "tenants":
        raise InvalidInput("directory", "must not begin with tenants/", name)
    try:
        longest = max(len(part.encode()) for part in parts)
        total = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput("file_name", "is not valid Unicode") from error
    if longest > MAX_PART_BYTES:
        raise LimitExceeded("file_name: bytes", MAX_PART_BYTES, longest)
    if total > MAX_KEY_BYTES - len("tenants/") - 64:
        raise LimitExceeded("object_name: bytes", MAX_KEY_BYTES - len("tenants/") - 64, total)
    return name
