"""Registration of raw data: the object half from S3 events, the metadata half from clients (design §6.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotFound,
    ResidencyViolation,
)
from dataloop.domain.ids import check_uid, uid_of
from dataloop.domain.raw_data import Location, RawData, padded_sequencer, split_key
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.gateways.objects import Bucket, Stored
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services import inspecting
from dataloop.services.clock import Clock

# Files up to here are read whole in one GET: one request, and the checksum is ours. Larger ones are read in parts, but for
# pictures: their perceptual hash needs all of them.
WHOLE_BYTES = 1 << 20
# A photograph of 50 million pixels at high quality; above, a picture has no hash.
HASHED_BYTES = 32 << 20
MAX_META_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ObjectNotice:
    """What an S3 event says: this key changed, in this order."""

    key: str
    version_id: str
    sequencer: str
    is_removal: bool = False
    is_marker: bool = False


class RegistrationService:
    """Both halves are idempotent and commute, so events and calls may come in any order, any number of times."""

    def __init__(
        self,
        repository: RawDataRepository,
        bucket: Bucket,
        clock: Clock,
        erase_late: Callable[[str, str, Location], None],
    ) -> None:
        """erase_late: told of a copy that is older than the erasure of its content (tenant, uid, where it lies)."""
        self._repository = repository
        self._bucket = bucket
        self._clock = clock
        self._erase_late = erase_late

    def register_object(self, notice: ObjectNotice) -> str | None:
        """Register the object version a notice names. Returns its uid, or None when the version is gone already.

        Cost: 1 GET (small files, pictures) or 1 HEAD and 2 GETs, and 1 DynamoDB call of 2 WRU.
        """
        tenant, name = split_key(notice.key)
        if name.endswith("/"):
            return None  # the marker objects that consoles make for folders
        try:
            stored, sha256, head, tail = self._read(notice)
        except NotFound:
            return None
        facts = inspecting.inspect(name, sha256, stored.size_bytes, head, tail)
        uid = uid_of(sha256)
        location = Location(
            bucket=self._bucket.name,
            key=notice.key,
            version_id=stored.version_id,
            sequencer=padded_sequencer(notice.sequencer),
            size_bytes=stored.size_bytes,
            from_bucket="uid" not in stored.metadata,
            modified=stored.modified,
        )
        try:
            self._repository.put_object_half(tenant, uid, facts, location, self._clock.text())
        except IllegalTransition:
            self._erase_late(tenant, uid, location)
        return uid

    def _read(self, notice: ObjectNotice) -> tuple[Stored, str, bytes, bytes]:
        """(facts, sha256, head, tail) of an object version. Raises NotFound."""
        stored, stream = self._bucket.open(notice.key, notice.version_id)
        if stored.size_bytes <= WHOLE_BYTES:
            body = stream.read()
            return stored, hashlib.sha256(body).hexdigest(), body, body
        head = stream.read(inspecting.HEAD_BYTES)
        if stored.size_bytes <= HASHED_BYTES and inspecting.can_hash(head):
            body = head + stream.read()
            return stored, hashlib.sha256(body).hexdigest(), body, body
        stream.close()
        checked = self._bucket.head(notice.key, stored.version_id)
        if checked is None:
            raise NotFound("object", notice.key)
        start = max(0, stored.size_bytes - inspecting.TAIL_BYTES)
        tail = self._bucket.get_range(notice.key, start, inspecting.TAIL_BYTES, stored.version_id)
        if head.startswith(inspecting.TIFF_MARKS) and stored.size_bytes <= inspecting.WHOLE_TIFF_BYTES:
            head = self._bucket.get_range(notice.key, 0, stored.size_bytes, stored.version_id)
        return checked, checked.sha256 or self._hash(notice.key, stored.version_id), head, tail

    def _hash(self, key: str, version_id: str) -> str:
        """Stream an object that S3 holds no whole checksum of (bulk copies, multipart uploads)."""
        hasher = hashlib.sha256()
        _, stream = self._bucket.open(key, version_id)
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
        return hasher.hexdigest()

    def remove_object(self, notice: ObjectNotice) -> str | None:
        """An object was deleted: mark the location as gone. Returns the uid, or None when nothing can be known.

        A delete marker leaves the version before it in place, and that version says which content went. After the
        permanent deletion of a version nothing is left to ask; `sweeping` compares records with the bucket for those.
        Cost: 1 version listing, 1 GET, 1 DynamoDB call.
        """
        if not notice.is_marker:
            return None
        versions = [entry for entry in self._bucket.versions(notice.key) if entry.key == notice.key]
        latest = next((entry for entry in versions if entry.is_latest), None)
        if latest is not None and not latest.is_marker:
            return None  # a newer upload came meanwhile
        before = max(
            (entry for entry in versions if not entry.is_marker), key=lambda entry: entry.modified, default=None
        )
        if before is None:
            return None
        read = ObjectNotice(notice.key, before.version_id, notice.sequencer)
        try:
            stored, sha256, head, tail = self._read(read)
        except NotFound:
            return None
        tenant, name = split_key(notice.key)
        location = Location(
            bucket=self._bucket.name,
            key=notice.key,
            version_id=stored.version_id,
            sequencer=padded_sequencer(notice.sequencer),
            size_bytes=stored.size_bytes,
            is_removed=True,
            modified=stored.modified,
        )
        # The facts go with it: should the creation's event come after this one, it is late and changes nothing.
        facts = inspecting.inspect(name, sha256, stored.size_bytes, head, tail)
        try:
            self._repository.put_object_half(tenant, uid_of(sha256), facts, location, self._clock.text())
        except IllegalTransition:
            self._erase_late(tenant, uid_of(sha256), location)  # below the marker lies an older copy
        return uid_of(sha256)

    def register_metadata(self, tenant: str, raw_data: object, clearance: Clearance = EVERYTHING) -> RawData:
        """Register what a client says of a file, before or after its object. Raises InvalidInput, LimitExceeded.

        raw_data: the object of seed 000, `upload_raw_data`. clearance: the caller's; what it may not write, and what is
        said already of a file that it may not touch, is a ResidencyViolation.
        Cost: 1 DynamoDB call, 1–2 WRU; with a limited clearance 1 call more.
        """
        uid, meta = check_metadata(raw_data)
        if clearance.is_limited:
            clearance.require(meta, f"file {uid}")
            stands = self._repository.get(tenant, uid)
            if stands is not None and stands.meta is not None:
                clearance.require(stands.meta, f"file {uid}")
        return self._repository.put_metadata_half(tenant, uid, meta, self._clock.text())

    def register_metadata_batch(
        self, tenant: str, items: Sequence[object], clearance: Clearance = EVERYTHING
    ) -> list[RawData | DomainError]:
        """One answer per item, in order."""
        results: list[RawData | DomainError] = []
        for item in items:
            try:
                results.append(self.register_metadata(tenant, item, clearance))
            except (IllegalTransition, InvalidInput, LimitExceeded, ResidencyViolation) as error:
                results.append(error)
        return results

    def get(self, tenant: str, uid: str, clearance: Clearance = EVERYTHING) -> RawData:
        """Raises NotFound, ResidencyViolation."""
        raw = self._repository.get(tenant, uid)
        if raw is None:
            raise NotFound("raw data", uid)
        if clearance.is_limited:
            clearance.require(raw.meta or {}, f"file {uid}")
        return raw

    def require(self, tenant: str, uids: Iterable[str], clearance: Clearance) -> None:
        """May the caller touch these files? What is not registered is not stated. Raises ResidencyViolation.

        Cost: nothing without a limit; else 1 call per 100 files.
        """
        if not clearance.is_limited:
            return
        wanted = sorted(set(uids))
        raws = self._repository.get_many(tenant, wanted, consistent=True)
        for uid in wanted:
            clearance.require((raws[uid].meta if uid in raws else None) or {}, f"file {uid}")

    def annotation_ids(self, tenant: str, uid: str) -> list[str]:
        return self._repository.annotation_ids(tenant, uid)

    def of_day(self, tenant: str, day: str, limit: int, cursor: str | None) -> tuple[list[RawData], str | None]:
        """Raw data whose object came last on a day (yyyymmdd)."""
        return self._repository.of_day(tenant, day, limit=limit, cursor=cursor)


def check_metadata(raw_data: object) -> tuple[str, Mapping[str, Any]]:
    """(uid, metadata) of a client's raw data object. Raises InvalidInput(field), LimitExceeded."""
    if not isinstance(raw_data, Mapping):
        raise InvalidInput("raw_data", "must be an object")
    uid = check_uid(raw_data.get("uid"))
    for name in ("type", "region", "securityLevel", "bg", "owner"):
        if raw_data.get(name) is not None and not isinstance(raw_data[name], str):
            raise InvalidInput(name, "must be a text", raw_data[name])
    for name in ("fileMeta", "storage", "extra", "sourceInfo"):
        if raw_data.get(name) is not None and not isinstance(raw_data[name], Mapping):
            raise InvalidInput(name, "must be an object", raw_data[name])
    if raw_data.get("type") not in (None, "image", "video", "file"):
        raise InvalidInput("type", "must be image, video or file", raw_data["type"])
    meta = {name: value for name, value in raw_data.items() if name != "uid"}
    try:
        size = len(canonical_json(meta))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput("raw_data", f"cannot be stored: {error}") from error
    if size > MAX_META_BYTES:
        raise LimitExceeded("raw_data: bytes", MAX_META_BYTES, size)
    check_storable(meta, "raw_data")
    return uid, meta
