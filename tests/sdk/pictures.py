"""The smallest bytes that pass for an image: a JPEG of one comment, whatever the comment holds."""

from __future__ import annotations


def image(content: bytes) -> bytes:
    """Start mark, a comment with the content, end mark."""
    return b"\xff\xd8\xff\xfe" + (len(content) + 2).to_bytes(2, "big") + content + b"\xff\xd9"
