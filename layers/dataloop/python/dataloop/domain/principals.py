"""API keys: who calls, for which tenant, with which scopes. Only a key's digest is ever stored (design §9)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.errors import Forbidden
from dataloop.domain.residency import EVERYTHING, Clearance

SCOPES = ("read", "write", "train", "release", "predict", "admin")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
PREFIX = "dl_"
# A project id of a cloud that a client came from: 32 hex characters at Huawei.
PROJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_PROJECTS = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    tenant: str
    key_id: str
    scopes: frozenset[str]
    clearance: Clearance = EVERYTHING
    projects: frozenset[str] = frozenset()

    def serves(self, project_id: str) -> bool:
        """May this caller name the project? A key that lists none serves the one with its tenant's name."""
        return project_id in (self.projects or {self.tenant})

    def require(self, scope: str) -> None:
        """Raises Forbidden(scope); admin may do everything."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(scope)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key: its digest stands for it. residency: the data it may touch (domain/residency.py); {} is all.

    access_key_id: of a key that signs requests (domain/signing.py), which is no good as a bearer of anything.
    projects: the project ids its holder may name where a protocol has them in its paths.
    """

    tenant: str
    id: str
    digest: str
    name: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    residency: Mapping[str, Any] = field(default_factory=dict)
    access_key_id: str | None = None
    projects: tuple[str, ...] = ()


def key_text(random32: bytes) -> str:
    """The secret a client holds: 256 random bits after a prefix that secret scanners can find."""
    return PREFIX + base64.urlsafe_b64encode(random32).decode().rstrip("=")


def key_digest(text: str) -> str:
    """SHA-256 of a key's text. The key has 256 bits of randomness, so no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
