"""A DynamoDB table that holds a project of any size without holding it: blocks of terms are made once, rows when read.

It answers a real boto3 client inside the process, so that building requests and parsing answers cost what they cost; the
network and DynamoDB itself are not there. Read units are counted by AWS's rules (DynamoDB developer guide, "Read
consistency and capacity", "Item sizes and formats"): a strong read of 4 KB is one unit, an eventual one half; a query is
rounded up as a whole, a batch item by item.
"""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from pyroaring import BitMap

from dataloop.domain.projects import ROWS_A_BLOCK, Image, numbered_id
from dataloop.domain.terms import ALL, TAGGED, tag_term
from dataloop.repositories import keys
from dataloop.repositories.codec import Attributes, encode_item
from dataloop.repositories.entities import to_item
from dataloop.repositories.terms import ORDINALS_A_BLOCK, block_item

TENANT, PROJECT = "default", "01a20474-c3f3-785a-914e-aa900e000001"
AT = "2026-11-22T12:00:00.000Z"
READ_UNIT_BYTES = 4096


class GeneratedTable:
    """One project. shares: of its images that have each tag, by the tag's id."""

    def __init__(self, images: int, shares: Mapping[str, float], seed: int = 1) -> None:
        self.images = images
        self.units = 0.0
        self._random = random.Random(seed)
        self._tags = {
            id: BitMap(self._random.sample(range(images), round(images * share))) for id, share in shares.items()
        }
        terms = {ALL: BitMap(range(images)), TAGGED: BitMap().union(*self._tags.values())}
        terms |= {tag_term(id): bits for id, bits in self._tags.items()}
        self._queries = {
            keys.term(TENANT, PROJECT, term): [_Stored(item) for item in _blocks(term, bits)]
            for term, bits in terms.items()
        }
        self._rows: dict[int, _Stored] = {}  # made when first read: afterwards they cost nothing

    @property
    def client(self) -> Any:
        """A boto3 client that this table answers."""
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
        made = boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-", config=config
        )
        made.meta.events.register("before-send", self._answer)
        return made

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        operation = _text(request.headers["X-Amz-Target"]).partition(".")[2]
        asked = json.loads(request.body)
        answer = self._query(asked) if operation == "Query" else self._batch_get(asked)
        return AWSResponse(request.url, 200, {}, _Body(answer.encode()))

    def _query(self, asked: dict[str, Any]) -> str:
        pk = asked["ExpressionAttributeValues"][":pk"]["S"]
        items = self._queries.get(pk)
        if items is None:
            block = int(pk.rpartition("#")[2])
            ordinals = range(block * ROWS_A_BLOCK, min((block + 1) * ROWS_A_BLOCK, self.images))
            items = [self._row(ordinal) for ordinal in ordinals]
        self._charge(sum(item.size for item in items), asked["ConsistentRead"])
        return f'{{"Items":[{",".join(item.text for item in items)}],"Count":{len(items)}}}'

    def _batch_get(self, asked: dict[str, Any]) -> str:
        ((name, wanted),) = asked["RequestItems"].items()
        rows = []
        for key in wanted["Keys"]:
            block = int(key["pk"]["S"].rpartition("#")[2])
            rows.append(self._row(block * ROWS_A_BLOCK + int(key["sk"]["S"])))
            self._charge(rows[-1].size, wanted.get("ConsistentRead", False))
        return f'{{"Responses":{{"{name}":[{",".join(row.text for row in rows)}]}},"UnprocessedKeys":{{}}}}'

    def _charge(self, size: int, consistent: bool) -> None:
        self.units += math.ceil(size / READ_UNIT_BYTES) * (1 if consistent else 0.5)

    def _row(self, ordinal: int) -> _Stored:
        if ordinal not in self._rows:
            image = self._image(ordinal)
            self._rows[ordinal] = _Stored(encode_item(to_item(image, *keys.image(TENANT, PROJECT, ordinal))))
        return self._rows[ordinal]

    def _image(self, ordinal: int) -> Image:
        uid = f"{ordinal:032x}"
        return Image(
            tenant=TENANT,
            project_id=PROJECT,
            id=numbered_id(1_795_000_000_000, ordinal, ordinal.to_bytes(6, "big")),
            ordinal=ordinal,
            uid=uid,
            key=f"projects/{PROJECT}/{uid}.jpg",
            version_id="".join(self._random.choices("abcdefghijkl", k=32)),
            width=1920,
            height=1080,
            created_at=AT,
            tags={id: AT for id, bits in self._tags.items() if ordinal in bits},
            metadata={"site": "north", "camera": f"{ordinal % 97}"},
            revision=1,
        )


class _Stored:
    """An item as an answer spells it, with its size."""

    __slots__ = ("size", "text")

    def __init__(self, attributes: Attributes) -> None:
        self.text = json.dumps(attributes, default=_base64)
        self.size = item_bytes(attributes)


def _blocks(term: str, bits: BitMap) -> Iterator[Attributes]:
    for first in range(0, (bits.max() if bits else 0) + 1, ORDINALS_A_BLOCK):
        part = bits & BitMap(range(first, first + ORDINALS_A_BLOCK))
        if part:
            yield encode_item(block_item(TENANT, PROJECT, term, part))


def item_bytes(attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of an item as DynamoDB counts it: names and values; 3 bytes and one per entry for a list or a map."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in attributes.items())


def _value_bytes(attribute: Mapping[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return len(value.lstrip("-").replace(".", "")) // 2 + 2
    if kind == "B":
        return len(value)
    if kind == "M":
        return 3 + sum(len(name.encode()) + 1 + _value_bytes(entry) for name, entry in value.items())
    if kind == "L":
        return 3 + sum(1 + _value_bytes(entry) for entry in value)
    return 1


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _base64(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


class _Body:
    """What botocore reads an answer's body from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._data
