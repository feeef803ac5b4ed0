"""Stored predictions: one item each in its project's partition of a day, and one that leads from the content to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dataloop.domain.predictions import Said, StoredPrediction, time_of
from dataloop.domain.times import day_of, to_text
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item
from dataloop.repositories.table import Table


class PredictionRepository:
    """Reads by id are strongly consistent (S), pages eventual (E): a prediction may be missing for some milliseconds."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted: set[tuple[str, str, str]] = set()

    def announce(self, prediction: StoredPrediction) -> None:
        """Before its bytes are written: who looks for the content finds them. 1 call; 1 more a process and day."""
        tenant, project_id, day = prediction.tenant, prediction.project_id, day_of(prediction.created_at)
        if (tenant, project_id, day) not in self._noted:
            self._table.put({"pk": keys.prediction_days(tenant, project_id), "sk": day})
            self._noted.add((tenant, project_id, day))
        self._table.put({"pk": keys.predictions_of(tenant, prediction.uid), "sk": _mention(project_id, prediction.id)})

    def add(self, prediction: StoredPrediction) -> None:
        """After its bytes are written: from here on it is found. 1 call, 1 WRU per KB (about 10 tags)."""
        pk = keys.predictions(prediction.tenant, prediction.project_id, day_of(prediction.created_at))
        item = asdict(prediction) | {"predictions": packed(prediction.predictions)}
        self._table.put({"pk": pk, "sk": prediction.id, **item})

    def get_many(self, tenant: str, project_id: str, ids: Iterable[str]) -> list[StoredPrediction]:
        """S. Those that exist, in no particular order. 1 call per 100."""
        wanted = [(keys.predictions(tenant, project_id, day), id) for id in ids if (day := _day_in(id)) is not None]
        return [_prediction(item) for item in self._table.get_many(wanted, consistent=True)]

    def days(self, tenant: str, project_id: str) -> list[str]:
        """S. Every day (yyyymmdd) with stored predictions, ascending. 1 call."""
        return [item["sk"] for item in self._table.query_all(keys.prediction_days(tenant, project_id), consistent=True)]

    def of_day(
        self,
        tenant: str,
        project_id: str,
        day: str,
        ids: tuple[str, str],
        *,
        newest_first: bool = False,
        limit: int,
        consistent: bool = False,
    ) -> list[StoredPrediction]:
        """The first `limit` predictions of a day with ids from the one to the other, both included. 1 call or more.

        DynamoDB ends a page at 1 MB: what is left is asked for until there are `limit`, or no more.
        """
        pk = keys.predictions(tenant, project_id, day)
        found: list[Item] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self._table.query(
                pk,
                between=ids,
                newest_first=newest_first,
                limit=limit - len(found),
                cursor=cursor,
                consistent=consistent,
            )
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
        return [_prediction(item) for item in found]

    def remove(self, predictions: Sequence[StoredPrediction]) -> None:
        """Both items of each; the record goes last, because it says where the other one is. 1 call per 25, twice."""
        self._table.delete_many(
            (keys.predictions_of(each.tenant, each.uid), _mention(each.project_id, each.id)) for each in predictions
        )
        self._table.delete_many(
            (keys.predictions(each.tenant, each.project_id, day_of(each.created_at)), each.id) for each in predictions
        )

    def mentions(self, tenant: str, uid: str) -> list[tuple[str, str]]:
        """S. (project id, prediction id) of every stored prediction about content, unfinished ones too. 1 call."""
        items = self._table.query_all(keys.predictions_of(tenant, uid), consistent=True)
        return [(project_id, id) for project_id, _, id in (item["sk"].partition("#") for item in items)]

    def unmention(self, tenant: str, uid: str, project_id: str, prediction_id: str) -> None:
        self._table.delete(keys.predictions_of(tenant, uid), _mention(project_id, prediction_id))

    def forget_day(self, tenant: str, project_id: str, day: str) -> None:
        """After its last prediction went."""
        self._table.delete(keys.prediction_days(tenant, project_id), day)
        self._noted.discard((tenant, project_id, day))


def packed(predictions: Sequence[Said]) -> list[list[Any]]:
    """Rows without names: names would be most of the item."""
    return [[each.tag_id, each.tag_name, each.tag_kind, each.probability, each.box] for each in predictions]


def unpacked(rows: Sequence[Sequence[Any]]) -> tuple[Said, ...]:
    """The inverse of `packed`."""
    return tuple(
        Said(tag_id, name, kind, float(probability), None if box is None else tuple(map(float, box)))  # type: ignore[arg-type]
        for tag_id, name, kind, probability, box in rows
    )


def _prediction(item: Item) -> StoredPrediction:
    return from_item(
        StoredPrediction,
        item,
        predictions=unpacked(item["predictions"]),
        uncertainty=float(item["uncertainty"]),
    )


def _mention(project_id: str, prediction_id: str) -> str:
    return f"{project_id}#{prediction_id}"


def _day_in(prediction_id: str) -> str | None:
    moment = time_of(prediction_id)
    if moment is None:
        return None
    try:
        return day_of(to_text(datetime.fromtimestamp(moment / 1000, UTC)))
    except (ValueError, OverflowError):  # a client's own id: it names a time that no calendar has
        return None
