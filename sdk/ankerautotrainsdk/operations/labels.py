"""File information (raw data) and annotations, one at a time and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from ankerautotrainsdk.errors import ApiError, LimitExceeded
from ankerautotrainsdk.operations.base import Calls, checked_dict, every
from ankerautotrainsdk.progress import Bar
from ankerautotrainsdk.results import AnnotationResult, BatchResult, Page, RawDataResult, Record
from ankerautotrainsdk.transport import path as route

R = TypeVar("R", bound=Record)
_BATCH_ITEMS = 100  # limit of both batch calls


class LabelCalls(Calls):
    """Calls about file information and annotations."""

    def upload_raw_data(self, raw_data: Mapping[str, Any]) -> RawDataResult:
        """Register the information of one uploaded file.

        raw_data: uid and storage {storageId, bucket, objectName} as upload_file returned them; type, region,
        securityLevel, bg, owner, fileMeta, sourceInfo, extra as in the document.
        Returns raw_data_id. Repeating is harmless; the order of upload and registration does not matter.
        Raises InvalidInput (details name the field), Unauthenticated, Forbidden.
        Cost: one call.  Source: SDK `upload_raw_data`.
        """
        return RawDataResult(self._transport.post("/raw-data", checked_dict(raw_data, "raw_data")))

    def upload_raw_data_batch(self, items: Iterable[Mapping[str, Any]]) -> BatchResult[RawDataResult]:
        """upload_raw_data for many; the outcomes are in the order of items, refused ones among them.

        Cost: one call per 100 items.
        """
        return self._batch("/raw-data/batch", items, RawDataResult, "raw_data")

    def upload_annotated_data(self, annotated_data: Mapping[str, Any]) -> AnnotationResult:
        """Store one annotation of a file; a file may have many.

        annotated_data: dataId (list of uids), annotationType, labelInfo [{label, bbox_xyxy in pixels, score,
        labelType}], labelMethod, labelScope, modelName, modelVersion, bg, owner as in the document. A label may have a
        segmentation: polygons [[x1, y1, x2, y2, …], …] in pixels, or COCO's RLE {size: [height, width], counts}.
        Returns annotation_data_id, which is derived from the content: repeating is harmless.
        Raises InvalidInput (details name the field), Unauthenticated, Forbidden.
        Cost: one call.  Source: SDK `upload_annotated_data`.
        """
        return AnnotationResult(self._transport.post("/annotations", checked_dict(annotated_data, "annotated_data")))

    def upload_annotated_data_batch(self, items: Iterable[Mapping[str, Any]]) -> BatchResult[AnnotationResult]:
        """upload_annotated_data for many; the outcomes are in the order of items, refused ones among them.

        Cost: one call per 100 items.
        """
        return self._batch("/annotations/batch", items, AnnotationResult, "annotated_data")

    def get_raw_data(self, uid: str) -> Record:
        """The record of a file: uid, status, type, size_bytes, width, height, locations, meta. Raises NotFound."""
        return Record(self._transport.get(route("raw-data", uid)))

    def get_annotations(self, uid: str) -> tuple[Record, ...]:
        """All annotations of one file. Raises NotFound."""
        answer = self._transport.get(f"{route('raw-data', uid)}/annotations")
        rows = answer if isinstance(answer, list) else answer["items"]
        return tuple(Record(each) for each in rows)

    def get_annotation(self, annotation_data_id: str) -> Record:
        """One annotation as stored. Raises NotFound."""
        return Record(self._transport.get(route("annotations", annotation_data_id)))

    def get_usage(self, uid: str) -> Record:
        """Where a file went: the dataset versions, models and releases that it is part of. Raises NotFound."""
        return Record(self._transport.get(f"{route('raw-data', uid)}/usage"))

    def list_raw_data(
        self, day: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Record]:
        """One page of the files registered on a day (yyyy-mm-dd, UTC; by default today), newest first."""
        return self._page("/raw-data", Record, limit=limit, cursor=cursor, day=day)

    def iter_raw_data(self, day: str | None = None) -> Iterator[Record]:
        """All files registered on a day, fetched page by page."""
        return every(lambda cursor: self.list_raw_data(day, cursor=cursor))

    def _batch(
        self, route_: str, items: Iterable[Mapping[str, Any]], kind: Callable[[Mapping[str, Any]], R], name: str
    ) -> BatchResult[R]:
        rows = [checked_dict(each, name) for each in items]
        outcomes: list[Any] = []
        # A single call needs no bar.
        show = self._progress if len(rows) > _BATCH_ITEMS else False
        with Bar(show, len(rows), name, "item") as bar:
            for chunk in _chunks(rows):
                outcomes.extend(self._send_batch(route_, chunk, kind))
                bar.advance(len(chunk))
        return BatchResult(outcomes)

    def _send_batch(
        self, route_: str, rows: list[dict[str, Any]], kind: Callable[[Mapping[str, Any]], R]
    ) -> list[R | ApiError]:
        try:
            return list(BatchResult.from_answer(self._transport.post(route_, {"items": rows})["results"], kind))
        except LimitExceeded as error:
            # Annotations with thousands of boxes: too many bytes for one call. Halved, they fit.
            if len(rows) == 1:
                return [error]
            half = len(rows) // 2
            return [
                *self._send_batch(route_, rows[:half], kind),
                *self._send_batch(route_, rows[half:], kind),
            ]


def _chunks(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(rows)
    while chunk := list(islice(rest, _BATCH_ITEMS)):
        yield chunk
