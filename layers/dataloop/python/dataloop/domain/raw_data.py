"""Raw data: one record for one content, whatever the number of places it lies in (design §6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A real S3 sequencer is a hex number of up to 32 digits; longer ones would still compare right among themselves.
SEQUENCER_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes lie. `from_bucket` is True for files that no client announced (put straight into the bucket)."""

    bucket: str
    key: str
    version_id: str
    sequencer: str
    size_bytes: int
    from_bucket: bool = False
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What the bytes themselves say: equal for every copy of the content."""

    sha256: str
    size_bytes: int
    media_type: str
    width: int | None = None
    height: int | None = None
    rejected: str | None = None

    @property
    def type(self) -> str:
        """image, video or file."""
        family = self.media_type.split("/")[0]
        return family if family in ("image", "video") else "file"


@dataclass(frozen=True, slots=True)
class RawData:
    """Both halves of a record; either may be missing."""

    tenant: str
    uid: str
    facts: ObjectFacts | None = None
    locations: tuple[Location, ...] = ()
    meta: Mapping[str, Any] | None = None
    meta_at: str | None = None
    first_seen: str | None = None
    orphaned_at: str | None = None

    @property
    def live_locations(self) -> tuple[Location, ...]:
        return tuple(sorted((at for at in self.locations if not at.is_removed), key=lambda at: (at.bucket, at.key)))

    @property
    def location(self) -> Location | None:
        """The place to read from: the first live one in name order, so that everyone chooses the same."""
        live = self.live_locations
        return live[0] if live else None

    @property
    def status(self) -> str:
        """AWAITING_OBJECT | AWAITING_METADATA | REGISTERED | REJECTED | ORPHANED | DELETED, derived from the halves."""
        if self.facts is None:
            return "ORPHANED" if self.orphaned_at else "AWAITING_OBJECT"
        if self.facts.rejected:
            return "REJECTED"
        live = self.live_locations
        if not live:
            return "DELETED"
        announced = self.meta is not None or any(at.from_bucket for at in live)
        return "REGISTERED" if announced else "AWAITING_METADATA"

    @property
    def is_usable(self) -> bool:
        """True when a dataset may contain it: there is an object that is a sound image or file."""
        return self.facts is not None and not self.facts.rejected and bool(self.live_locations)


def padded_sequencer(sequencer: str) -> str:
    """Left-padded so that text order is numeric order; S3 sends sequencers of unequal length."""
    return sequencer.lower().rjust(SEQUENCER_DIGITS, "0")


def key_of(tenant: str, object_name: str) -> str:
    """The S3 key of a client's object name: bare for the tenant `default`, below tenants/<tenant>/ for any other."""
    return object_name if tenant == "default" else f"tenants/{tenant}/{object_name}"


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `key_of`: (tenant, object name)."""
    if key.startswith("tenants/"):
        _, tenant, *rest = key.split("/", 2)
        if tenant and rest and rest[0]:
            return tenant, rest[0]
    return "default", key


def is_key(key: str) -> bool:
    """Can an object have this key? S3 takes 1 to 1,024 bytes of UTF-8; a lone surrogate has no UTF-8."""
    return 0 < len(key.encode(errors="replace")) <= 1024 and not any("\ud800" <= letter <= "\udfff" for letter in key)


def is_annotation_file(object_name: str) -> bool:
    """Annotation files are dropped under annotations/ (issue: the loop, 4)."""
    return object_name.startswith("annotations/")
