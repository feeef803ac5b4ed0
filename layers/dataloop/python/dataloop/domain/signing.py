"""Keys that sign requests: a public access key id, and a secret access key that follows from it.

The secret is HMAC-SHA256(root, access key id), so a deployment keeps one root and no secret of a key. Whoever knows the
secret proves it by an HMAC over the request; the secret itself travels once, when the key is made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

# Twenty characters, as the access key ids of the clouds are; four of them say whose it is, for secret scanners.
PREFIX = "DLAK"
ACCESS_KEY_ID = re.compile(r"DLAK[A-Z2-7]{16}")
ID_RANDOMNESS = 10
# Names what the root is used for, so that the same root may serve another purpose later.
_PURPOSE = b"dataloop signing key 1\0"
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


def access_key_id(random10: bytes) -> str:
    """A new id from 80 random bits."""
    return PREFIX + base64.b32encode(random10).decode()


def secret_access_key(root: bytes, access_key_id: str) -> str:
    """The 43 characters (256 bits) that belong to an access key id in this deployment."""
    derived = hmac.digest(root, _PURPOSE + access_key_id.encode(), "sha256")
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")


def signature(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def is_signature_of(secret: str, message: bytes, claimed: str) -> bool:
    """True when `claimed` is the signature; takes the same time for every wrong one."""
    return hmac.compare_digest(signature(secret, message), claimed if _SIGNATURE.fullmatch(claimed) else "")


def place_of(access_key_id: str) -> str:
    """What a signing key is found by, where other keys have the digest of their text: no text's digest looks so."""
    return f"id:{access_key_id}"
