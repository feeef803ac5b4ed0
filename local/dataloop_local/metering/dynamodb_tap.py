"""Feeds the meter with the capacity units of each DynamoDB request."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import dynamodb

from dataloop_local.metering import capacity
from dataloop_local.metering.meter import Meter

_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
_READS = {"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"}


class _Touched(threading.local):
    """What the request on this thread has changed and read."""

    changes: list[tuple[dict[str, Any], Any, Any]] | None = None
    bytes_read: int = 0


def tap_dynamodb(meter: Meter) -> None:
    touched = _Touched()
    _watch_items(touched)
    stock = dynamodb.handle_request

    async def handle_request(
        method: str, path: str, headers: dict[str, Any], body: bytes, query: dict[str, Any]
    ) -> tuple[Any, ...]:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action not in _WRITES and action not in _READS:
            answer: tuple[Any, ...] = await stock(method, path, headers, body, query)
            return answer
        # The emulator answers DynamoDB requests without awaiting anything: nothing else runs on this thread meanwhile.
        touched.changes, touched.bytes_read = [], 0
        try:
            answer = await stock(method, path, headers, body, query)
        finally:
            changes, touched.changes = touched.changes, None
        request = json.loads(body or b"{}")
        if action in _READS:
            meter.add("dynamodb", "read_units", amount=_read_units(action, request, touched.bytes_read))
        else:
            meter.add("dynamodb", "write_units", amount=_write_units(action, request, answer[0], changes))
        return answer

    dynamodb.handle_request = handle_request


def _watch_items(touched: _Touched) -> None:
    stock_set, stock_remove, stock_page = dynamodb._set_item, dynamodb._remove_item, dynamodb._paginate_evaluated_items

    def set_item(table: dict[str, Any], pk: Any, sk: Any, item: dict[str, Any]) -> Any:
        old = stock_set(table, pk, sk, item)
        if touched.changes is not None:
            touched.changes.append((table, old, item))
        return old

    def remove_item(table: dict[str, Any], pk: Any, sk: Any) -> Any:
        old = stock_remove(table, pk, sk)
        if touched.changes is not None:
            touched.changes.append((table, old, None))
        return old

    def page(items: Any, limit: Any, table: dict[str, Any], index_name: str | None = None) -> Any:
        evaluated, more = stock_page(items, limit, table, index_name)
        index = dynamodb._index_def(table, index_name) if index_name else None
        for item in evaluated:
            entry = capacity.index_entry(table, index, item) if index else item
            touched.bytes_read += capacity.item_bytes(entry)
        return evaluated, more

    dynamodb._set_item, dynamodb._remove_item = set_item, remove_item
    dynamodb._paginate_evaluated_items = page


def _write_units(
    action: str, request: dict[str, Any], status: int, changes: list[tuple[dict[str, Any], Any, Any]]
) -> int:
    transactional = action == "TransactWriteItems"
    if changes:
        units = sum(capacity.item_write_units(t, old, new, transactional=transactional) for t, old, new in changes)
        checks = [op["ConditionCheck"] for op in request.get("TransactItems", []) if "ConditionCheck" in op]
        return units + sum(2 * capacity.write_units(_stored_bytes(check)) for check in checks)
    if status >= 400 and transactional:
        operations = [next(iter(op.values())) for op in request.get("TransactItems", []) if op]
        return sum(2 * capacity.write_units(_stored_bytes(operation)) for operation in operations)
    if status >= 400:
        # A refused condition costs what reading the item for writing costs; a malformed request costs nothing.
        return capacity.write_units(_stored_bytes(request)) if request.get("ConditionExpression") else 0
    return 0


def _read_units(action: str, request: dict[str, Any], bytes_read: int) -> float:
    if action in ("Query", "Scan"):
        return capacity.read_units(bytes_read, strong=bool(request.get("ConsistentRead")))
    if action == "GetItem":
        return capacity.read_units(_stored_bytes(request), strong=bool(request.get("ConsistentRead")))
    if action == "TransactGetItems":
        reads = [operation["Get"] for operation in request.get("TransactItems", [])]
        return sum(capacity.read_units(_stored_bytes(read), transactional=True) for read in reads)
    return sum(
        capacity.read_units(_stored_bytes({"TableName": table, "Key": key}), strong=bool(wanted.get("ConsistentRead")))
        for table, wanted in request.get("RequestItems", {}).items()
        for key in wanted.get("Keys", [])
    )


def _stored_bytes(operation: dict[str, Any]) -> int:
    """Size of the item that an operation names by Key or Item, as it is stored now."""
    table = dynamodb._tables.get(dynamodb._normalize_table_name(operation.get("TableName", "")))
    if table is None:
        return 0
    key = operation.get("Key") or dynamodb._extract_key_from_item(table, operation.get("Item", {}))
    try:
        return capacity.item_bytes(dynamodb._get_item_by_key(table, key))
    except (KeyError, AttributeError, TypeError):
        return 0
