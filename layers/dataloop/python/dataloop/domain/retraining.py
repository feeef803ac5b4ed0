"""When does a loop start? A pure decision over facts (design §6.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import eq
from typing import Any

from dataloop.domain.annotations import Annotation
from dataloop.domain.errors import InvalidInput
from dataloop.domain.promotion import Gate
from dataloop.domain.raw_data import RawData
from dataloop.domain.splits import lookup

# After a failed run the loop waits this long, doubled for each further failure, so that a broken job cannot spin.
FAILURE_BACKOFF_S = 900
MAX_BACKOFF_DOUBLINGS = 6


@dataclass(frozen=True, slots=True)
class Thresholds:
    """min_new: new labelled annotations; fraction: of the last training set; max_age_days: of the oldest unlearnt
    label; min_new_by_age: labels needed when age decides; cooldown_s: seconds between two starts."""

    min_new: int = 200
    fraction: float = 0.10
    max_age_days: float = 14.0
    min_new_by_age: int = 20
    cooldown_s: int = 6 * 3600


@dataclass(frozen=True, slots=True)
class Query:
    """Which annotations feed a loop; an empty field matches everything.

    suggestions: whether suggestions (method `auto`) of the loop's own model are new labels too; those of other teachers
    always are (seed 000 trains on them).
    """

    annotation_type: str = ""
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    suggestions: bool = False

    def matches(self, annotation: Annotation, raw: RawData | None, same_type: Callable[[str, str], bool] = eq) -> bool:
        """same_type(wanted, given): do annotations of the given type say what the wanted one is about?"""
        meta = (raw.meta or {}) if raw else {}
        is_type = not self.annotation_type or same_type(self.annotation_type, annotation.type)
        has_label = not self.labels or bool(annotation.label_names & set(self.labels))
        is_source = not self.sources or lookup(meta, "sourceInfo.type") in self.sources
        is_region = not self.regions or meta.get("region") in self.regions
        return is_type and has_label and is_source and is_region

    @property
    def needs_metadata(self) -> bool:
        return bool(self.sources or self.regions)


@dataclass(frozen=True, slots=True)
class Loop:
    """A standing order: these annotations, this dataset, these thresholds, this training, this gate, this release."""

    tenant: str
    id: str
    name: str
    dataset_id: str
    dataset_name: str
    query: Query
    thresholds: Thresholds
    gate: Gate
    training: Mapping[str, Any]
    release_name: str
    created_at: str
    require_approval: bool = False
    draft_version_id: str | None = None
    draft_number: int = 0
    test_version_id: str | None = None
    trained_version_id: str | None = None
    last_started_at: str | None = None
    failures: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)

    def learns_from(
        self,
        annotation: Annotation,
        raw: RawData | None,
        same_type: Callable[[str, str], bool],
        champion: str | None = None,
    ) -> bool:
        """Is this a new label for the loop? A model must not start the training of its successor by its own guesses.

        champion: the name of the model that is released now. Models that a loop trains are named like its release, those
        trained by hand like the dataset.
        """
        own = (self.release_name, self.dataset_name, champion)
        is_own = annotation.is_suggestion and annotation.model_name in own
        return (self.query.suggestions or not is_own) and self.query.matches(annotation, raw, same_type)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts of one moment: counts of annotations, and the age of the oldest that no model has learnt."""

    new_labelled: int
    last_train_size: int
    oldest_unlearnt: datetime | None
    last_start: datetime | None
    active_loop: bool
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """start, why, and when to look again (None: when something new arrives)."""

    start: bool
    reason: str
    look_again: datetime | None = None


def decide(now: datetime, thresholds: Thresholds, evidence: Evidence, forced: bool = False) -> Decision:
    """Start or wait. Never starts beside a running loop, nor with nothing new, forced or not."""
    new = evidence.new_labelled
    if evidence.active_loop:
        return Decision(False, "a run of this loop is active")
    if new <= 0:
        return Decision(False, "nothing new to learn")
    if forced:
        return Decision(True, f"forced, with {new} new annotations")
    ready_at = _ready_at(thresholds, evidence)
    if ready_at is not None and now < ready_at:
        return Decision(False, f"cooling down until {ready_at:%Y-%m-%dT%H:%M:%SZ}", ready_at)
    needed = max(thresholds.min_new, int(thresholds.fraction * evidence.last_train_size))
    if new >= needed:
        return Decision(True, f"{new} new annotations, {needed} needed")
    due = None
    if evidence.oldest_unlearnt is not None:
        due = evidence.oldest_unlearnt + timedelta(days=thresholds.max_age_days)
        if now >= due and new >= thresholds.min_new_by_age:
            return Decision(True, f"{new} new annotations, the oldest waits since {evidence.oldest_unlearnt:%Y-%m-%d}")
    return Decision(False, f"{new} new annotations, {needed} needed", due if due and due > now else None)


def _ready_at(thresholds: Thresholds, evidence: Evidence) -> datetime | None:
    if evidence.last_start is None:
        return None
    wait_s = thresholds.cooldown_s
    if evidence.failures:
        wait_s = max(wait_s, FAILURE_BACKOFF_S * 2 ** min(evidence.failures - 1, MAX_BACKOFF_DOUBLINGS))
    return evidence.last_start + timedelta(seconds=wait_s)


def make_thresholds(value: object, defaults: Thresholds) -> Thresholds:
    """Read a client's thresholds over the deployment's defaults. Raises InvalidInput("thresholds…")."""
    if value is None:
        return defaults
    if not isinstance(value, Mapping):
        raise InvalidInput("thresholds", "must be an object", value)
    values = {name: getattr(defaults, name) for name in Thresholds.__slots__}
    for name, number in value.items():
        if name not in values:
            raise InvalidInput("thresholds", f"has no field {name!r}; it has {sorted(values)}")
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1e9:
            raise InvalidInput(f"thresholds.{name}", "must be a number of at least 0", number)
        values[name] = type(values[name])(number)
    return Thresholds(**values)


def make_query(value: object) -> Query:
    """Read a client's query. Raises InvalidInput("query…")."""
    if value is None:
        return Query()
    if not isinstance(value, Mapping):
        raise InvalidInput("query", "must be an object", value)
    unknown = set(value) - set(Query.__slots__)
    if unknown:
        raise InvalidInput("query", f"has unknown fields {sorted(unknown)}; it has {sorted(Query.__slots__)}")
    kind = value.get("annotation_type", "")
    if not isinstance(kind, str):
        raise InvalidInput("query.annotation_type", "must be a text", kind)
    lists: dict[str, tuple[str, ...]] = {}
    for name in ("labels", "sources", "regions"):
        entries = value.get(name, [])
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
            raise InvalidInput(f"query.{name}", "must be a list of texts", entries)
        lists[name] = tuple(entries)
    suggestions = value.get("suggestions", False)
    if not isinstance(suggestions, bool):
        raise InvalidInput("query.suggestions", "must be true or false", suggestions)
    return Query(annotation_type=kind, suggestions=suggestions, **lists)
