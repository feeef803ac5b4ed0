"""Small images that are really decodable, made from a number: equal on every machine, different from each other."""

from __future__ import annotations

import io
import random

from PIL import Image


def jpeg(number: int, size_bytes: int = 100_000, side: int = 64) -> bytes:
    """A JPEG of exactly `size_bytes`: a picture, and bytes after its end mark, which cameras append too."""
    generator = random.Random(number)
    picture = Image.frombytes("RGB", (8, 8), generator.randbytes(192)).resize((side, side), Image.Resampling.BILINEAR)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=80)
    body = target.getvalue()
    return body + generator.randbytes(max(0, size_bytes - len(body) - 2)) + b"\xff\xd9"


def event(bucket: str, key: str, version_id: str, sequencer: int, size_bytes: int) -> dict[str, object]:
    """What S3 puts on the queue for one created object, inside the SQS message that Lambda gets (AWS: S3 event structure)."""
    import json

    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Post",
        "s3": {
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size_bytes, "versionId": version_id, "sequencer": f"{sequencer:018X}"},
        },
    }
    return {"messageId": f"message-{sequencer}", "body": json.dumps({"Records": [record]})}
