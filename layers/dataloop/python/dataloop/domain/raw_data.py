"""Raw data: one record for one content, whatever the number of places it lies in (design §6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A real S3 sequencer is a hex number of up to 32 digits; longer ones would still compare right among themselves.
SEQUENCER_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes lie. `from_bucket` is True for files that no client announced (put straight into the bucket).

    modified: when S3 took the bytes (whole seconds); records of earlier releases have none, which is before any erasure.
    """

    bucket: str
    key: str
    version_id: str
    sequencer: str
    size_bytes: int
    from_bucket: bool = False
    is_removed: bool = False
    modified: str = ""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What the bytes themselves say: equal for every copy of the content.

    phash: 16 hex digits of the perceptual hash (domain/perceptual_hash.py); None for what is no picture, or was too
    large to decode, or was registered before there were hashes.
    """

    sha256: str
    size_bytes: int
    media_type: str
    width: int | None = None
    height: int | None = None
    rejected: str | None = None
    phash: str | None = None

    @property
    def type(self) -> str:
        """image, video or file."""
        family = self.media_type.split("/")[0]
        return family if family in ("image", "video") else "file"


@dataclass(frozen=True, slots=True)
class RawData:
    """Both halves of a record; either may be missing. hints: what an imported label file says of it ({"split": …}).

    erased_at: when a deletion took it; reopened_at: when somebody uploaded the same content after that, which is a new
    decision. Only bytes that came after the erasure count from then on (docs/deletion.md).
    """

    tenant: str
    uid: str
    facts: ObjectFacts | None = None
    locations: tuple[Location, ...] = ()
    meta: Mapping[str, Any] | None = None
    meta_at: str | None = None
    first_seen: str | None = None
    last_seen: str | None = None
    orphaned_at: str | None = None
    hints: Mapping[str, Any] | None = None
    erased_at: str | None = None
    deletion_id: str | None = None
    reopened_at: str | None = None

    @property
    def is_erased(self) -> bool:
        return self.erased_at is not None and (self.reopened_at is None or self.reopened_at <= self.erased_at)

    @property
    def described(self) -> Mapping[str, Any]:
        """The metadata, with an imported file's split as `extra.split` where the client named none."""
        meta = dict(self.meta or {})
        split, extra = (self.hints or {}).get("split"), meta.get("extra") or {}
        if split is None or not isinstance(extra, Mapping) or extra.get("split") not in (None, ""):
            return meta
        return meta | {"extra": {**extra, "split": split}}

    @property
    def live_locations(self) -> tuple[Location, ...]:
        """Where the bytes can be read, in name order. What a deletion is about to remove does not count."""
        if self.is_erased:
            return ()
        live = (at for at in self.locations if not at.is_removed and self.is_after_erasure(at))
        return tuple(sorted(live, key=lambda at: (at.bucket, at.key)))

    def is_after_erasure(self, at: Location) -> bool:
        return self.erased_at is None or at.modified > self.erased_at

    @property
    def location(self) -> Location | None:
        """The place to read from: the first live one in name order, so that everyone chooses the same."""
        live = self.live_locations
        return live[0] if live else None

    @property
    def status(self) -> str:
        """AWAITING_OBJECT | AWAITING_METADATA | REGISTERED | REJECTED | ORPHANED | DELETED | ERASED, derived from the
        halves."""
        if self.is_erased:
            return "ERASED"
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


def is_import_source(object_name: str) -> bool:
    """Label files under imports/ wait for a client's request: they are no raw data, and nobody imports them unasked."""
    return object_name.startswith("imports/")
