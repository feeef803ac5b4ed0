"""Gap: consumers of DynamoDB streams die after a restore, and failed records are skipped.

Stock keeps a consumer's position as an index into a list that is empty after a restart; it ignores ReportBatchItemFailures
(a reported record counts as done: lost), BisectBatchOnFunctionError and MaximumRetryAttempts, and a slow function stops
the polling of every other source.
We keep positions as sequence numbers in the write-ahead log, run each consumer's batch beside the others (one at a time
for one consumer, so order holds), and follow AWS's rules for retries, bisecting, partial failures and OnFailure.
Noticed by: tests/local/test_streams.py and tests/local/test_stock_gaps.py::test_stock_positions_are_list_indexes.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import request_scope
from ministack.services import dynamodb, lambda_svc

from dataloop_local.durability.keeper import Keeper

# Before every record: sequence numbers start with the time in milliseconds.
_HORIZON = "0"
_RETRY_FIRST_S = 0.5
_RETRY_LONGEST_S = 10.0


@dataclass
class _Retries:
    """What one consumer knows about the batch it cannot get past."""

    attempts: int = 0
    # Half the batch after each failure when the mapping bisects; None: the mapping's own BatchSize.
    batch_size: int | None = None


@dataclass
class _Batch:
    mapping: dict[str, Any]
    function: dict[str, Any]
    key: tuple[str, str, str]
    read: list[dict[str, Any]]
    wanted: list[dict[str, Any]]


def install(keeper: Keeper) -> None:
    consumers = StreamConsumers(keeper)
    lambda_svc._poll_dynamodb_streams = consumers.poll
    lambda_svc._init_stream_position = consumers.subscribe
    stock_release = lambda_svc._release_esm_poll_state

    def release(mapping_id: str) -> None:
        stock_release(mapping_id)
        consumers.forget(mapping_id)

    lambda_svc._release_esm_poll_state = release
    keeper.consumers_of = consumers.positions_of_table


class StreamConsumers:
    """Gives each event source mapping its records, in order, at least once."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._retries: dict[tuple[str, str, str], _Retries] = {}

    # -- positions ----------------------------------------------------------------------------------------------
    def subscribe(self, mapping_id: str, source_arn: str, starting: str) -> None:
        """LATEST means: from the records that come after the mapping was made, not after the first poll."""
        table = _stream_table(source_arn)
        if table is None or starting == "TRIM_HORIZON":
            return
        account, region, _ = table
        records = dynamodb._stream_records.get_scoped(*table) or []
        last = records[-1]["dynamodb"]["SequenceNumber"] if records else _HORIZON
        if (account, region, mapping_id) not in self._keeper.positions.done:
            self._advance((account, region, mapping_id), last)

    def forget(self, mapping_id: str) -> None:
        done = self._keeper.positions.done
        for key in [key for key in done if key[2] == mapping_id]:
            done.pop(key, None)
            self._retries.pop(key, None)

    def positions_of_table(self, account: str, region: str, table: str) -> list[str | None]:
        return [
            self._keeper.positions.done.get((owner, place, mapping["UUID"]))
            for owner, place, mapping in lambda_svc._iter_all_esms()
            if _stream_table(mapping.get("EventSourceArn", "")) == (account, region, table)
        ]

    def _advance(self, key: tuple[str, str, str], sequence: str) -> None:
        with self._keeper.log.lock:
            if self._keeper.log.is_closed:
                return  # the runtime is stopping; the records come again after the next start
            self._keeper.positions.done[key] = sequence
            self._keeper.log.append({"position": [*key, sequence]})

    # -- polling ------------------------------------------------------------------------------------------------
    def poll(self) -> bool:
        """Start a batch for every consumer that is idle and has records. Returns whether one was started."""
        started = False
        for account, region, mapping in lambda_svc._iter_all_esms():
            table = _stream_table(mapping.get("EventSourceArn", ""))
            if table is None or not mapping.get("Enabled", True):
                continue
            if lambda_svc._esm_inflight.get(mapping["UUID"]):
                continue
            with request_scope(account, region):
                batch = self._next_batch(account, region, mapping, table)
                if batch is not None:
                    lambda_svc._dispatch_esm_batch(mapping["UUID"], self._run, batch)
                    started = True
        return started

    def _next_batch(
        self, account: str, region: str, mapping: dict[str, Any], table: tuple[str, str, str]
    ) -> _Batch | None:
        key = (account, region, mapping["UUID"])
        if lambda_svc._esm_backoff_until.get(mapping["UUID"], 0) > time.time():
            return None
        owner = dynamodb._tables.get_scoped(*table)
        if owner is None or owner.get("LatestStreamArn") != mapping["EventSourceArn"]:
            return None
        function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
        if function is None:
            return None
        records = dynamodb.stream_live_records(table[2], account_id=table[0], region=table[1])
        first = bisect_right(records, self._keeper.positions.done.get(key, _HORIZON), key=_sequence)
        size = self._retries.get(key, _Retries()).batch_size or mapping.get("BatchSize", 100)
        skipped: str | None = None
        for start in range(first, len(records), size):
            read = records[start : start + size]
            wanted = lambda_svc._apply_filter_criteria(read, mapping)
            if wanted:
                return _Batch(mapping, function, key, read, wanted)
            skipped = _sequence(read[-1])
        if skipped is not None:
            self._advance(key, skipped)
        return None

    # -- one batch ----------------------------------------------------------------------------------------------
    def _run(self, batch: _Batch) -> None:
        result = lambda_svc._execute_function(batch.function, {"Records": batch.wanted})
        failed_from = _first_failed(batch, result)
        if failed_from is None:
            self._done(batch, f"OK - {len(batch.wanted)} records")
            return
        if failed_from > 0:
            # The records before the reported one are done for good.
            self._advance(batch.key, _sequence(batch.wanted[failed_from - 1]))
            self._retries.pop(batch.key, None)
        self._retry_or_give_up(batch, batch.wanted[failed_from:], result)

    def _done(self, batch: _Batch, outcome: str) -> None:
        self._advance(batch.key, _sequence(batch.read[-1]))
        self._retries.pop(batch.key, None)
        lambda_svc._esm_backoff_until.pop(batch.mapping["UUID"], None)
        batch.mapping["LastProcessingResult"] = outcome

    def _retry_or_give_up(self, batch: _Batch, remaining: list[dict[str, Any]], result: dict[str, Any]) -> None:
        mapping = batch.mapping
        mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
        retries = self._retries.setdefault(batch.key, _Retries())
        if mapping.get("BisectBatchOnFunctionError") and len(remaining) > 1:
            # Splitting does not count as an attempt (Lambda developer guide, "Handling errors for DynamoDB streams").
            retries.batch_size = max(1, len(remaining) // 2)
            return
        retries.attempts += 1
        condition = _given_up(mapping, retries.attempts, remaining)
        if condition is None:
            pause = min(_RETRY_LONGEST_S, _RETRY_FIRST_S * 2 ** (retries.attempts - 1))
            lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + pause
            return
        lambda_svc._send_ddb_stream_failure_record(
            mapping, batch.function, remaining, mapping["EventSourceArn"], result, condition
        )
        self._done(batch, f"PROBLEM: {condition}, {len(remaining)} records discarded")


def _first_failed(batch: _Batch, result: dict[str, Any]) -> int | None:
    """Index of the first record of `wanted` that is not done; None when all are."""
    if result.get("error"):
        return 0
    if "ReportBatchItemFailures" not in (batch.mapping.get("FunctionResponseTypes") or []):
        return None
    body = result.get("body")
    failures = body.get("batchItemFailures") if isinstance(body, dict) else None
    if not failures:
        return None
    places = {_sequence(record): index for index, record in enumerate(batch.wanted)}
    # An identifier that is empty or unknown fails the whole batch, as on AWS.
    return min(places.get(failure.get("itemIdentifier") or "", 0) for failure in failures)


def _given_up(mapping: dict[str, Any], attempts: int, remaining: list[dict[str, Any]]) -> str | None:
    limit = mapping.get("MaximumRetryAttempts")
    if limit is not None and 0 <= int(limit) < attempts:
        return "RetryAttemptsExhausted"
    oldest_allowed = mapping.get("MaximumRecordAgeInSeconds")
    age = time.time() - float(remaining[0]["dynamodb"].get("ApproximateCreationDateTime", time.time()))
    if oldest_allowed is not None and 0 < int(oldest_allowed) < age:
        return "MaximumRecordAgeExceeded"
    return None


def _sequence(record: dict[str, Any]) -> str:
    sequence: str = record["dynamodb"]["SequenceNumber"]
    return sequence


def _stream_table(source_arn: str) -> tuple[str, str, str] | None:
    """(account, region, table) of a DynamoDB stream ARN; None for any other source."""
    try:
        arn = parse_arn(source_arn)
    except ArnParseError:
        return None
    if arn.service != "dynamodb":
        return None
    parsed = lambda_svc._dynamodb_stream_table_from_arn_spec(arn)
    return (arn.account_id, arn.region, parsed[0]) if parsed else None
