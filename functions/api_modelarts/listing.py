"""The sixteen query parameters of the list, and which datasets they let through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from api_modelarts import wire
from api_modelarts.vocabulary import DATASET_TYPES, EXPORTABLE, dataset_type, train_share
from dataloop.domain.datasets import Dataset
from dataloop.domain.errors import InvalidInput
from dataloop.domain.surveys import Survey
from dataloop.services.surveying import SurveyService

Entry = TypeVar("Entry")

DEFAULT_PAGE = 10  # "默认为10"
MAX_PAGE = 100  # "取值范围[1,100]"
MAX_OFFSET = 999_999_999
MAX_SEARCH = 100  # a dataset's name has at most a hundred characters
# Ours: what running_task_type means in kinds of tasks. Changing the current version is done before the answer comes.
TASK_KINDS: dict[int, tuple[str, ...]] = {
    0: ("auto_annotate",),
    1: ("predict",),
    2: ("export_dataset",),
    3: (),
    4: ("download",),
    5: ("import",),
    6: ("build",),
    7: ("select",),
}
ALL_KINDS = tuple(dict.fromkeys(kind for kinds in TASK_KINDS.values() for kind in kinds))
VERSION_FORMATS = {0: "Default", 1: "CarbonData", 2: "CSV"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a list request asks for."""

    running_kinds: tuple[str, ...]
    contain_versions: bool | None
    dataset_type: int | None
    file_preview: bool
    limit: int
    offset: int
    is_newest_first: bool
    search_content: str
    by_name: bool
    only_exportable: bool
    ratios: tuple[float, float] | None
    version_format: int | None
    with_labels: bool
    workspace_id: str | None
    generation: str

    @property
    def needs_versions(self) -> bool:
        """True when a dataset's versions decide whether it is listed: also its type, if it was not made here."""
        by_versions = (self.contain_versions, self.ratios, self.version_format, self.dataset_type)
        return self.only_exportable or any(each is not None for each in by_versions)

    def cut(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The page: offset counts pages."""
        return entries[self.offset * self.limit :][: self.limit]


def running_kinds(query: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of task to look for: none unless check_running_task is true, all unless a type is named."""
    wanted = wire.query_choice(query, "running_task_type", TASK_KINDS)
    if not wire.query_boolean(query, "check_running_task"):
        return ()
    return ALL_KINDS if wanted is None else TASK_KINDS[wanted]


def read(query: Mapping[str, Any]) -> Wish:
    """Raises InvalidInput. Parameters that are not documented are not looked at."""
    search = query.get("search_content") or ""
    if len(search) > MAX_SEARCH:
        raise InvalidInput("search_content", f"must have at most {MAX_SEARCH} characters", f"{len(search)} characters")
    return Wish(
        running_kinds=running_kinds(query),
        contain_versions=wire.query_boolean(query, "contain_versions"),
        dataset_type=wire.query_choice(query, "dataset_type", DATASET_TYPES),
        file_preview=wire.query_boolean(query, "file_preview") or False,
        limit=wire.query_integer(query, "limit", 1, MAX_PAGE, DEFAULT_PAGE),
        offset=wire.query_integer(query, "offset", 0, MAX_OFFSET, 0),
        is_newest_first=wire.query_word(query, "order", ("desc", "asc")) == "desc",
        search_content=search,
        by_name=wire.query_word(query, "sort_by", ("create_time", "dataset_name")) == "dataset_name",
        only_exportable=wire.query_boolean(query, "support_export") or False,
        ratios=wire.query_ratios(query, "train_evaluate_ratio"),
        version_format=wire.query_choice(query, "version_format", VERSION_FORMATS),
        with_labels=wire.query_boolean(query, "with_labels") or False,
        workspace_id=query.get("workspace_id") or None,
        generation=wire.query_word(query, "dataset_version", ("v1", "v2", "all")),
    )


def page(surveying: SurveyService, tenant: str, wish: Wish) -> tuple[list[Survey], int]:
    """(the datasets of the page, how many there are on all pages). Looks at no more versions than it must."""
    candidates = by_dataset(surveying.datasets(tenant), wish)
    if not wish.needs_versions:
        return surveying.overview(tenant, wish.cut(candidates)), len(candidates)
    fitting = [each for each in surveying.overview(tenant, candidates) if fits(each, wish)]
    return list(wish.cut(fitting)), len(fitting)


def by_dataset(datasets: Iterable[Dataset], wish: Wish) -> list[Dataset]:
    """Those whose own record fits, in the order that was asked for: ties go by id."""
    search = wish.search_content.casefold()
    fitting = [
        dataset
        for dataset in datasets
        if search in dataset.name.casefold()
        and wish.workspace_id in (None, dataset.info.get("workspace_id", "0"))
        # Every dataset here is of the first generation: labels belong to the dataset, not to a task beside it.
        and wish.generation != "v2"
        and wish.dataset_type in (None, dataset.info.get("modelarts", {}).get("dataset_type", wish.dataset_type))
    ]
    key = (lambda each: (each.name, each.id)) if wish.by_name else (lambda each: (each.created_at, each.id))
    return sorted(fitting, key=key, reverse=wish.is_newest_first)


def fits(survey: Survey, wish: Wish) -> bool:
    """What only its versions tell: the type (of a dataset that was not made here), and the filters on versions."""
    type = dataset_type(survey)
    if wish.dataset_type not in (None, type) or (wish.only_exportable and type not in EXPORTABLE):
        return False
    if wish.contain_versions is not None and wish.contain_versions != bool(survey.versions):
        return False
    if wish.ratios is None and wish.version_format is None:
        return True
    low, high = wish.ratios or (0.0, 1.0)
    # All versions here have the default format: only table data has another.
    is_format = wish.version_format in (None, 0)
    return is_format and any(low <= train_share(version) <= high for version in survey.versions)
