"""Random bodies on every route: never a 5xx, always JSON, and every refusal in the one error shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deployed import DeployedStack
from tests.surfaces.sdk.requests import NOWHERE, is_error, routes, send

pytestmark = pytest.mark.stack
POSTS = [path for method, path in routes() if method == "POST"]
GETS = [path for method, path in routes() if method == "GET" and path != "/api/v1/files/<uid>/content"]
NAMES = """
    datasetName datasetVersion split info uid meta extra fileMeta type items files file_name directory size_bytes sha256
    dataId labelInfo annotationType labelScope supersedes annotation_id_list dataset_id model_id task_type parameters gate
    name scopes expires_in_days query thresholds training release_name force comment bucket object_name storage_id format
    uids from to sources regions labels limit release min_score include_labelled strategy count seed measure per_group
    balance near_duplicates baseline_model_id
""".split()  # noqa: SIM905
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "0" * 24, "0" * 32, "0" * 64, NOWHERE, "detection", "read", "\x00", "../x", 10**400, 1e308, -1]
    )
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=6).map(json.dumps).map(str.encode) | st.binary(
    max_size=60
)
quick = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(status: int, answer: Any) -> None:
    assert status < 500, answer
    assert status < 400 or is_error(answer), answer


@pytest.mark.parametrize("path", POSTS)
@quick
@given(body=bodies)
def test_any_body_is_answered(stack: DeployedStack, path: str, body: bytes) -> None:
    for name in ("uid", "dataset_id", "task_id", "release_id", "loop_id", "name"):
        path = path.replace(f"<{name}>", NOWHERE)
    headers = {"content-type": "application/json", "x-api-key": stack.key}
    check(*send(stack, "POST", path, body, headers))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)


@pytest.mark.parametrize("path", GETS)
@quick
@given(name=texts, limit=texts, cursor=texts)
def test_any_path_and_query_is_answered(stack: DeployedStack, path: str, name: str, limit: str, cursor: str) -> None:
    for parameter in ("uid", "dataset_id", "task_id", "model_id", "annotation_id", "loop_id", "name"):
        path = path.replace(f"<{parameter}>", quote(name, safe="") or "x")
    query = urlencode(
        {"limit": limit, "cursor": cursor, "day": name, "kind": name, "dataset_name": name, "dataset_version": limit}
    )
    check(*send(stack, "GET", f"{path}?{query}", None, {"x-api-key": stack.key}))
