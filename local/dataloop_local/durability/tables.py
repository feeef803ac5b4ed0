"""DynamoDB state: what one write did (for the log), how to do it again, and the whole of it (for a snapshot)."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.services import dynamodb

# Kept per table beside its items; all are small.
_SIDE_STORES: dict[str, Callable[[], Any]] = {
    "tags": lambda: dynamodb._tags,
    "ttl": lambda: dynamodb._ttl_settings,
    "pitr": lambda: dynamodb._pitr_settings,
    "policies": lambda: dynamodb._resource_policies,
}
# Not state: the index is rebuilt from the items, the items are written line by line.
_NOT_TABLE_SHAPE = {"items", dynamodb._INDEX_MEMBERS}


@dataclass
class Positions:
    """How far each stream consumer has come: (account, region, mapping uuid) -> sequence number of its last record."""

    done: dict[tuple[str, str, str], str] = field(default_factory=dict)


def table_shape(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in _NOT_TABLE_SHAPE}


def side_records() -> dict[str, list[Any]]:
    return {name: [[*key, value] for key, value in list(store()._data.items())] for name, store in _SIDE_STORES.items()}


def restore_side_records(records: dict[str, list[Any]]) -> None:
    for name, entries in records.items():
        store = _SIDE_STORES[name]()
        for account, region, key, value in entries:
            store.set_scoped(account, region, key, value)


def table_record(account: str, region: str, name: str) -> dict[str, Any]:
    """The log record of a table-level operation: the table's shape as it is now (null: it is gone)."""
    table = dynamodb._tables.get_scoped(account, region, name)
    shape = table_shape(table) if table is not None else None
    return {"table": [account, region, name, shape], "side": side_records()}


def apply_table_record(record: dict[str, Any]) -> None:
    account, region, name, shape = record["table"]
    if shape is None:
        dynamodb._tables.pop_scoped(account, region, name, None)
        dynamodb._stream_records.pop_scoped(account, region, name, None)
    else:
        restore_table(account, region, name, shape)
    restore_side_records(record["side"])


def restore_table(account: str, region: str, name: str, shape: dict[str, Any]) -> dict[str, Any]:
    """Make or reshape a table without touching its items."""
    existing = dynamodb._tables.get_scoped(account, region, name)
    items = existing["items"] if existing is not None else defaultdict(dict)
    table = {**shape, "items": items}
    dynamodb._items_replaced(table)
    dynamodb._tables.set_scoped(account, region, name, table)
    return table


def apply_item_record(changes: Iterable[list[Any]]) -> None:
    """Do again what one request did. `changes`: [account, region, table, pk, sk, item or null, stream record or null]."""
    for account, region, name, pk, sk, item, change in changes:
        table = dynamodb._tables.get_scoped(account, region, name)
        if table is None:
            # A table of a deploy that never finished; the next start deploys again.
            continue
        old = dynamodb._remove_item(table, pk, sk) if item is None else dynamodb._set_item(table, pk, sk, item)
        if change is not None:
            _append_stream_record(account, region, name, table, stream_record(table, region, change, old, item))


def change_of(record: dict[str, Any]) -> list[Any]:
    """The part of a stream record that replay cannot compute: id, name, sequence number, time."""
    inner = record["dynamodb"]
    return [record["eventID"], record["eventName"], inner["SequenceNumber"], inner["ApproximateCreationDateTime"]]


def stream_record(
    table: dict[str, Any], region: str, change: list[Any], old: dict[str, Any] | None, new: dict[str, Any] | None
) -> dict[str, Any]:
    """The stream record of a change, as ministack builds it, with its first identity."""
    event_id, event_name, sequence_number, created = change
    view = (table.get("StreamSpecification") or {}).get("StreamViewType", "NEW_AND_OLD_IMAGES")
    either = new or old or {}
    inner: dict[str, Any] = {
        "ApproximateCreationDateTime": created,
        "Keys": {name: either[name] for name in (table["pk_name"], table["sk_name"]) if name and name in either},
        "SequenceNumber": sequence_number,
        "SizeBytes": 0,
        "StreamViewType": view,
    }
    if old and view in ("NEW_AND_OLD_IMAGES", "OLD_IMAGE"):
        inner["OldImage"] = old
    if new and view in ("NEW_AND_OLD_IMAGES", "NEW_IMAGE"):
        inner["NewImage"] = new
    return {
        "eventID": event_id,
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": inner,
        "eventSourceARN": table.get("LatestStreamArn") or f"{table['TableArn']}/stream/restored",
    }


def _append_stream_record(account: str, region: str, name: str, table: dict[str, Any], record: dict[str, Any]) -> None:
    if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
        return
    records = dynamodb._stream_records.get_scoped(account, region, name)
    if records is None:
        records = []
        dynamodb._stream_records.set_scoped(account, region, name, records)
    records.append(record)


class TablesImage:
    """A consistent picture of all tables, cheap to take under the log's lock and slow to write without it.

    Items are never changed in place by the emulator (every write stores a new object), so pointers are enough.
    """

    def __init__(self, positions: Positions, consumers: Callable[[str, str, str], list[str | None]]) -> None:
        self._tables: list[tuple[tuple[str, str, str], dict[str, Any], list[tuple[Any, Any, dict[str, Any]]]]] = []
        for key, table in dynamodb._tables.all_items():
            items = [(pk, sk, item) for pk, row in table["items"].items() for sk, item in row.items()]
            self._tables.append((key, table_shape(table), items))
        self._streams = [
            [*key, _unread(records, consumers(*key))] for key, records in dynamodb._stream_records.all_items()
        ]
        self._side = side_records()
        self._tokens = [[*key, value] for key, value in list(dynamodb._txn_idempotency._data.items())]
        self._positions = [[*key, sequence] for key, sequence in positions.done.items()]

    def lines(self) -> Iterator[bytes]:
        """One JSON document a line: side records first, then each table, its items and what its consumers still need."""
        yield _line({"side": self._side, "tokens": self._tokens, "positions": self._positions})
        for (account, region, name), shape, items in self._tables:
            yield _line({"table": [account, region, name, shape]})
            for pk, sk, item in items:
                yield _line({"item": [pk, sk, item]})
        for account, region, name, records in self._streams:
            for record in records:
                yield _line({"stream": [account, region, name, record]})


def _unread(records: list[dict[str, Any]], consumed: list[str | None]) -> list[dict[str, Any]]:
    """The records that at least one consumer has not been given yet; without consumers none are kept."""
    if not consumed:
        return []
    if any(sequence is None for sequence in consumed):
        return list(records)
    slowest = min(sequence for sequence in consumed if sequence is not None)
    return [record for record in records if record["dynamodb"]["SequenceNumber"] > slowest]


def load_lines(lines: Iterable[bytes], positions: Positions) -> None:
    """Rebuild the tables that `TablesImage.lines` wrote."""
    table: dict[str, Any] | None = None
    for line in lines:
        document = json.loads(line)
        if "item" in document:
            pk, sk, item = document["item"]
            if table is not None:
                dynamodb._set_item(table, pk, sk, item)
        elif "table" in document:
            table = restore_table(*document["table"])
        elif "stream" in document:
            account, region, name, record = document["stream"]
            owner = dynamodb._tables.get_scoped(account, region, name)
            if owner is not None:
                _append_stream_record(account, region, name, owner, record)
        else:
            restore_side_records(document["side"])
            restore_tokens(document["tokens"])
            positions.done.update({(a, r, uuid): sequence for a, r, uuid, sequence in document["positions"]})


def restore_tokens(tokens: Iterable[list[Any]]) -> None:
    """Idempotency tokens of transactions, as long as AWS honours them (10 minutes)."""
    oldest = time.time() - dynamodb._TXN_TOKEN_TTL
    for account, region, token, entry in tokens:
        if entry["completed_at"] > oldest:
            dynamodb._txn_idempotency.set_scoped(account, region, token, entry)


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
