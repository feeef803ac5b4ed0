"""Ids. Content decides them where it can, so that a retry finds what the first attempt made (design §4.1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from dataloop.domain.canonical import canonical_json, digest
from dataloop.domain.errors import InvalidInput

UID = re.compile(r"[0-9a-f]{32}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ANNOTATION_ID = re.compile(r"[0-9a-f]{24}")
ENTITY_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def uid_of(sha256: str) -> str:
    """The uid of content: the first 128 bits of its SHA-256 as 32 hex characters (the shape of seed 000)."""
    if not SHA256.fullmatch(sha256):
        raise InvalidInput("sha256", "must be 64 lower-case hex characters", sha256)
    return sha256[:32]


def check_uid(value: object, field: str = "uid") -> str:
    """Return value when it has the shape of a uid. Raises InvalidInput(field)."""
    if not isinstance(value, str) or not UID.fullmatch(value):
        raise InvalidInput(field, "must be 32 lower-case hex characters, as upload_file returned it", value)
    return value


def check_annotation_id(value: object, field: str = "annotation_id") -> str:
    """Return value when it has the shape of an annotation id. Raises InvalidInput(field)."""
    if not isinstance(value, str) or not ANNOTATION_ID.fullmatch(value):
        raise InvalidInput(field, "must be 24 lower-case hex characters, as upload_annotated_data returned it", value)
    return value


def annotation_id(
    data_ids: Sequence[str],
    type: str,
    labels: Sequence[Mapping[str, object]],
    model: str,
    version: str,
    method: str,
    supersedes: str | None = None,
) -> str:
    """24 hex characters over what an annotation says: the same statement, sent twice, is one annotation.

    What it supersedes is part of it: correcting B back to what A said is a new statement, not A again.
    """
    return digest(annotation_content(data_ids, type, labels, model, version, method, supersedes))[:24]


def annotation_content(
    data_ids: Sequence[str],
    type: str,
    labels: Sequence[Mapping[str, object]],
    model: str,
    version: str,
    method: str,
    supersedes: str | None = None,
) -> list[object]:
    """What an annotation's id is a digest of."""
    return [sorted(set(data_ids)), type, labels, model, version, method, *([supersedes] if supersedes else [])]


def storage_id(bucket: str, key: str) -> str:
    """13 base-36 characters that name one place (the shape of seed 000, for example 2vcrqyykgmaql)."""
    number = int.from_bytes(hashlib.sha256(f"{bucket}\0{key}".encode()).digest()[:8], "big") % 36**13
    letters = []
    for _ in range(13):
        number, rest = divmod(number, 36)
        letters.append(_BASE36[rest])
    return "".join(reversed(letters))


def location_hash(bucket: str, key: str) -> str:
    """16 hex characters naming (bucket, key) inside a raw data record."""
    return hashlib.sha256(f"{bucket}\0{key}".encode()).hexdigest()[:16]


def segment_id(annotation_ids: Iterable[str]) -> str:
    """SHA-256 over the sorted ids: linking the same set twice is one segment."""
    return hashlib.sha256("\n".join(sorted(set(annotation_ids))).encode()).hexdigest()


def uuid7(unix_ms: int, random80: bytes) -> str:
    """A time-ordered UUID (RFC 9562 §5.7) from milliseconds and ten random bytes."""
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(random80[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_uuid(unix_ms: int, *parts: object) -> str:
    """A UUID of the uuid7 shape whose random part is a digest of parts: deciding the same thing twice gives one id."""
    return uuid7(unix_ms, hashlib.sha256(canonical_json(list(parts))).digest()[:10])
