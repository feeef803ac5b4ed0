"""Search and saved queries: what clients send, what they get (pydantic; no handler imports this)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api_sdk import answers
from api_sdk.requests import CreateDataset, Request

Json = dict[str, Any]
Words = list[str]


class Condition(Request):
    """One comparison with a file's metadata."""

    path: str = Field(description="Dotted, such as extra.weather.")
    op: Literal["eq", "ne", "in", "lt", "le", "gt", "ge", "prefix", "exists"]
    value: Any


class Where(Request):
    """Everything given must hold; a list holds when one of its values does (docs/search.md)."""

    first_day: str | None = None
    last_day: str | None = None
    types: list[Literal["image", "video", "file"]] | None = None
    regions: Words | None = None
    security_levels: Words | None = None
    sources: Words | None = None
    devices: Words | None = None
    bgs: Words | None = None
    owners: Words | None = None
    meta: list[Condition] | None = None
    any_label: Words | None = None
    all_labels: Words | None = None
    no_label: Words | None = None
    annotation_types: Words | None = None
    methods: Words | None = None
    min_score: float | None = Field(None, ge=0, le=1)
    max_score: float | None = Field(None, ge=0, le=1)
    state: Literal["any", "none", "suggested", "labelled"] = "any"
    dedupe: Literal["any", "unique", "copies"] = "any"
    near: str | None = Field(None, description="uid of a picture.")
    distance: int | None = Field(None, ge=0, le=12, description="Bits of the perceptual hash.")


class Search(Request):
    where: Where | None = None
    limit: int = Field(100, ge=1, le=1000)
    cursor: str | None = None


class SaveQuery(Request):
    name: str
    where: Where
    comment: str | None = None


class ChangeQuery(Request):
    where: Where | None = None
    comment: str | None = None


class QueryDataset(CreateDataset):
    near_duplicates: Literal["keep", "keep_first"] = "keep"


class FoundFile(answers.RawData):
    last_seen: str | None
    annotation_ids: list[str] = Field(description="What speaks for it; empty when the search did not ask what is said.")


class FoundPage(answers.Answer):
    items: list[FoundFile]
    cursor: str | None = Field(description="There may be more; a page may be short, even empty.")
    scanned: int


class Query(answers.Answer):
    query_id: str
    name: str
    where: Json
    comment: str
    revision: int
    created_at: str
    updated_at: str


class QueryPage(answers.Answer):
    items: list[Query]
    cursor: str | None


class DeletedQuery(answers.Answer):
    query_id: str
    deleted: bool


ROUTES: dict[tuple[str, str], tuple[type[Request] | None, type[answers.Answer] | None, int]] = {
    ("POST", "/api/v1/raw-data/search"): (Search, FoundPage, 200),
    ("POST", "/api/v1/queries"): (SaveQuery, Query, 201),
    ("GET", "/api/v1/queries"): (None, QueryPage, 200),
    ("GET", "/api/v1/queries/<query_id>"): (None, Query, 200),
    ("PUT", "/api/v1/queries/<query_id>"): (ChangeQuery, Query, 200),
    ("DELETE", "/api/v1/queries/<query_id>"): (None, DeletedQuery, 200),
    ("POST", "/api/v1/queries/<query_id>/datasets"): (QueryDataset, answers.Task, 202),
}
