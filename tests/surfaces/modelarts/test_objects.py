"""Every field of all 15 objects that seed 003 documents is sent, with its documented type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_modelarts.objects import FIELDS, whole
from tests.core import Core, account
from tests.surfaces.modelarts.documented import check
from tests.surfaces.modelarts.requests import Surface, surface
from tests.surfaces.modelarts.test_list import made

CONTRACT = Path(__file__).parents[3].parent / "shared/contracts/modelarts_list_datasets.json"

TABLE = {
    "schema": [{"schema_id": 1, "name": "150", "type": "STRING", "description": "first"}],
    "import_data": True,
    "data_sources": [
        {
            "data_type": 1,
            "with_column_header": True,
            "schema_maps": [{"src_name": "a", "dest_name": "b"}],
            "source_info": {"ip": "10.0.0.1", "port": "8000", "user_name": "u", "user_password": "not to be kept"},
        }
    ],
}
TEAM = {
    "workforce_information": {
        "task_id": "t1",
        "task_name": "first round",
        "repetition": 2,
        "synchronize_data": True,
        "workforces_config": {
            "workforces": [
                {
                    "workforce_id": "w1",
                    "workforce_name": "painters",
                    "workers": [{"email": "a@example.com", "role": 1, "worker_id": "p1", "description": "first"}],
                }
            ]
        },
    }
}
LABELS = [
    {
        "name": "cat",
        "type": 1,
        "property": {"@modelarts:color": "#3399ff", "@modelarts:default_shape": "bndbox", "@modelarts:shortcut": "C"},
        "attributes": [{"name": "fur", "type": "select", "default_value": "long", "values": [{"value": "long"}]}],
    }
]


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as made_:
        yield made_


@pytest.fixture
def api(core: Core) -> Surface:
    return surface(core)


def test_every_object_appears_whole(core: Core, api: Surface) -> None:
    # Given a dataset of tables, one with a team, and one with a built version and declared labels
    api.create("tables", 400, **TABLE)
    api.create("team", 0, **TEAM)
    version = made(core, "objects")
    status, _ = api("PUT", f"/{version.dataset_id}", {"add_labels": LABELS})
    assert status == 200

    # When all are listed with everything there is
    query = {"with_labels": "true", "file_preview": "true", "check_running_task": "true", "dataset_version": "all"}
    _, answer = api("GET", query=query)

    # Then every documented object has exactly its fields, each with its type
    seen: set[str] = set()
    check("Body", answer, seen)
    assert seen >= set(FIELDS) - {"AnnotationFile"}  # a preview: test_list.py and test_clients.py


def test_what_was_said_is_answered(api: Surface) -> None:
    api.create("tables", 400, **TABLE)
    api.create("team", 0, labels=LABELS, **TEAM)

    tables, team = api.list(sort_by="dataset_name", order="asc", with_labels="true")

    assert tables["dataset_format"] == 1
    assert tables["schema"] == [{"schema_id": 1, "name": "150", "type": "STRING", "description": "first"}]
    (source,) = tables["data_sources"]
    assert (source["data_type"], source["with_column_header"]) == (1, True)
    assert source["schema_maps"] == [{"src_name": "a", "dest_name": "b"}]
    assert source["source_info"]["ip"] == "10.0.0.1"
    assert team["workforce_descriptor"]["current_task_name"] == "first round"
    assert team["workforce_descriptor"]["workers"][0]["email"] == "a@example.com"
    (label,) = team["labels"]
    assert label["attributes"][0]["values"][0]["value"] == "long"
    assert label["attributes"][0]["id"]


def test_a_password_is_never_kept(core: Core, api: Surface) -> None:
    api.create("tables", 400, **TABLE)

    assert "not to be kept" not in str(core.items())
    assert api.list()[0]["data_sources"][0]["source_info"]["user_password"] == ""


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"needs {CONTRACT}, the machine-read copy of the documentation")
def test_the_fields_are_those_of_the_documentation() -> None:
    documented = json.loads(CONTRACT.read_text("utf-8"))["objects"]

    spelt = {
        kind: {
            name: type.removeprefix("Array of ").removesuffix(" objects").join(("[", "]"))
            if type.startswith("Array of ") and type.endswith(" objects")
            else type.removesuffix(" object")
            for name, type in fields.items()
        }
        for kind, fields in documented.items()
    }

    assert spelt == FIELDS
    assert [list(fields) for fields in spelt.values()] == [list(fields) for fields in FIELDS.values()]


def test_an_object_takes_no_field_that_is_not_its_own() -> None:
    with pytest.raises(KeyError, match="has no field"):
        whole("Label", {"colour": "red"})
