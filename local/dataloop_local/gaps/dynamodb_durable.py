"""Gap: an acknowledged DynamoDB write is lost on kill -9.

Stock keeps tables in memory and writes them to disk only at a clean stop. What it wrote it loads at the next start, behind
our back and over what the log restored: after a clean stop, a start and a kill the tables would be those of the stop.
We keep it from both, wrap the two functions through which every item changes (`_set_item`, `_remove_item`) and the one that
emits stream records, collect what one request did, and append it to the write-ahead log before the answer leaves. The
expiry of items by TTL goes the same way, so a later conditional write replays against the same state.
Noticed by: tests/local/test_durability.py (ours; a kill after a clean stop, too) and
tests/local/test_stock_gaps.py::test_stock_saves_tables_only_at_stop.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import dynamodb

from dataloop_local.durability import tables
from dataloop_local.durability.keeper import Keeper

_ITEM_ACTIONS = {
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
    "ExecuteTransaction",
}
_TABLE_ACTIONS = {
    "CreateTable",
    "DeleteTable",
    "UpdateTable",
    "UpdateTimeToLive",
    "UpdateContinuousBackups",
    "TagResource",
    "UntagResource",
    "PutResourcePolicy",
    "DeleteResourcePolicy",
    "RestoreTableFromBackup",
    "RestoreTableToPointInTime",
    "ImportTable",
}


class _Request(threading.local):
    """What the request that this thread is applying has changed so far; None outside a request."""

    changes: list[list[Any]] | None = None
    token: list[Any] | None = None


def install(keeper: Keeper) -> None:
    request = _Request()
    dynamodb.get_state = lambda: None
    dynamodb.load_persisted_state = lambda data: None
    _collect_items(keeper, request)
    _collect_stream_records(request)
    _collect_tokens(request)
    _commit_before_answer(keeper, request)


def _identity(table: dict[str, Any]) -> list[str]:
    # arn:aws:dynamodb:REGION:ACCOUNT:table/NAME: right in background threads too, where no request set a scope.
    parts = table["TableArn"].split(":", 5)
    return [parts[4], parts[3], table["TableName"]]


def _collect_items(keeper: Keeper, request: _Request) -> None:
    stock_set, stock_remove = dynamodb._set_item, dynamodb._remove_item

    def record(change: list[Any]) -> None:
        if keeper.restoring:
            return
        if request.changes is not None:
            request.changes.append(change)
        else:
            # Not a client's request: the TTL reaper. It holds its own lock, and its change is logged by itself.
            keeper.log.append({"items": [change]})

    def set_item(table: dict[str, Any], pk: Any, sk: Any, item: dict[str, Any]) -> Any:
        with keeper.log.lock:
            old = stock_set(table, pk, sk, item)
            record([*_identity(table), pk, sk, item, None])
            return old

    def remove_item(table: dict[str, Any], pk: Any, sk: Any) -> Any:
        with keeper.log.lock:
            old = stock_remove(table, pk, sk)
            if old is not None:
                record([*_identity(table), pk, sk, None, None])
            return old

    dynamodb._set_item, dynamodb._remove_item = set_item, remove_item


def _collect_stream_records(request: _Request) -> None:
    stock_build = dynamodb._build_change_record

    def build(table: dict[str, Any], name: str, old: Any, new: Any, view: str) -> dict[str, Any]:
        record: dict[str, Any] = stock_build(table, name, old, new, view)
        # Every emitted record follows the change that caused it in the same request.
        if request.changes:
            request.changes[-1][6] = tables.change_of(record)
        return record

    dynamodb._build_change_record = build


def _collect_tokens(request: _Request) -> None:
    stock_store = dynamodb._txn_token_store

    def store(token: str, entry: dict[str, Any]) -> None:
        stock_store(token, entry)
        request.token = [get_account_id(), get_region(), token, entry]

    dynamodb._txn_token_store = store


def _commit_before_answer(keeper: Keeper, request: _Request) -> None:
    stock_handle: Callable[..., Awaitable[tuple[int, dict[str, str], Any]]] = dynamodb.handle_request

    async def handle_request(
        method: str, path: str, headers: dict[str, Any], body: bytes, query: dict[str, Any]
    ) -> tuple[Any, ...]:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action not in _ITEM_ACTIONS and action not in _TABLE_ACTIONS:
            return await stock_handle(method, path, headers, body, query)
        # Stock applies a request without ever awaiting, so the lock is never held across another request.
        with keeper.log.lock:
            request.changes, request.token = [], None
            before = set(dynamodb._tables._data)
            applied = False
            try:
                response = await stock_handle(method, path, headers, body, query)
                # A refused request has put back what it had changed; one that broke has not, and stays as it is.
                applied = response[0] < 300
            except BaseException:
                applied = True
                raise
            finally:
                changes, token = request.changes, request.token
                request.changes, request.token = None, None
                if applied:
                    _commit(keeper, action, changes, token, before)
            return response

    dynamodb.handle_request = handle_request


def _commit(
    keeper: Keeper, action: str, changes: list[list[Any]], token: list[Any] | None, before: set[tuple[str, str, str]]
) -> None:
    if action in _TABLE_ACTIONS:
        scope = (get_account_id(), get_region())
        after = {key for key in dynamodb._tables._data if key[:2] == scope}
        gone = {key for key in before - after if key[:2] == scope}
        for key in sorted(after | gone):
            keeper.log.append(tables.table_record(*key))
    if changes:
        record: dict[str, Any] = {"items": changes}
        if token is not None:
            record["token"] = token
        keeper.log.append(record)
