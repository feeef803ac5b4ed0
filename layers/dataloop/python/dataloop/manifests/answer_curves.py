"""Columns of answers (domain/performance.py): gathered from a model's predictions image by image, and as bytes."""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from dataloop.domain.json_lines import canonical, parse
from dataloop.domain.performance import BEST, MILLION, TRUE, Box, Column, Curves, overlap_of

# Answers of one iteration that are kept: 15 MB in memory, half a second to measure. Boxes of 10,000 test images, or 20 tags
# of 50,000. With more the least likely go, and a threshold below them answers as the lowest that is kept.
MOST_ANSWERS = 1_000_000
# COCO: what comes after the hundred best of a tag in an image is not looked at.
MOST_BOXES = 100
_LENGTH_BYTES = 4


class Said(NamedTuple):
    """One answer. tag_id: None for one that is not measured (the negative tag's). score: 0 … 1."""

    tag_id: str | None
    score: float
    box: Box | None = None


class Truth(NamedTuple):
    tag_id: str
    box: Box | None = None


@dataclass(slots=True)
class _Answers:
    """A column in the making: in the order of the images. pairs: how many truths each answer overlaps."""

    column: Column = field(default_factory=Column)
    pairs: array[int] = field(default_factory=lambda: array("H"))
    total: int = 0  # truths


class CurveBuilder:
    """Takes the test images one after the other. Memory: twice MOST_ANSWERS at most."""

    def __init__(self, kind: str, tag_ids: Iterable[str], limit: int = MOST_ANSWERS) -> None:
        """tag_ids: those that the model learnt; what it never says has a column too."""
        self._kind = kind
        self._limit = limit
        self._tags: dict[str, _Answers] = {tag_id: _Answers() for tag_id in tag_ids}
        self._images = 0
        self._answers = 0
        self._floor = 0

    def add(self, said: Sequence[Said], truths: Sequence[Truth]) -> None:
        """The next image."""
        if self._kind == "detection":
            self._add_boxes(said, truths)
        else:
            self._add_tags(said, truths)
        self._images += 1
        if self._answers > 2 * self._limit:
            self._cut()

    def curves(self) -> Curves:
        if self._answers > self._limit:
            self._cut()
        columns = {tag_id: _sorted(found) for tag_id, found in self._tags.items()}
        return Curves(self._kind, self._images, self._floor, columns)

    def _add_tags(self, said: Sequence[Said], truths: Sequence[Truth]) -> None:
        scores: dict[str | None, float] = {}
        for answer in said:
            scores[answer.tag_id] = max(answer.score, scores.get(answer.tag_id, 0.0))
        best = max(scores, key=lambda tag_id: scores[tag_id], default=None)
        there = {truth.tag_id for truth in truths}
        for truth_id in there:
            self._column(truth_id).column.there[self._images] = 1
        for tag_id, score in scores.items():
            if tag_id is not None:
                mark = (TRUE if tag_id in there else 0) | (BEST if tag_id == best else 0)
                self._note(self._column(tag_id), score, mark, [])

    def _add_boxes(self, said: Sequence[Said], truths: Sequence[Truth]) -> None:
        boxes: dict[str, list[Box]] = {}
        for truth in truths:
            if truth.box is not None:
                boxes.setdefault(truth.tag_id, []).append(truth.box)
        by_tag = sorted((each for each in said if each.tag_id and each.box), key=lambda each: str(each.tag_id))
        for tag_id, group in groupby(by_tag, key=itemgetter(0)):
            answers = self._column(str(tag_id))
            for answer in sorted(group, key=lambda each: -each.score)[:MOST_BOXES]:
                shared = [
                    (answers.total + number, overlap)
                    for number, box in enumerate(boxes.get(str(tag_id), ()))
                    if answer.box and (overlap := overlap_of(answer.box, box)) > 0
                ]
                self._note(answers, answer.score, 0, shared)
        for tag_id, found in boxes.items():
            answers = self._column(tag_id)
            answers.column.there[self._images] = len(found)
            answers.total += len(found)

    def _column(self, tag_id: str) -> _Answers:
        return self._tags.setdefault(tag_id, _Answers())

    def _note(self, answers: _Answers, score: float, mark: int, shared: Sequence[tuple[int, float]]) -> None:
        millionths = round(score * MILLION)
        if millionths < self._floor:
            return
        column = answers.column
        column.scores.append(millionths)
        column.images.append(self._images)
        column.marks.append(mark)
        answers.pairs.append(len(shared))
        column.truths.extend(truth for truth, _ in shared)
        column.overlaps.extend(overlap for _, overlap in shared)
        self._answers += 1

    def _cut(self) -> None:
        """Leave out the least likely answers of all tags, whole scores at a time, until no more than the limit are left."""
        scores = sorted((score for each in self._tags.values() for score in each.column.scores), reverse=True)
        self._floor = scores[self._limit] + 1
        self._answers = 0
        for tag_id, found in self._tags.items():
            kept = [index for index, score in enumerate(found.column.scores) if score >= self._floor]
            self._tags[tag_id] = _picked(found, kept)
            self._answers += len(kept)


def _sorted(answers: _Answers) -> Column:
    """The likeliest first; equal ones in the order of the images, as COCO's stable sort has them."""
    scores = answers.column.scores
    picked = _picked(answers, sorted(range(len(scores)), key=lambda index: -scores[index]))
    column = picked.column
    column.answers.extend(index for index, count in enumerate(picked.pairs) for _ in range(count))
    return column


def _picked(answers: _Answers, kept: Sequence[int]) -> _Answers:
    begins, at = array("I"), 0
    for count in answers.pairs:
        begins.append(at)
        at += count
    old, found = answers.column, _Answers(Column(there=answers.column.there), total=answers.total)
    new = found.column
    for index in kept:
        new.scores.append(old.scores[index])
        new.images.append(old.images[index])
        new.marks.append(old.marks[index])
        begin, count = begins[index], answers.pairs[index]
        found.pairs.append(count)
        new.truths.extend(old.truths[begin : begin + count])
        new.overlaps.extend(old.overlaps[begin : begin + count])
    return found


def pack_curves(curves: Curves) -> bytes:
    """A line of JSON behind its length, then each column's arrays, little-endian as every Lambda is; all compressed."""
    arrays = bytearray()
    sizes = []
    for column in curves.columns.values():
        sizes.append([len(column.scores), len(column.there), len(column.answers)])
        there = array("I", column.there), array("I", column.there.values())
        for part in (
            column.scores,
            column.images,
            column.marks,
            *there,
            column.answers,
            column.truths,
            column.overlaps,
        ):
            arrays += part.tobytes()
    head = canonical(
        {
            "kind": curves.kind,
            "images": curves.images,
            "floor": curves.floor,
            "tags": list(curves.columns),
            "sizes": sizes,
        }
    )
    return gzip.compress(len(head).to_bytes(_LENGTH_BYTES, "little") + head + bytes(arrays), mtime=0)


def read_curves(body: bytes) -> Curves:
    body = gzip.decompress(body)
    at = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    head: Mapping[str, Any] = parse(body[_LENGTH_BYTES:at])
    columns = {}
    for tag_id, (answers, there, pairs) in zip(head["tags"], head["sizes"], strict=True):
        column = Column()
        images, counts = array("I"), array("I")
        shape = (
            (column.scores, answers),
            (column.images, answers),
            (column.marks, answers),
            (images, there),
            (counts, there),
            (column.answers, pairs),
            (column.truths, pairs),
            (column.overlaps, pairs),
        )
        for part, length in shape:
            end = at + length * part.itemsize
            part.frombytes(body[at:end])
            at = end
        column.there.update(zip(images, counts, strict=True))
        columns[tag_id] = column
    return Curves(head["kind"], head["images"], head["floor"], columns)
