"""Tokens that let their holder copy one project of a tenant, for a while: a statement and its HMAC, safe in a URL.

The tenant is under the HMAC and not in the text: another tenant's token reads like one that somebody changed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid

# Names what the deployment's root secret is used for: no signature of a request is ever a token.
_PURPOSE = b"dataloop project token 1\0"
_BODY = struct.Struct(">I16s")  # when it ends, in seconds since 1970; the project
_MAC_BYTES = 32
_TOKEN_BYTES = _BODY.size + _MAC_BYTES


def token_of(root: bytes, tenant: str, project_id: str, ends_at: int) -> str:
    """70 characters of the URL-safe base64 alphabet. ends_at: seconds since 1970."""
    body = _BODY.pack(ends_at, uuid.UUID(project_id).bytes)
    return base64.urlsafe_b64encode(body + _mac(root, tenant, body)).decode().rstrip("=")


def project_of(root: bytes, tenant: str, token: str, now: int) -> str | None:
    """The project a token names; None for one that was changed, has ended, or is another tenant's."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    body, mac = raw[: _BODY.size], raw[_BODY.size :]
    if len(raw) != _TOKEN_BYTES or not hmac.compare_digest(mac, _mac(root, tenant, body)):
        return None
    ends_at, project = _BODY.unpack(body)
    return str(uuid.UUID(bytes=project)) if now < ends_at else None


def _mac(root: bytes, tenant: str, body: bytes) -> bytes:
    return hmac.digest(root, _PURPOSE + tenant.encode() + b"\0" + body, "sha256")
