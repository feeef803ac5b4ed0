"""The bodies of create and update, read into what a dataset or a version keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api_modelarts import labels, wire
from api_modelarts.mapping import Places
from api_modelarts.vocabulary import ANNOTATION_TYPES, DATASET_TYPES, FREE_FORMAT
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.splits import SplitPolicy

Json = dict[str, Any]

MAX_DATASET_NAME = 100  # "dataset name: 1 to 100 characters", as the documentation of the operation says
MAX_VERSION_NAME = 32  # "长度为1-32位"
NOT_IN_DESCRIPTIONS = "^!<>=&\"'"
NOT_IN_VERSION_DESCRIPTIONS = "!<>=&\"'"
_SOURCE_TYPES = range(7)
_OBS = 0
# All but user_password: a password of another system is neither kept nor answered.
_SOURCE_INFO = (
    "cluster_id",
    "cluster_mode",
    "cluster_name",
    "database_name",
    "input",
    "ip",
    "port",
    "queue_name",
    "subnet_id",
    "table_name",
    "user_name",
    "vpc_id",
)


@dataclass(frozen=True, slots=True)
class NewDataset:
    """What `create` needs of a body. folder: a prefix of the raw bucket whose pictures are the dataset's."""

    name: str
    info: Json
    folder: str | None
    with_labels: bool


def new_dataset(body: wire.Json, places: Places) -> NewDataset:
    """Raises InvalidInput, LimitExceeded, Conflict (a label twice)."""
    name = wire.name_of(body, "dataset_name", MAX_DATASET_NAME)
    if name is None:
        raise InvalidInput("dataset_name", "is missing")
    type = wire.choice(body, "dataset_type", DATASET_TYPES, FREE_FORMAT)
    sources = [_source(entry) for entry in wire.objects(body, "data_sources")]
    if len(sources) > 1:
        raise LimitExceeded("data_sources", 1, len(sources))
    folder = _folder(sources, type, places)
    work_path = wire.text(body, "work_path")
    if work_path:
        _check_work_path(work_path, sources)
    wire.choice(body, "work_path_type", (0,), 0)
    annotation_type = ANNOTATION_TYPES.get(type)
    info: Json = {
        "description": wire.plain_text(body, "description", NOT_IN_DESCRIPTIONS),
        "labels": labels.read_all(body, "labels", type),
        "workspace_id": wire.text(body, "workspace_id", 64) or "0",
        "modelarts": {
            "dataset_type": type,
            "data_format": wire.word(body, "data_format", ("Default", "CarbonData")),
            "enterprise_project_id": wire.text(body, "enterprise_project_id", 64) or "0",
            "content_labeling": wire.boolean(body, "content_labeling", True),
            "managed": wire.boolean(body, "managed", False),
            "import_data": wire.boolean(body, "import_data", False),
            "schema": [_field(entry) for entry in wire.objects(body, "schema")],
            "sources": sources,
            "work_path": work_path,
            "workforce": _workforce(wire.an_object(body, "workforce_information")),
        },
    }
    if annotation_type:
        info["annotation_type"] = annotation_type
    return NewDataset(name, info, folder, wire.boolean(body, "import_annotations", True))


def _source(body: wire.Json) -> Json:
    information = wire.an_object(body, "source_info")
    return {
        "data_type": wire.choice(body, "data_type", _SOURCE_TYPES, _OBS),
        "data_path": wire.text(body, "data_path"),
        "with_column_header": wire.boolean(body, "with_column_header", False),
        "schema_maps": [
            {name: wire.text(entry, name) for name in ("dest_name", "src_name")}
            for entry in wire.objects(body, "schema_maps")
        ],
        "source_info": {name: wire.text(information, name) for name in _SOURCE_INFO},
    }


def _folder(sources: list[Json], type: int, places: Places) -> str | None:
    """The folder to import from: types that the core has no data for keep their source as it was said."""
    if not sources or type not in ANNOTATION_TYPES:
        return None
    if sources[0]["data_type"] != _OBS:
        raise InvalidInput("data_sources.data_type", "must be 0 (a folder of the bucket) for images")
    bucket, folder = wire.path(sources[0]["data_path"], "data_sources.data_path")
    if bucket != places.raw:
        raise InvalidInput("data_sources.data_path", f"must lie in /{places.raw}/, where files are uploaded to", bucket)
    return folder


def _check_work_path(work_path: str, sources: list[Json]) -> None:
    wire.path(work_path, "work_path")
    for source in sources:
        origin = str(source["data_path"]).rstrip("/") + "/"
        if source["data_path"] and (work_path.rstrip("/") + "/").startswith(origin):
            raise InvalidInput("work_path", "must be neither the input path nor below it", work_path)


def _field(body: wire.Json) -> Json:
    id = body.get("schema_id", 0)
    if isinstance(id, bool) or not isinstance(id, int) or not 0 <= id < 2**31:
        raise InvalidInput("schema.schema_id", "must be a whole number from 0", id)
    return {"schema_id": id} | {name: wire.text(body, name) for name in ("description", "name", "type")}


def _workforce(body: wire.Json) -> Json:
    """Who shall label, as it was said: nobody is written to, and no task is made of it."""
    if not body:
        return {}
    teams = wire.objects(wire.an_object(body, "workforces_config"), "workforces")
    team: wire.Json = teams[0] if teams else {}
    repetition = body.get("repetition", 1)
    if isinstance(repetition, bool) or not isinstance(repetition, int) or not 1 <= repetition <= 100:
        raise InvalidInput("workforce_information.repetition", "must be a whole number from 1 to 100", repetition)
    return {
        "current_task_id": wire.text(body, "task_id", 64),
        "current_task_name": wire.text(body, "task_name", 64),
        "repetition": repetition,
        "is_synchronize_auto_labeling_data": wire.boolean(body, "synchronize_auto_labeling_data", False),
        "is_synchronize_data": wire.boolean(body, "synchronize_data", False),
        "workforce_id": wire.text(team, "workforce_id", 64),
        "workforce_name": wire.text(team, "workforce_name"),
        "workers": [_worker(entry) for entry in wire.objects(team, "workers")],
    }


def _worker(body: wire.Json) -> Json:
    return {
        "description": wire.plain_text(body, "description", NOT_IN_DESCRIPTIONS),
        "email": wire.text(body, "email", 320),
        "role": wire.choice(body, "role", range(4), 0),
        "worker_id": wire.text(body, "worker_id", 64),
        "workforce_id": wire.text(body, "workforce_id", 64),
    }


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What `create` needs of a version's body. split: None leaves the draft's own."""

    name: str | None
    info: Json
    split: SplitPolicy | None


def new_version(body: wire.Json, dataset_name: str) -> NewVersion:
    """Raises InvalidInput."""
    wire.word(body, "version_format", ("Default",))
    for name in ("export_images", "clear_hard_property", "remove_sample_usage", "with_column_header"):
        wire.boolean(body, name, False)
    if body.get("export_images"):
        raise InvalidInput("export_images", "must be false: versions name their images and do not copy them")
    return NewVersion(
        wire.name_of(body, "version_name", MAX_VERSION_NAME),
        {"description": wire.plain_text(body, "description", NOT_IN_VERSION_DESCRIPTIONS)},
        _split(body, dataset_name),
    )


def _split(body: wire.Json, dataset_name: str) -> SplitPolicy | None:
    """ "0.8": that share for training and the rest for validation. The seed is the dataset's, so growth moves nothing."""
    text = wire.text(body, "train_evaluate_sample_ratio", 20)
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise InvalidInput("train_evaluate_sample_ratio", "must be a number above 0, at most 1, such as 0.8", text)
    return SplitPolicy(train=share, val=round(1 - share, 9), test=0.0, salt=dataset_name)


def changes(body: wire.Json, name: str, known: list[Json], type: int) -> tuple[Json, str | None]:
    """(changes of a dataset's info, id of the version to make current). Raises InvalidInput, Conflict, NotFound."""
    wanted = wire.name_of(body, "dataset_name", MAX_DATASET_NAME)
    if wanted not in (None, name):
        raise InvalidInput("dataset_name", "cannot be changed: versions, loops and splits hang on it", wanted)
    found: Json = {}
    if "description" in body:
        found["description"] = wire.plain_text(body, "description", NOT_IN_DESCRIPTIONS)
    edited = labels.changed(known, body, type)
    if edited is not None:
        if len(edited) > wire.MAX_LABELS:
            raise LimitExceeded("labels", wire.MAX_LABELS, len(edited))
        found["labels"] = edited
    return found, wire.text(body, "current_version_id", 64) or None
