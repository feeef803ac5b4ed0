"""Analyses: what a model says about images that are there. Which images, in which rows, and what comes of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from dataloop.domain.annotations import Annotation
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.ids import check_uid
from dataloop.domain.manifest import attributes_of
from dataloop.domain.raw_data import RawData
from dataloop.domain.splits import SplitPolicy, lookup

# Ours: what one step can look up and register within its 600 s: at most four calls an image, of some 10 ms each.
MAX_IMAGES = 10_000
# Ours: 16 queries a day of the index; a quarter is some 1,500 of them.
MAX_QUERY_DAYS = 92
# Ours: images whose labels one query looks up, two calls each; and records that it reads at all, 1,000 a call. Beyond
# them it is cut, for a step has 600 s.
MAX_LOOKUPS = 20_000
MAX_SCANNED = 1_000_000
# What people have said of an image: anything | nothing at all | only a model did | somebody did.
LABEL_STATES = ("any", "none", "suggested", "labelled")
# Boxes of suggestions, in pixels: far finer than any model is.
BOX_DECIMALS = 2
SCORE_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Images whose object came on first_day … last_day (yyyymmdd); an empty list matches everything.

    labels: one of LABEL_STATES; limit: take so many at most, the oldest days first.
    """

    first_day: str
    last_day: str
    sources: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    labels: str = "any"
    limit: int = MAX_IMAGES

    def days(self) -> Iterator[str]:
        """yyyymmdd, the oldest first."""
        day, last = _date(self.first_day), _date(self.last_day)
        while day <= last:
            yield day.isoformat().replace("-", "")
            day += timedelta(days=1)

    def matches(self, raw: RawData) -> bool:
        """By what is known of the file; labels are looked up by whoever has them."""
        meta = raw.meta or {}
        is_source = not self.sources or lookup(meta, "sourceInfo.type") in self.sources
        return is_source and (not self.regions or meta.get("region") in self.regions)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"sources": list(self.sources), "regions": list(self.regions)}


def from_json(value: Mapping[str, Any]) -> ImageQuery:
    """The inverse of `to_json`."""
    return ImageQuery(**dict(value) | {name: tuple(value[name]) for name in ("sources", "regions")})


def _date(day: str) -> date:
    return date(int(day[:4]), int(day[4:6]), int(day[6:]))


def make_uids(value: object) -> list[str]:
    """A client's list of uids, each once, in its order. Raises InvalidInput, LimitExceeded."""
    if not isinstance(value, list) or not value:
        raise InvalidInput("uids", "must be a list with the uid of at least one image", value)
    if len(value) > MAX_IMAGES:
        raise LimitExceeded("uids", MAX_IMAGES, len(value))
    return list(dict.fromkeys(check_uid(uid, f"uids[{index}]") for index, uid in enumerate(value)))


def make_image_query(value: object, today: str) -> ImageQuery:
    """Read a client's query {"from", "to", "sources", "regions", "labels", "limit"}; today: yyyy-mm-dd.

    Without from and to it is today; with one of them, that day alone. Raises InvalidInput, LimitExceeded.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput("query", "must be an object", value)
    known = {"from", "to", "sources", "regions", "labels", "limit"}
    if set(value) - known:
        raise InvalidInput("query", f"has unknown fields {sorted(set(value) - known)}; it has {sorted(known)}")
    start = None if value.get("from") is None else _day(value["from"], "query.from")
    end = None if value.get("to") is None else _day(value["to"], "query.to")
    first, last = start or end or _day(today, "today"), end or start or _day(today, "today")
    days = (_date(last) - _date(first)).days + 1
    if days < 1:
        raise InvalidInput("query.to", "must not be before from", value.get("to"))
    if days > MAX_QUERY_DAYS:
        raise LimitExceeded("query: days", MAX_QUERY_DAYS, days)
    labels, limit = value.get("labels", "any"), value.get("limit", MAX_IMAGES)
    if labels not in LABEL_STATES:
        raise InvalidInput("query.labels", f"must be one of {', '.join(LABEL_STATES)}", labels)
    check_whole(limit, "query.limit", 1, MAX_IMAGES)
    texts = {name: _texts(value.get(name), f"query.{name}") for name in ("sources", "regions")}
    return ImageQuery(first, last, texts["sources"], texts["regions"], labels, limit)


def _day(value: object, field: str) -> str:
    """yyyy-mm-dd as yyyymmdd."""
    try:
        return date.fromisoformat(str(value)).isoformat().replace("-", "")
    except ValueError as error:
        raise InvalidInput(field, "must be a day, yyyy-mm-dd", value) from error


def _texts(value: object, field: str) -> tuple[str, ...]:
    entries = [] if value is None else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InvalidInput(field, "must be a list of texts", entries)
    return tuple(entries)


def check_whole(value: object, field: str, low: int, high: int) -> int:
    """A whole number from low to high. Raises InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(field, f"must be a whole number from {low} to {high}", value)
    return value


def check_share(value: object, field: str) -> float:
    """A number from 0 to 1. Raises InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(field, "must be a number from 0 to 1", value)
    return float(value)


def label_state(annotations: Iterable[Annotation], same_type: Callable[[str], bool] = lambda _: True) -> str:
    """none, suggested or labelled: what is said of an image, as far as same_type agrees with the annotation's type."""
    methods = {annotation.is_suggestion for annotation in annotations if same_type(annotation.type)}
    return "none" if not methods else "suggested" if methods == {True} else "labelled"


def job_row(raw: RawData) -> dict[str, Any]:
    """One image for a job that has no labels: images.jsonl. group: the scene, as the splits know it."""
    assert raw.facts is not None
    meta = dict(raw.meta or {})
    _, group = SplitPolicy().split_of(raw.uid, meta)
    return {
        "uid": raw.uid,
        "sha256": raw.facts.sha256,
        "width": raw.facts.width,
        "height": raw.facts.height,
        "group": group,
        "attributes": attributes_of(meta),
    }


def suggested_labels(
    predictions: Iterable[Mapping[str, Any]], size: tuple[int, int], min_score: float
) -> list[dict[str, Any]]:
    """The labelInfo of one image's predictions that reach min_score; size: (width, height) in pixels.

    A prediction has label, score, box (left, top, width, height as shares, or none) and mask (COCO RLE, or none).
    A box that covers not even 1/100 pixel of the image is left out.
    """
    found = []
    for prediction in predictions:
        if prediction["score"] < min_score:
            continue
        entry: dict[str, Any] = {
            "label": str(prediction["label"]),
            "score": round(float(prediction["score"]), SCORE_DECIMALS),
        }
        if prediction.get("box") is not None:
            entry["bbox_xyxy"] = _pixels(prediction["box"], size)
            if not (entry["bbox_xyxy"][0] < entry["bbox_xyxy"][2] and entry["bbox_xyxy"][1] < entry["bbox_xyxy"][3]):
                continue
        if prediction.get("mask") is not None:
            entry["segmentation"] = dict(prediction["mask"])
        found.append(entry)
    return found


def _pixels(box: Iterable[float], size: tuple[int, int]) -> list[float]:
    """Shares (left, top, width, height) as pixels (x1, y1, x2, y2) inside the image."""
    left, top, width, height = box
    corners = (left, top, left + width, top + height)
    return [round(min(max(corner, 0.0), 1.0) * size[index % 2], BOX_DECIMALS) for index, corner in enumerate(corners)]
