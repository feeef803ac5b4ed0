"""What a client of Huawei Cloud signs: `SDK-HMAC-SHA256` over the canonical form of its request.

    SDK-HMAC-SHA256 Access=<AK>, SignedHeaders=content-type;host;x-sdk-date, Signature=<hex>

The form is that of `huaweicloudsdkcore.signer.Signer`: method, path with a slash at its end, sorted query, the signed
headers, their names, and the SHA-256 of the body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from dataloop.domain.errors import Unauthenticated

ALGORITHM = "SDK-HMAC-SHA256"
# Huawei's own tolerance (API Gateway: "the difference between the signing time and the receiving time").
MAX_SKEW_MINUTES = 15
# Signed or not, these decide what is asked for and when; a request that leaves them open could be replayed elsewhere.
MUST_SIGN = ("host", "x-sdk-date")
_DATE = "x-sdk-date"
_BODY_DIGEST = "x-sdk-content-sha256"
_FORM = re.compile(r"Access=([^,\s]{1,128}),\s*SignedHeaders=([^,\s]{1,4096}),\s*Signature=([0-9A-Za-z]{1,128})")
_PREFIX = "Incorrect IAM authentication information: "


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came. Header names are in lower case; path and query as the gateway passed them on."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says to have signed, what exactly, and the signature in hex."""

    access_key_id: str
    message: bytes
    signature: str


def is_signed(authorization: str | None) -> bool:
    """True for any of Huawei's schemes, also for those that are refused."""
    return (authorization or "").startswith(("SDK-", "V11-"))


def claim(request: SignedRequest, now: datetime) -> Claim:
    """What to verify. Raises Unauthenticated: another algorithm, a malformed header, a stale date, a changed body."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme != ALGORITHM:
        raise _refused(f"algorithm {scheme[:50]} is not supported, use {ALGORITHM}")
    parts = _FORM.fullmatch(rest.strip())
    if parts is None:
        raise _refused("the Authorization header must be Access=…, SignedHeaders=…, Signature=…")
    access_key_id, names, signature = parts.groups()
    signed = names.split(";")
    missing = [name for name in MUST_SIGN if name not in signed]
    missing += [name for name in signed if name not in request.headers]
    if missing:
        raise _refused(f"header {missing[0][:100]} must be sent and signed")
    date = request.headers[_DATE]
    _check_date(date, now)
    canonical = "\n".join(
        (
            request.method.upper(),
            _canonical_path(request.path),
            _canonical_query(request.query),
            "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed),
            names,
            _body_digest(request, signed),
        )
    )
    message = f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return Claim(access_key_id, message.encode(), signature)


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(_PREFIX + reason)


def _check_date(text: str, now: datetime) -> None:
    try:
        at = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refused(f"X-Sdk-Date must be yyyymmddThhmmssZ, not {text[:50]!r}") from None
    if abs(now - at) > timedelta(minutes=MAX_SKEW_MINUTES):
        raise _refused(f"X-Sdk-Date {text} is more than {MAX_SKEW_MINUTES} minutes from now")


def _canonical_path(path: str) -> str:
    encoded = "/".join(quote(part, safe="~") for part in unquote(path).split("/"))
    return encoded if encoded.endswith("/") else encoded + "/"


def _canonical_query(query: str) -> str:
    pairs = sorted(tuple(map(unquote, part.partition("=")[::2])) for part in query.split("&") if part)
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)


def _body_digest(request: SignedRequest, signed: list[str]) -> str:
    """The digest of the body that came; a client that states another one, or leaves the body open, is refused."""
    actual = hashlib.sha256(request.body).hexdigest()
    stated = request.headers.get(_BODY_DIGEST)
    if stated is not None and request.body and (stated.lower() != actual or _BODY_DIGEST not in signed):
        raise _refused("X-Sdk-Content-Sha256 must be signed and must be the SHA-256 of the body; bodies must be JSON")
    return actual
