"""A thin, typed view of one DynamoDB table. It turns boto3's errors into ours and nothing else."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import InvalidInput, Throttled, Unavailable
from dataloop.repositories.codec import Item, decode_item, encode, encode_item

THROTTLES = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionInProgressException",
}
BATCH_GET = 100  # DynamoDB: BatchGetItem takes 100 keys
BATCH_WRITE = 25  # DynamoDB: BatchWriteItem takes 25 items
TRIES = 8
MAX_KEY_BYTES = 2048  # DynamoDB: length of a partition key
MAX_SORT_KEY_BYTES = 1024  # DynamoDB: length of a sort key
_NAME = re.compile(r"#(\w+)")


class ConditionFailed(Exception):
    """A conditional write lost; `item` is what stands there now (empty: nothing)."""

    def __init__(self, item: Item) -> None:
        super().__init__("condition failed")
        self.item = item


class TransactionFailed(Exception):
    """A transaction lost; `failed` holds, for each operation whose condition failed, its index and the item there."""

    def __init__(self, failed: dict[int, Item]) -> None:
        super().__init__(f"conditions failed: {sorted(failed)}")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Write:
    """One operation of a transaction: a Put, an Update, a Delete or a ConditionCheck in boto3's own shape."""

    kind: str
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Items and the opaque cursor of what follows (None: the end)."""

    items: list[Item]
    cursor: str | None = None


@dataclass(slots=True)
class _Expression:
    """Collects names and values. In texts `#attr` names an attribute and `:value` a value."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def use(self, text: str) -> str:
        for name in _NAME.findall(text):
            self.names[f"#{name}"] = name
        return text

    def request(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.names:
            found["ExpressionAttributeNames"] = self.names
        if self.values:
            found["ExpressionAttributeValues"] = {name: encode(value) for name, value in self.values.items()}
        return found


class Table:
    """One table through a boto3 DynamoDB client. Each method is one call unless it says otherwise."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    def get(self, pk: str, sk: str = "#", *, consistent: bool = True) -> Item | None:
        """One item. Strongly consistent unless told otherwise: 1 (or 0.5) RRU per 4 KB."""
        if len(pk.encode()) > MAX_KEY_BYTES or len(sk.encode()) > MAX_SORT_KEY_BYTES:
            return None  # nothing can be stored under it: an id or a name that a client made up
        answer = self._call(
            "get_item", TableName=self.name, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=consistent
        )
        return decode_item(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Iterable[tuple[str, str]], *, consistent: bool = False) -> list[Item]:
        """Existing items in no particular order. One call per 100 keys; unprocessed keys are asked for again."""
        wanted = list(dict.fromkeys(keys))
        items: list[Item] = []
        for start in range(0, len(wanted), BATCH_GET):
            chunk = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in wanted[start : start + BATCH_GET]]
            pending: dict[str, Any] = {self.name: {"Keys": chunk, "ConsistentRead": consistent}}
            for attempt in range(TRIES):
                answer = self._call("batch_get_item", RequestItems=pending)
                items.extend(decode_item(found) for found in answer["Responses"].get(self.name, []))
                pending = answer.get("UnprocessedKeys") or {}
                if not pending:
                    break
                _pause(attempt)
            else:
                raise Throttled("DynamoDB left keys unread")
        return items

    def put(self, item: Mapping[str, Any], *, condition: str | None = None, **values: object) -> None:
        """Write an item. Raises ConditionFailed with the item that stands there. 1 WRU per KB and index."""
        self._call("put_item", TableName=self.name, **self._put_request(item, condition, values))

    def put_many(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Unconditional puts, 25 a call; what DynamoDB leaves unprocessed is sent again."""
        for start in range(0, len(items), BATCH_WRITE):
            puts = [{"PutRequest": {"Item": encode_item(item)}} for item in items[start : start + BATCH_WRITE]]
            self._write_batch(puts)

    def delete_many(self, keys: Iterable[tuple[str, str]]) -> None:
        """Unconditional deletions by (pk, sk), 25 a call; what is not there is no error."""
        wanted = list(dict.fromkeys(keys))  # DynamoDB takes a key once a call
        for start in range(0, len(wanted), BATCH_WRITE):
            chunk = wanted[start : start + BATCH_WRITE]
            self._write_batch([{"DeleteRequest": {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}} for pk, sk in chunk])

    def update(
        self,
        pk: str,
        sk: str = "#",
        *,
        set: Mapping[str, object] | None = None,
        set_if_absent: Mapping[str, object] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        condition: str | None = None,
        **values: object,
    ) -> Item:
        """Change attributes of one item and return it whole; add: to numbers, 0 when absent. Raises ConditionFailed."""
        request = self._update_request(pk, sk, set, set_if_absent, add, remove, condition, values)
        answer = self._call("update_item", TableName=self.name, ReturnValues="ALL_NEW", **request)
        return decode_item(answer["Attributes"])

    def delete(self, pk: str, sk: str = "#", *, condition: str | None = None, **values: object) -> None:
        """Delete one item; deleting nothing is no error. Raises ConditionFailed."""
        expression = _Expression(values={f":{name}": value for name, value in values.items()})
        request: dict[str, Any] = {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}
        if condition:
            request["ConditionExpression"] = expression.use(condition)
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        self._call("delete_item", TableName=self.name, **request, **expression.request())

    def write(
        self,
        kind: str,
        *,
        item: Mapping[str, Any] | None = None,
        pk: str = "",
        sk: str = "#",
        set: Mapping[str, object] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        condition: str | None = None,
        **values: object,
    ) -> Write:
        """Describe one operation of a transaction; kind is Put, Update, Delete or ConditionCheck (the last two by pk, sk)."""
        if kind == "Put":
            assert item is not None
            request = self._put_request(item, condition, values)
        elif kind == "Update":
            request = self._update_request(pk, sk, set, None, add, remove, condition, values)
        else:
            expression = _Expression(values={f":{name}": value for name, value in values.items()})
            request = {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}
            if condition:
                request["ConditionExpression"] = expression.use(condition)
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            request |= expression.request()
        return Write(kind, {"TableName": self.name, **request})

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing, at most 100 operations, twice the WRU. Raises TransactionFailed; conflicts are retried."""
        operations = [{write.kind: write.request} for write in writes]
        for attempt in range(TRIES):
            try:
                self._client.transact_write_items(TransactItems=operations)
                return
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    raise _translated(error) from error
                reasons = error.response.get("CancellationReasons", [])
                failed = {
                    index: decode_item(reason.get("Item") or {})
                    for index, reason in enumerate(reasons)
                    if reason.get("Code") == "ConditionalCheckFailed"
                }
                if failed:
                    raise TransactionFailed(failed) from error
            except BotoCoreError as error:
                raise Unavailable(f"DynamoDB: {error}") from error
            _pause(attempt)
        raise Throttled("DynamoDB: the transaction kept conflicting")

    def query(
        self,
        pk: str,
        *,
        index: str | None = None,
        prefix: str | None = None,
        limit: int = 100,
        newest_first: bool = False,
        cursor: str | None = None,
        consistent: bool = False,
        after: str | None = None,
        between: tuple[str, str] | None = None,
    ) -> Page:
        """One page of a partition, in sort key order. Index reads are always eventual. 0.5 RRU per 4 KB read.

        prefix, after, between: only sort keys that begin with the one, come behind the second, or are from the one to the
        other, both included. At most one of the three.
        """
        pk_name, sk_name = {None: ("pk", "sk"), "by_time": ("g1pk", "g1sk"), "by_parent": ("g2pk", "g2sk")}[index]
        expression = _Expression(values={":pk": pk})
        condition = expression.use(f"#{pk_name} = :pk")
        if prefix is not None:
            condition += " AND " + expression.use(f"begins_with(#{sk_name}, :prefix)")
            expression.values[":prefix"] = prefix
        if after is not None:
            condition += " AND " + expression.use(f"#{sk_name} > :after")
            expression.values[":after"] = after
        if between is not None:
            condition += " AND " + expression.use(f"#{sk_name} BETWEEN :low AND :high")
            expression.values |= {":low": between[0], ":high": between[1]}
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ScanIndexForward": not newest_first,
            "Limit": limit,
            **expression.request(),
        }
        if index:
            request["IndexName"] = index
        else:
            request["ConsistentRead"] = consistent
        if cursor:
            request["ExclusiveStartKey"] = _open_cursor(cursor, pk, (pk_name, sk_name))
        answer = self._call("query", **request)
        last = answer.get("LastEvaluatedKey")
        return Page([decode_item(found) for found in answer["Items"]], _seal_cursor(last) if last else None)

    def query_all(
        self, pk: str, *, index: str | None = None, prefix: str | None = None, consistent: bool = False
    ) -> Iterator[Item]:
        """Every item of a partition, page by page."""
        cursor: str | None = None
        while True:
            page = self.query(pk, index=index, prefix=prefix, limit=1000, cursor=cursor, consistent=consistent)
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return

    def _put_request(self, item: Mapping[str, Any], condition: str | None, values: Mapping[str, object]) -> Item:
        expression = _Expression(values={f":{name}": value for name, value in values.items()})
        request: dict[str, Any] = {"Item": encode_item(item)}
        if condition:
            request["ConditionExpression"] = expression.use(condition)
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return request | expression.request()

    def _update_request(
        self,
        pk: str,
        sk: str,
        set: Mapping[str, object] | None,
        set_if_absent: Mapping[str, object] | None,
        add: Mapping[str, int] | None,
        remove: Sequence[str],
        condition: str | None,
        values: Mapping[str, object],
    ) -> dict[str, Any]:
        expression = _Expression(values={f":{name}": value for name, value in values.items()})
        sets = []
        for name, value in (set or {}).items():
            sets.append(expression.use(f"#{name} = :set_{name}"))
            expression.values[f":set_{name}"] = value
        for name, value in (set_if_absent or {}).items():
            sets.append(expression.use(f"#{name} = if_not_exists(#{name}, :set_{name})"))
            expression.values[f":set_{name}"] = value
        text = f"SET {', '.join(sets)}" if sets else ""
        if add:
            text += " ADD " + ", ".join(expression.use(f"#{name} :add_{name}") for name in add)
            expression.values |= {f":add_{name}": value for name, value in add.items()}
        if remove:
            text += " REMOVE " + ", ".join(expression.use(f"#{name}") for name in remove)
        request: dict[str, Any] = {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}, "UpdateExpression": text.strip()}
        if condition:
            request["ConditionExpression"] = expression.use(condition)
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return request | expression.request()

    def _write_batch(self, operations: list[dict[str, Any]]) -> None:
        pending: dict[str, Any] = {self.name: operations}
        for attempt in range(TRIES):
            pending = self._call("batch_write_item", RequestItems=pending).get("UnprocessedItems") or {}
            if not pending:
                return
            _pause(attempt)
        raise Throttled("DynamoDB left items unwritten")

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        """One call; an item that a transaction holds for a moment is asked for again."""
        for attempt in range(TRIES):
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(**request)
                return answer
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise _translated(error) from error
            except BotoCoreError as error:
                raise Unavailable(f"DynamoDB: {error}") from error
            _pause(attempt)
        raise Throttled("DynamoDB: the item is in transactions all the time")


def _translated(error: Any) -> Exception:
    code = error.response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(decode_item(error.response.get("Item") or {}))
    if code in THROTTLES:
        return Throttled(f"DynamoDB: {code}")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return Unavailable(f"DynamoDB: {code}")
    untranslated: Exception = error
    return untranslated


def _pause(attempt: int) -> None:
    """Full jitter up to 50 ms · 2^attempt: retries of one crowd must not come back together."""
    time.sleep(random.random() * 0.05 * 2**attempt)


def _seal_cursor(key: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(decode_item(key)).encode()).decode()


def _open_cursor(cursor: str, pk: str, names: tuple[str, str]) -> dict[str, Any]:
    """A cursor only opens the partition it was made for, so it cannot be bent toward another tenant's."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidInput("cursor", "is not one this service gave out", cursor) from error
    is_key = isinstance(key, dict) and set(key) == {"pk", "sk", *names}
    if not is_key or key[names[0]] != pk or not all(isinstance(part, str) and part for part in key.values()):
        raise InvalidInput("cursor", "is not one this service gave out", cursor)
    return encode_item(key)
