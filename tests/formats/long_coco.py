"""Reads a COCO document that is made while it is read, and prints what came and the memory it took.

python -m tests.formats.long_coco ANNOTATIONS
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator

from dataloop.formats.coco import CocoReader
from dataloop.formats.surface import Findings
from tests.formats.in_memory import Made


def document(annotations: int, images: int) -> Iterator[bytes]:
    """Annotations of images in no order, before the images."""
    yield b'{"categories": [{"id": 1, "name": "cat"}], "annotations": ['
    for place in range(annotations):
        image = place * 7919 % images
        yield b'%s{"id":%d,"image_id":%d,"category_id":1,"bbox":[%d,1,2.5,3]}' % (
            b"," * bool(place),
            place,
            image,
            place,
        )
    yield b'], "images": ['
    for place in range(images):
        yield b'%s{"id":%d,"file_name":"%d.jpg"}' % (b"," * bool(place), place, place)
    yield b"]}"


def main(annotations: int) -> None:
    source = Made("a.json", lambda: document(annotations, annotations // 10), b"{}")
    labels = sum(len(picture.labels) for picture in CocoReader().read(source, Findings("stop")))
    sys.stdout.write(
        json.dumps({"labels": labels, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
