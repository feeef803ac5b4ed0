"""Reads TensorBoard event files back: a TFRecord frame of each event, checked against its CRC."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event


def _masked(data: bytes) -> int:
    """TFRecord's checksum. Source: TensorFlow, tensorflow/core/lib/hash/crc32c.h."""
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(path: Path) -> Iterator[Event]:
    """Every event of one file."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        head = content[at : at + 8]
        (length,) = struct.unpack("<Q", head)
        data = content[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", content, at + 8) == (_masked(head),)
        assert struct.unpack_from("<I", content, at + 12 + length) == (_masked(data),)
        event = Event()
        event.ParseFromString(data)
        yield event
        at += 16 + length


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each curve, over all files of a folder, in the order written."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in events(path):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found
