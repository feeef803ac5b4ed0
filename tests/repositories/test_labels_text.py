"""Labels are kept as one text; items of earlier versions, and whole numbers that quick parsers spoil, as a tree."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.annotations import make_annotation
from dataloop.repositories import keys
from tests.core import Core

AT = "2026-11-22T12:00:00.000Z"


def made(**label: Any) -> Any:
    return make_annotation("default", AT, data_ids=["0" * 32], type="object", labels=[{"label": "cat"} | label])


@pytest.mark.parametrize(
    ("label", "form"),
    [
        ({"bbox_xyxy": [1, 2.5, 30, 40], "score": 1.0, "note": "ü\n\t"}, "labels_json"),
        ({"track": 2**63 - 1}, "labels"),
        ({"track": 10**30}, "labels"),
        ({"note": "x" * 70_000}, "labels_key"),
    ],
)
def test_what_was_said_comes_back(core: Core, label: dict[str, Any], form: str) -> None:
    annotation = made(**label)
    core.stores.annotations.add([annotation])
    (item,) = [item for item in core.items() if item["pk"] == keys.annotation("default", annotation.id)]
    assert {"labels", "labels_json", "labels_key"} & item.keys() == {form}
    found = core.stores.annotations.get("default", annotation.id)
    assert [dict(entry) for entry in found.labels] == [dict(entry) for entry in annotation.labels]
    ((paged,),) = [page for page in core.stores.annotations.in_pages("default", [annotation.id], spilt=1) if page]
    assert paged == found


def test_items_of_earlier_versions_are_read(core: Core) -> None:
    annotation = made(bbox_xyxy=[1, 2, 30, 40])
    core.stores.annotations.add([annotation])
    core.stores.table.update(
        keys.annotation("default", annotation.id), set={"labels": [dict(annotation.labels[0])]}, remove=("labels_json",)
    )
    assert core.stores.annotations.get("default", annotation.id) == annotation
