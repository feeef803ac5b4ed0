"""Annotations: immutable statements about raw data. A correction is a new annotation that supersedes an old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.geometry import check_xyxy
from dataloop.domain.ids import annotation_id, check_annotation_id, check_uid
from dataloop.domain.masks import check_segmentation

# Ours: one image with more objects than this is a broken export, not a photograph.
MAX_LABELS = 10_000
MAX_DATA_IDS = 100
MAX_TEXT = 256
# The scope stays in the item whatever the size of the labels, and an item has room for 400 KB.
MAX_SCOPE = 1_000
# The labelMethod of a model's own suggestion: it counts as nobody's word where people labelled the image.
SUGGESTION = "auto"


@dataclass(frozen=True, slots=True)
class Annotation:
    """What somebody or some model says about one file (or a few).

    labels: as sent, each with `label` and, for objects, `bbox_xyxy` in pixels or a `segmentation` (polygons in pixels or
    RLE), which is kept in the one form of `check_segmentation`.
    """

    tenant: str
    id: str
    data_ids: tuple[str, ...]
    type: str
    labels: tuple[Mapping[str, Any], ...]
    method: str
    model_name: str
    model_version: str
    scope: tuple[str, ...]
    bg: str
    owner: str
    created_at: str
    supersedes: str | None = None

    @property
    def is_suggestion(self) -> bool:
        return self.method == SUGGESTION

    @property
    def label_names(self) -> frozenset[str]:
        return frozenset(str(label["label"]) for label in self.labels)


def _text(value: object, field: str, default: str | None = None) -> str:
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise InvalidInput(field, "must be a non-empty text" if default is None else "must be a text", value)
    if len(value) > MAX_TEXT:
        raise LimitExceeded(f"{field}: characters", MAX_TEXT, len(value))
    return value


def _label(entry: object, field: str) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise InvalidInput(field, "must be an object with at least a label", entry)
    _text(entry.get("label"), f"{field}.label")
    if entry.get("bbox_xyxy") is not None:
        check_xyxy(entry["bbox_xyxy"], f"{field}.bbox_xyxy")
    score = entry.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if score is not None and not (is_number and 0 <= score <= 1):
        raise InvalidInput(f"{field}.score", "must be a number from 0 to 1", score)
    if entry.get("segmentation") is None:
        return dict(entry)
    return dict(entry) | {"segmentation": check_segmentation(entry["segmentation"], f"{field}.segmentation")}


def make_annotation(
    tenant: str,
    created_at: str,
    *,
    data_ids: object,
    type: object,
    labels: object,
    method: object = None,
    model_name: object = None,
    model_version: object = None,
    scope: object = None,
    bg: object = None,
    owner: object = None,
    supersedes: object = None,
) -> Annotation:
    """Check every field and derive the id. Raises InvalidInput(field) or LimitExceeded(what)."""
    if isinstance(data_ids, str):
        data_ids = [data_ids]
    if not isinstance(data_ids, Sequence) or not data_ids:
        raise InvalidInput("dataId", "must be a list with the uid of at least one file", data_ids)
    if len(data_ids) > MAX_DATA_IDS:
        raise LimitExceeded("dataId", MAX_DATA_IDS, len(data_ids))
    uids = tuple(sorted({check_uid(value, "dataId") for value in data_ids}))
    if not isinstance(labels, Sequence) or isinstance(labels, str):
        raise InvalidInput("labelInfo", "must be a list", labels)
    if len(labels) > MAX_LABELS:
        raise LimitExceeded("labelInfo", MAX_LABELS, len(labels))
    checked = tuple(_label(entry, f"labelInfo[{index}]") for index, entry in enumerate(labels))
    scope = [] if scope is None else scope
    if not isinstance(scope, Sequence) or isinstance(scope, str):
        raise InvalidInput("labelScope", "must be a list of texts", scope)
    if len(scope) > MAX_SCOPE:
        raise LimitExceeded("labelScope", MAX_SCOPE, len(scope))
    kind = _text(type, "annotationType")
    how, model, version = _text(method, "labelMethod", ""), _text(model_name, "modelName", ""), ""
    version = _text(str(model_version) if isinstance(model_version, int | float) else model_version, "modelVersion", "")
    replaced = None if supersedes is None else check_annotation_id(supersedes, "supersedes")
    return Annotation(
        tenant=tenant,
        id=annotation_id(uids, kind, checked, model, version, how, replaced),
        data_ids=uids,
        type=kind,
        labels=checked,
        method=how,
        model_name=model,
        model_version=version,
        scope=tuple(_text(value, "labelScope") for value in scope),
        bg=_text(bg, "bg", ""),
        owner=_text(owner, "owner", ""),
        created_at=created_at,
        supersedes=replaced,
    )
