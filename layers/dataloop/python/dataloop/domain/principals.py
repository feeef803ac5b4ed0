"""API keys: who calls, for which tenant, with which scopes. Only a key's digest is ever stored (design §9)."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from dataloop.domain.errors import Forbidden

SCOPES = ("read", "write", "train", "release", "admin")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
PREFIX = "dl_"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises Forbidden(scope); admin may do everything."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(scope)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key: its digest stands for it."""

    tenant: str
    id: str
    digest: str
    name: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None


def key_text(random32: bytes) -> str:
    """The secret a client holds: 256 random bits after a prefix that secret scanners can find."""
    return PREFIX + base64.urlsafe_b64encode(random32).decode().rstrip("=")


def key_digest(text: str) -> str:
    """SHA-256 of a key's text. The key has 256 bits of randomness, so no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
