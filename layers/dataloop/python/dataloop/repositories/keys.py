"""Every key and every index entry of the table (design §5.2). All partition keys begin with the tenant."""

from __future__ import annotations

from dataloop.domain.projects import ROWS_A_BLOCK
from dataloop.domain.times import day_of

BY_TIME = "by_time"  # GSI1: g1pk, g1sk
BY_PARENT = "by_parent"  # GSI2: g2pk, g2sk
ROOT = "#"  # the sort key of an entity's own item
TRAINING = "TRAINING"  # the sort key, below a project's partition, of the item that says which iteration trains now
DAY_SHARDS = "0123456789abcdef"  # 16 ways, by the first digit of the uid, so that no day is one hot partition


def raw(tenant: str, uid: str) -> str:
    return f"{tenant}|RAW#{uid}"


def raw_day(tenant: str, day: str, shard: str) -> str:
    """GSI1 partition of raw data first seen on yyyymmdd."""
    return f"{tenant}|RAW#{day}#{shard}"


def raw_days(tenant: str) -> str:
    """The partition that lists the days with raw data."""
    return f"{tenant}|RAWDAYS"


def raw_waiting(tenant: str, day: str) -> str:
    """GSI1 partition of metadata whose object has not come, by the day the metadata came."""
    return f"{tenant}|RAWMETA#{day}"


def annotation(tenant: str, annotation_id: str) -> str:
    return f"{tenant}|ANN#{annotation_id}"


def edge(annotation_id: str) -> str:
    """Sort key, below a raw data's partition, of one of its annotations."""
    return f"ANN#{annotation_id}"


def label(tenant: str, name: str, uid: str) -> str:
    """The files that carry a label, 16 ways by the first digit of the uid: together they are sorted by uid."""
    return f"{tenant}|LBL#{uid[0]}#{name}"


def query(tenant: str, query_id: str) -> str:
    return f"{tenant}|QUERY#{query_id}"


def queries(tenant: str) -> str:
    """GSI1 partition of all saved queries."""
    return f"{tenant}|QUERY"


def dataset(tenant: str, dataset_id: str) -> str:
    return f"{tenant}|DS#{dataset_id}"


def datasets(tenant: str) -> str:
    """GSI1 partition of all datasets."""
    return f"{tenant}|DS"


def leaving(tenant: str) -> str:
    """GSI1 partition of the datasets and versions that are being deleted: what a sweep finishes."""
    return f"{tenant}|LEAVING"


def version(tenant: str, version_id: str) -> str:
    return f"{tenant}|DSV#{version_id}"


def versions(tenant: str) -> str:
    """GSI1 partition of all dataset versions."""
    return f"{tenant}|DSV"


def segment(segment_id: str) -> str:
    return f"SEG#{segment_id}"


def user(version_id: str) -> str:
    """Sort key, below a version's partition, of another version that uses its files of annotation ids."""
    return f"USE#{version_id}"


def unique(tenant: str, kind: str, *names: str) -> str:
    """The item that makes a name unique; names are length-prefixed so that no two lists read alike."""
    return f"{tenant}|UNIQ#{kind}#" + "".join(f"{len(name)}:{name}" for name in names)


def task(tenant: str, task_id: str) -> str:
    return f"{tenant}|TASK#{task_id}"


def tasks(tenant: str, kind: str) -> str:
    """GSI1 partition of one kind's tasks."""
    return f"{tenant}|TASK#{kind}"


def tasks_of(tenant: str, target: str) -> str:
    """GSI2 partition of the tasks of one target."""
    return f"{tenant}|FOR#{target}"


def task_order(created_at: str, task_id: str, is_ended: bool) -> str:
    """GSI2 sort key: active tasks (A) before ended ones (Z)."""
    return f"{'Z' if is_ended else 'A'}#{created_at}#{task_id}"


def model(tenant: str, model_id: str) -> str:
    return f"{tenant}|MODEL#{model_id}"


def models(tenant: str) -> str:
    """GSI1 partition of all models."""
    return f"{tenant}|MODEL"


def evaluation(version_id: str) -> str:
    """Sort key, below a model's partition, of its numbers on one test set."""
    return f"EVAL#{version_id}"


def release(tenant: str, release_id: str) -> str:
    return f"{tenant}|REL#{release_id}"


def releases(tenant: str) -> str:
    """GSI1 partition of all releases."""
    return f"{tenant}|REL"


def releases_of(tenant: str, model_id: str) -> str:
    """GSI2 partition of the releases of one model."""
    return f"{tenant}|FOR#Model#{model_id}#REL"


def pointer(tenant: str, name: str) -> str:
    return f"{tenant}|RELPTR#{name}"


def loop(tenant: str, loop_id: str) -> str:
    return f"{tenant}|LOOP#{loop_id}"


def loops(tenant: str) -> str:
    """GSI1 partition of all loops."""
    return f"{tenant}|LOOP"


def decision(created_at: str, task_id: str, kind: str) -> str:
    """Sort key, below a loop's partition, of one recorded decision: a run makes several, perhaps in one millisecond."""
    return f"RUN#{created_at}#{task_id}#{kind}"


def deletion(tenant: str, deletion_id: str) -> str:
    return f"{tenant}|DEL#{deletion_id}"


def deletions(tenant: str) -> str:
    """GSI1 partition of all deletions."""
    return f"{tenant}|DEL"


def retention(tenant: str, policy_id: str) -> str:
    return f"{tenant}|RETENTION#{policy_id}"


def retentions(tenant: str) -> str:
    """GSI1 partition of all retention policies."""
    return f"{tenant}|RETENTION"


def retention_run(at: str) -> str:
    """Sort key, below a retention policy's partition, of one run of it."""
    return f"RUN#{at}"


def project(tenant: str, project_id: str) -> str:
    """The partition of a project: its own item, its tags (TAG#, deleted GONETAG#), its iterations (ITER#)."""
    return f"{tenant}|PROJ#{project_id}"


def projects(tenant: str) -> str:
    """GSI1 partition of all projects."""
    return f"{tenant}|PROJ"


def leaving_projects(tenant: str) -> str:
    """GSI1 partition of the projects that are being deleted, and of deleted tags that images may still have."""
    return f"{tenant}|LEAVINGPROJ"


def tag(tag_id: str) -> str:
    """Sort key, below a project's partition, of one of its tags."""
    return f"TAG#{tag_id}"


def deleted_tag(tag_id: str) -> str:
    """Sort key, below a project's partition, of the note that a deleted tag leaves until no image has it."""
    return f"GONETAG#{tag_id}"


def iteration(iteration_id: str) -> str:
    """Sort key, below a project's partition, of one of its iterations."""
    return f"ITER#{iteration_id}"


def image(tenant: str, project_id: str, ordinal: int) -> tuple[str, str]:
    """(partition, sort key) of one image of a project."""
    block, row = divmod(ordinal, ROWS_A_BLOCK)
    return f"{tenant}|IMG#{project_id}#{block}", f"{row:03d}"


def images_of(tenant: str, uid: str) -> str:
    """The partition that says in which projects content is (sort key: the project) and was (project#ordinal)."""
    return f"{tenant}|IMGOF#{uid}"


def term(tenant: str, project_id: str, name: str) -> str:
    """The partition of a term's blocks of 65,536 ordinals (sort key: the block's number, five digits)."""
    return f"{tenant}|TERM#{project_id}#{name}"


def term_names(tenant: str, project_id: str) -> str:
    """The partition that lists a project's blocks (sort key: a digest of the term, the block's number)."""
    return f"{tenant}|TERMS#{project_id}"


def sequence(tenant: str, name: str) -> str:
    return f"{tenant}|SEQ#{name}"


def predictions(tenant: str, project_id: str, day: str) -> str:
    """The partition of a project's stored predictions of a day (yyyymmdd); sort key: the prediction's id."""
    return f"{tenant}|PRED#{project_id}#{day}"


def prediction_days(tenant: str, project_id: str) -> str:
    """The partition that lists the days with stored predictions of a project."""
    return f"{tenant}|PRED#{project_id}#DAYS"


def predictions_of(tenant: str, uid: str) -> str:
    """The partition that says which stored predictions are about content (sort key: project#prediction)."""
    return f"{tenant}|PREDOF#{uid}"


def suggestions(tenant: str, iteration_id: str, tag_id: str) -> str:
    """The partition of what an iteration suggests for one tag; sort key: the likeliest first, then the image."""
    return f"{tenant}|SUG#{iteration_id}#{tag_id}"


def suggested_images(tenant: str, iteration_id: str) -> str:
    """The partition of all images that an iteration has suggested tags for; sort key: the image's id."""
    return f"{tenant}|SUG#{iteration_id}"


def lock(tenant: str, what: str) -> str:
    return f"{tenant}|LOCK#{what}"


def access_key(digest: str) -> str:
    """Found by digest before the tenant is known: the one partition key that does not begin with a tenant."""
    return f"KEY#{digest}"


def access_keys(tenant: str) -> str:
    """GSI1 partition of a tenant's keys."""
    return f"{tenant}|KEY"


def tenants() -> str:
    """The partition that lists the tenants, one item each: what scheduled sweeps walk over."""
    return "TENANTS"


def day_partition(tenant: str, time: str, uid: str) -> str:
    return raw_day(tenant, day_of(time), uid[0])
