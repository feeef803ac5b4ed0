"""Bad input to all sixty operations: flat {"code", "message"} with a code of the service's own, never a 5xx."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.customvision_client import Operation, Parameter, enums, operations
from tests.core import account
from tests.surfaces.customvision.gateway import Gateway
from tests.surfaces.customvision.stored import store

OPERATIONS = {operation.name: operation for operation in operations()}
# "401" is what Azure's own gateway says where the service is not asked.
CODES = {*enums("training")["CustomVisionErrorCodes"], "401"}
NOBODY = str(uuid.UUID(int=7))
KEYS = {"training": "Training-Key", "prediction": "Prediction-Key"}
BOUNDARY = "b0undary"


@dataclass
class World:
    """A detection project with two tags and three images, and keys of three kinds."""

    gateway: Gateway
    training_key: str
    prediction_key: str
    foreign_key: str
    project: str
    tag: str
    image: str

    def argument(self, name: str) -> str:
        known = {"projectId": self.project, "tagId": self.tag, "imageId": self.image, "domainId": NOBODY}
        return known.get(name, NOBODY)

    def ask(
        self,
        operation: Operation,
        *,
        path: dict[str, str] | None = None,
        query: str | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request; what is not given is as it should be."""
        given = path or {}
        full = re.sub(r"{(\w+)}", lambda found: given.get(found[1], self.argument(found[1])), operation.full_path)
        if query is None:
            query = "&".join(f"{each.name}={good(self, each)}" for each in operation.query if each.is_required)
        key = self.training_key if operation.side == "training" else self.prediction_key
        sent = {KEYS[operation.side]: key} if headers is None else headers
        if body is not None:
            sent = sent | {"Content-Type": content_type}
        target = full + (f"?{query}" if query else "")
        status, _, raw = self.gateway.call(operation.verb, target, sent, body or b"")
        return status, json.loads(raw) if raw else None


def good(world: World, parameter: Parameter) -> str:
    """A value that a required parameter may have."""
    known = {"imageIds": world.image, "tagIds": world.tag, "iterationId": NOBODY, "regionIds": NOBODY, "ids": NOBODY}
    return known.get(parameter.name, "x")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with account() as core:
        training_key = core.services.keyring.create("default", "training", ["read", "write", "train"])[1]
        prediction_key = core.services.keyring.create("default", "prediction", ["predict"])[1]
        foreign_key = core.services.keyring.create("elsewhere", "anything", ["admin"])[1]
        project = core.services.projects.create("default", "bad", task_type="detection", architecture="", info={})
        tags = [core.services.projects.create_tag(project, name).id for name in ("fork", "knife")]
        images = store(core, project.id, 3, tags=tags[:1])
        yield World(Gateway(core), training_key, prediction_key, foreign_key, project.id, tags[0], images[0])


def is_flat(status: int, body: Any) -> bool:
    return 400 <= status < 500 and set(body) == {"code", "message"} and body["code"] in CODES and bool(body["message"])


NAMES = sorted(OPERATIONS)
IDS_IN_PATHS = [(name, part) for name in NAMES for part in re.findall(r"{(\w+Id)}", OPERATIONS[name].path)]
NOT_FOUND = {"projectId": "NotFoundProject", "tagId": "NotFoundTag", "imageId": "NotFoundImage"} | {
    "iterationId": "NotFoundIteration",
    "domainId": "NotFoundDomain",
}
# A body that would do, of the operations that read theirs before they look for what is in their paths.
BODIES = {
    "update_tag": {"name": "n", "description": "", "type": "Regular"},
    "update_iteration": {"name": "n"},
    "update_project": {"name": "n", "description": "", "settings": {}},
}


def _body(name: str) -> bytes | None:
    return None if OPERATIONS[name].body in (None, "multipart") else json.dumps(BODIES.get(name, {})).encode()


# -- keys --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("headers", [{}, {"Training-Key": "dl_x", "Prediction-Key": "dl_x"}, {"Training-Key": "clé ✓"}])
def test_without_a_good_key_nothing_is_said(world: World, name: str, headers: dict[str, str]) -> None:
    status, body = world.ask(OPERATIONS[name], headers=headers)

    assert (status, body["code"]) == (401, "401")
    assert is_flat(status, body)


@pytest.mark.parametrize("name", [name for name in NAMES if OPERATIONS[name].side == "training"])
def test_a_prediction_key_opens_no_training_operation(world: World, name: str) -> None:
    status, body = world.ask(OPERATIONS[name], headers={"Training-Key": world.prediction_key})

    assert (status, body["code"]) == (403, "ForbiddenUserInsufficientCapability")
    assert is_flat(status, body)


@pytest.mark.parametrize("name", [name for name in NAMES if "{projectId}" in OPERATIONS[name].path])
def test_another_tenants_project_looks_like_none(world: World, name: str) -> None:
    headers = dict.fromkeys(KEYS.values(), world.foreign_key)
    status, body = world.ask(OPERATIONS[name], headers=headers, body=_body(name))

    assert (status, body["code"]) == (404, "NotFoundProject")
    assert is_flat(status, body)


# -- paths -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "part"), IDS_IN_PATHS)
def test_an_id_that_nobody_has_is_not_found(world: World, name: str, part: str) -> None:
    status, answer = world.ask(OPERATIONS[name], path={part: NOBODY}, body=_body(name))

    assert (status, answer["code"]) == (404, NOT_FOUND[part])
    assert is_flat(status, answer)


@pytest.mark.parametrize(("name", "part"), IDS_IN_PATHS)
@pytest.mark.parametrize(
    "value", ["7", "null", "01a20320-a200-7000-8000-00000000fff", "g" * 32, "%00", "..%2F..%2Fx", "🦊"]
)
def test_what_is_no_guid_is_refused(world: World, name: str, part: str, value: str) -> None:
    status, answer = world.ask(OPERATIONS[name], path={part: quote(value, safe="%")}, body=_body(name))

    # Whatever is decoded to a slash or to a control character leads to another path, which is not there.
    assert (status, answer["code"]) in [(400, "BadRequestInvalidIds"), (404, "NotFound")]
    assert is_flat(status, answer)


def test_ids_are_read_as_dotnet_reads_them(world: World) -> None:
    operation = OPERATIONS["get_project"]
    spellings = (world.project.upper(), world.project.replace("-", ""), f"%20{world.project}")

    answers = [world.ask(operation, path={"projectId": each}) for each in spellings]

    assert [(status, body["id"]) for status, body in answers] == [(200, world.project)] * 3


# -- queries -----------------------------------------------------------------------------------------------------
def _wrong(parameter: Parameter) -> list[str]:
    if parameter.type == "int":
        least, most = parameter.limits.get("minimum", 0), parameter.limits.get("maximum", 1 << 40)
        return [f"{least - 1}", f"{most + 1}", "1.5", "ten", "1e3", "٣", "9" * 400, "0x10"]
    if parameter.type == "float":
        return ["half", "nan", "inf", "-0.1", "1.1", "1e400"]
    if parameter.type == "bool":
        return ["yes", "2", "tru", "[]"]
    if parameter.name.endswith(("Ids", "Id")) or parameter.name == "ids":
        many = parameter.limits.get("max_items")
        lists = [",".join(str(uuid.UUID(int=number)) for number in range(1, many + 2))] if many else []
        return ["7", "a,b", f"{NOBODY},x", *lists] if parameter.name not in ("predictionId",) else []
    words = {"orderBy": "Best", "taggingStatus": "Some", "classificationType": "Both", "trainingType": "Fast"}
    more = {"platform": "Floppy", "type": "Odd", "$filter": "k eq", "path": "../x", "token": "x"}
    return [{**words, **more}[parameter.name]] if parameter.name in {**words, **more} else []


WRONG = [(name, each.name, value) for name in NAMES for each in OPERATIONS[name].query for value in _wrong(each)]


@pytest.mark.parametrize(("name", "parameter", "value"), WRONG)
def test_a_wrong_parameter_is_refused(world: World, name: str, parameter: str, value: str) -> None:
    operation = OPERATIONS[name]
    others = [
        f"{each.name}={good(world, each)}" for each in operation.query if each.is_required and each.name != parameter
    ]

    status, body = world.ask(operation, query="&".join([*others, f"{parameter}={quote(value)}"]))

    assert is_flat(status, body), (status, body)


@pytest.mark.parametrize("name", [name for name in NAMES if any(each.is_required for each in OPERATIONS[name].query)])
def test_a_missing_parameter_is_named(world: World, name: str) -> None:
    status, body = world.ask(OPERATIONS[name], query="")

    missing = [each.name for each in OPERATIONS[name].query if each.is_required]
    assert is_flat(status, body), (status, body)
    assert (
        body["code"] in ("BadRequestRequiredParamIsNull", "BadRequestPredictionIdsMissing")
        or "NotFound" in body["code"]
    )
    assert "NotFound" in body["code"] or body["message"].split(":")[0] in missing


def test_lists_come_joined_or_repeated_and_names_in_any_case(world: World) -> None:
    operation, first, second = OPERATIONS["get_image_count"], world.tag, NOBODY

    for query in (f"tagIds={first}", f"TagIds={first}", f"tagids={first},{first}", f"tagIds={first}&tagIds={first}"):
        assert world.ask(operation, query=query) == (200, 3)
    for query in (f"tagIds={first},{second}", f"tagIds={first}&TAGIDS={second}", f"tagIds={first}%2C{second}"):
        assert world.ask(operation, query=query)[1]["code"] == "NotFoundTag"


@pytest.mark.parametrize(
    "query", ["%", "%zz=1", "take=%FF", "take=5%00", "$filter=%E9", "a" * 5000, "&&&=;=", "tagIds=%ed%a0%80"]
)
def test_odd_encodings_are_read_or_refused(world: World, query: str) -> None:
    status, body = world.ask(OPERATIONS["get_images"], query=query)

    assert status == 200 or is_flat(status, body), (status, body)


# -- bodies ------------------------------------------------------------------------------------------------------
WITH_BODIES = [name for name in NAMES if OPERATIONS[name].body not in (None, "multipart")]
BAD_BODIES = [
    b"{",
    b"[]",
    b"7",
    b'"text"',
    b"\xff\xfe",
    b'{"a": NaN}',
    b'{"a": "\\ud800"}',
    b"[" * 2000,
    b'{"a": 1e999}',
]


@pytest.mark.parametrize("name", WITH_BODIES)
@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_body_that_is_no_json_object_is_refused(world: World, name: str, body: bytes) -> None:
    status, answer = world.ask(OPERATIONS[name], body=body)

    assert is_flat(status, answer), (status, answer)


def _regions(world: World, count: int) -> dict[str, Any]:
    sides = {"left": 0.1, "top": 0.1, "width": 0.1, "height": 0.1}
    return {"regions": [{"imageId": world.image, "tagId": world.tag, **sides}] * count}


def _pairs(world: World, count: int) -> dict[str, Any]:
    return {"tags": [{"imageId": world.image, "tagId": world.tag}] * count}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("create_image_regions", lambda world: _regions(world, 65)),
        ("create_image_tags", lambda world: _pairs(world, 1281)),
        ("create_images_from_urls", lambda world: {"images": [{"url": "https://example.com/x.png"}] * 65}),
        ("create_images_from_predictions", lambda world: {"images": [{"id": NOBODY}] * 65}),
        ("create_images_from_files", lambda world: {"images": [{"contents": "AA=="}] * 65}),
        (
            "create_images_from_files",
            lambda world: {"images": [{"contents": "AA=="}], "tagIds": [str(uuid.UUID(int=n)) for n in range(1, 22)]},
        ),
        ("create_image_tags", lambda world: {"tags": [], "padding": "x" * 6_300_000}),
    ],
)
def test_one_more_than_the_limit_is_refused(world: World, name: str, body: Any) -> None:
    status, answer = world.ask(OPERATIONS[name], body=json.dumps(body(world)).encode())

    assert (status, answer["code"]) == (400, "BadRequestExceededBatchSize")
    assert is_flat(status, answer)


MULTIPART = [name for name in NAMES if OPERATIONS[name].body == "multipart"]


def part(data: bytes, *lines: str) -> bytes:
    head = "\r\n".join(("--" + BOUNDARY, *lines, "", "")).encode()
    return head + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("name", MULTIPART)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", part(b"x", 'Content-Disposition: form-data; name="imageData"')),
        (f"multipart/form-data; boundary={BOUNDARY}", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", b"--"),
        (f"multipart/form-data; boundary={BOUNDARY}", part(b"x")),
        (f"multipart/form-data; boundary={BOUNDARY}", part(b"x", "Content-Disposition: \xff")),
        (f"multipart/form-data; boundary={BOUNDARY}", b"--" + BOUNDARY.encode() + b"\r\n" * 100),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x"),
        ("application/json", b'{"imageData": "x"}'),
        ("text/plain", b"x"),
        ("", b"x"),
        ("multipart", b"x"),
    ],
)
def test_a_body_without_an_image_is_refused(world: World, name: str, content_type: str, body: bytes) -> None:
    status, answer = world.ask(OPERATIONS[name], body=body, content_type=content_type)

    # What may be an image, and is none, is that image's own error.
    statuses = [each["status"] for each in answer.get("images", [])]
    assert is_flat(status, answer) or (status, statuses) == (207, ["ErrorImageFormat"]), (status, answer)


# -- anything ----------------------------------------------------------------------------------------------------
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.one_of(
    TEXTS, st.integers().map(str), st.just(NOBODY), st.sampled_from(["true", "null", "[]", "'", "*", "%"])
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
        st.just(NOBODY),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = (
    *(
        "images",
        "tags",
        "tagIds",
        "regions",
        "metadata",
        "name",
        "description",
        "settings",
        "contents",
        "url",
        "id",
        "type",
    ),
    *("imageId", "tagId", "left", "threshold", "maxCount", "orderBy", "sortBy", "session", "continuation", "startTime"),
    *(
        "selectedTags",
        "customBaseModelInfo",
        "projectId",
        "iterationId",
        "notificationQueueUri",
        "application",
        "endTime",
    ),
)
OBJECTS = st.dictionaries(
    st.sampled_from(FIELDS), st.one_of(JSON, st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=2))
)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_nothing_makes_it_fail(world: World, data: st.DataObject) -> None:
    operation = OPERATIONS[data.draw(st.sampled_from(NAMES), "operation")]
    changed: dict[str, str] = {}
    # What deletes the project of this module works on another.
    if operation.name == "delete_project" or data.draw(st.integers(0, 4)) == 0:
        changed = {part: quote(data.draw(VALUES)) or "x" for part in re.findall(r"{(\w+)}", operation.path)}
    names = st.sampled_from([each.name for each in operation.query] or ["x"])
    pairs = data.draw(st.lists(st.tuples(names, VALUES), max_size=4))
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs)
    body = json.dumps(data.draw(OBJECTS)).encode() if operation.verb in ("POST", "PATCH") else None

    status, answer = world.ask(operation, path=changed, query=query, body=body)

    assert status in operation.statuses or status == 302 or is_flat(status, answer), (status, answer)
