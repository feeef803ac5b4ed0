"""Records: by attribute and by key, read-only, and still dicts."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from ankerautotrainsdk.errors import InvalidInput
from ankerautotrainsdk.results import BatchResult, DownloadResult, Lineage, Page, RawDataResult, Record, UploadResult

FIELDS = {"uid": "b2", "nested": {"width": 3}, "rows": [{"a": 1}, [2]]}


def test_fields_are_read_by_attribute_and_by_key() -> None:
    record = Record(FIELDS)
    assert record.uid == record["uid"] == "b2"
    assert record.nested.width == record["nested"]["width"] == 3
    assert record.rows[0].a == 1
    assert record.to_dict() == FIELDS


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"UploadResult has no field 'guid' \(fields: uid"):
        _ = UploadResult(uid="1").guid


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.__setitem__("uid", "x"),
        lambda r: setattr(r, "uid", "x"),
        lambda r: r.update(uid="x"),
        lambda r: r.pop("uid"),
        lambda r: r.nested.__setitem__("width", 9),
        lambda r: r.__ior__({"uid": "x"}),
        lambda r: r.__delitem__("uid"),
    ],
)
def test_a_record_refuses_change(change) -> None:
    record = Record(FIELDS)
    with pytest.raises(TypeError, match="read-only"):
        change(record)
    assert record.to_dict() == FIELDS


def test_a_record_is_json_copies_pickles_and_hashes() -> None:
    record = UploadResult(FIELDS)
    assert json.loads(json.dumps(record)) == FIELDS
    assert copy.deepcopy(record) == record
    revived = pickle.loads(pickle.dumps(record))
    assert revived == record
    assert type(revived) is UploadResult
    assert len({record, UploadResult(FIELDS)}) == 1
    assert repr(record).startswith("UploadResult(uid='b2', nested=Record(width=3)")


def test_to_dict_is_independent() -> None:
    record = Record(FIELDS)
    record.to_dict()["nested"]["width"] = 9
    assert record.nested.width == 3


def test_a_download_is_usable_as_a_path(tmp_path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    result = DownloadResult(path=str(file))
    with open(result) as opened:  # noqa: PTH123 - that open() takes it is the point
        assert opened.read() == "{}"
    assert str(result) == str(file)


def test_lineage_reads_items_by_key_since_items_is_a_dict_method() -> None:
    lineage = Lineage(model={"model_id": "m"}, dataset={}, items=[{"uid": "u"}], cursor=None)
    assert lineage.images[0].uid == lineage["items"][0].uid == "u"


def test_a_page_is_a_sequence_with_a_cursor() -> None:
    page = Page([Record(a=1), Record(a=2)], "next")
    assert [each.a for each in page] == [1, 2]
    assert page[0].a == page["items"][0].a == 1
    assert page["cursor"] == page.cursor == "next"
    assert page.to_dict() == {"items": [{"a": 1}, {"a": 2}], "cursor": "next"}


def test_a_batch_keeps_order_and_errors() -> None:
    entries = [{"raw_data_id": "1"}, {"error": {"code": "InvalidInput", "message": "no", "details": {"field": "type"}}}]
    batch = BatchResult.from_answer(entries, RawDataResult)
    assert batch.done == (RawDataResult(raw_data_id="1"),)
    ((place, error),) = batch.errors
    assert place == 1
    assert isinstance(error, InvalidInput)
    with pytest.raises(InvalidInput, match="1 of 2 items were refused; the first is item 1: no") as caught:
        batch.raise_for_errors()
    assert caught.value.details == {"field": "type", "position": 1, "refused": 1, "of": 2}
