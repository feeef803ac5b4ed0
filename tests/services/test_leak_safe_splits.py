"""10,000 real pictures in 500 groups with planted near-duplicates: no leak, and 1,000 more move nothing.

The pictures are drawn and encoded by Pillow, their hashes are what registration takes of the bytes, the splits are what
a build's assignment makes of them. Leaks are looked for twice: by the plan of what was planted, and by comparing all
hashes with all others.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.near_duplicates import DISTANCE
from dataloop.domain.splits import SplitPolicy, make_split_policy
from dataloop.manifests.assignment import SplitAssignment, placements_in
from dataloop.services.inspecting import inspect
from tests.actions import info, label, meta, put, run_build
from tests.core import Core
from tests.handlers import handle

GROUPS, IN_GROUP = 500, 18
# What is planted in the first version, by where the copy of a picture lies.
IN_OWN_GROUP, IN_THE_NEXT_GROUP, WITHOUT_GROUP = 500, 60, 440
# … and in the 1,000 that come later.
NEW_PICTURES, NEW_COPIES, BRIDGES = 680, 300, 20
SPLIT = {"train": 8, "val": 1, "test": 1, "group": ["extra.scene", "extra.device"], "near_duplicates": True}


def draw(seed: int) -> Image.Image:
    """A picture of its own: soft shapes from 64 random colours."""
    colours = random.Random(seed).randbytes(8 * 8 * 3)
    return Image.frombytes("RGB", (8, 8), colours).resize((120, 90), Image.Resampling.BICUBIC)


def copy_of(image: Image.Image, way: int) -> Image.Image:
    """What happens to pictures on their way: encoded again, scaled, brightened, cut by 1 %."""
    if way % 4 == 0:
        return image
    if way % 4 == 1:
        return image.resize((50, 38), Image.Resampling.BILINEAR)
    if way % 4 == 2:
        return ImageEnhance.Brightness(image).enhance(1.15)
    return image.crop((0, 0, image.width, image.height - 1))


@dataclass(frozen=True)
class Planted:
    """A registered picture. origin: the seed of the picture it shows."""

    uid: str
    origin: int
    group: str | None
    phash: str

    @property
    def meta(self) -> dict[str, Any]:
        return {"extra": {"scene": self.group}} if self.group else {}


def register(origin: int, group: int | None, way: int | None, quality: int = 90) -> Planted:
    """way: None is the picture itself."""
    image = draw(origin)
    target = io.BytesIO()
    (image if way is None else copy_of(image, way)).save(target, "JPEG", quality=quality)
    body = target.getvalue()
    sha256 = hashlib.sha256(body).hexdigest()
    facts = inspect("a.jpg", sha256, len(body), body, body)
    assert facts.phash is not None
    return Planted(sha256[:32], origin, None if group is None else f"scene-{group}", facts.phash)


def first_version() -> list[Planted]:
    """10,000 pictures: 9,000 in 500 groups of 18, and 1,000 copies of them."""
    found = [register(origin, origin % GROUPS, None) for origin in range(GROUPS * IN_GROUP)]
    for number in range(IN_OWN_GROUP + IN_THE_NEXT_GROUP + WITHOUT_GROUP):
        origin = number * 7
        if number < IN_OWN_GROUP:
            group: int | None = origin % GROUPS
        elif number < IN_OWN_GROUP + IN_THE_NEXT_GROUP:
            group = (origin + 1) % GROUPS
        else:
            group = None
        found.append(register(origin, group, number, quality=60))
    return found


def later(placed: Mapping[str, str | None], old: list[Planted]) -> list[Planted]:
    """1,000 more: pictures of old and new groups, copies of old ones, and 20 that tie a group of train to one of test."""
    found = [register(100_000 + n, n % 2 * 200 + n, None) for n in range(NEW_PICTURES)]
    found += [register(old[n * 11].origin, None if n % 3 else 600 + n, n, quality=40) for n in range(NEW_COPIES)]
    train = [one for one in old if placed[one.uid] == "train" and one.group]
    test = [one for one in old if placed[one.uid] == "test" and one.group]
    return found + [
        register(test[n].origin, int(str(train[n * 31].group).removeprefix("scene-")), n, quality=50)
        for n in range(BRIDGES)
    ]


def assigned(
    members: Iterable[Planted], policy: SplitPolicy, anchor: Mapping[str, str | None] | None = None
) -> tuple[dict[str, str | None], dict[str, Any]]:
    lines = (b'{"uid":"%b","split":"%b"}' % (k.encode(), v.encode()) for k, v in sorted((anchor or {}).items()) if v)
    assignment = SplitAssignment(policy, anchor=placements_in(lines))
    for one in sorted(members, key=lambda one: one.uid):
        assignment.add(one.uid, one.meta, {"cat": 1 + one.origin % 3}, one.phash)
    how = assignment.decide()
    return dict(assignment.placements()), how


def planned_leaks(members: Iterable[Planted], placed: Mapping[str, str | None]) -> list[object]:
    """Groups and pictures that lie in more than one split."""
    found: dict[object, set[str]] = {}
    for one in members:
        split = placed[one.uid]
        if split:
            found.setdefault(one.origin, set()).add(split)
            if one.group:
                found.setdefault(one.group, set()).add(split)
    return [name for name, splits in found.items() if len(splits) > 1]


def compared_leaks(members: Iterable[Planted], placed: Mapping[str, str | None]) -> int:
    """Pairs of near hashes in different splits, by comparing all with all."""
    inside = [one for one in members if placed[one.uid]]
    hashes = np.array([int(one.phash, 16) for one in inside], dtype=np.uint64)
    splits = np.array([placed[one.uid] for one in inside])
    count = 0
    for number, value in enumerate(hashes[:-1]):
        rest = slice(number + 1, None)
        near = np.bitwise_count(hashes[rest] ^ value) <= DISTANCE
        count += int((near & (splits[rest] != splits[number])).sum())
    return count


@pytest.mark.slow
def test_ten_thousand_pictures_leak_nothing_and_a_thousand_more_move_nothing() -> None:
    # given 10,000 pictures in 500 groups, 1,000 of them copies of others
    old = first_version()
    assert (len({one.uid for one in old}), len({one.group for one in old if one.group})) == (10_000, 500)
    more = None
    for mode in ("hash", "balanced", "stratified"):
        policy = make_split_policy(SPLIT | {"mode": mode}, salt="animals")
        # when they are split
        placed, how = assigned(old, policy)
        # then no group and no picture lies in two splits
        assert planned_leaks(old, placed) == []
        assert compared_leaks(old, placed) == 0
        assert how["conflicts"] == how["leaks"]["images"] == how["unhashed"] == 0
        # and every split has its share, which it could not have if all were one component
        assert how["components"] > 400
        assert how["reached"] == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.04)
        # when 1,000 more arrive
        more = later(placed, old)
        grown, how = assigned(old + more, policy, placed)
        # then nothing has moved, nothing leaks, and only what ties train to test is left out
        assert {one.uid: grown[one.uid] for one in old} == placed
        assert planned_leaks(old + more, grown) == []
        assert compared_leaks(old + more, grown) == 0
        assert {uid for uid, split in grown.items() if split is None} == {one.uid for one in more[-BRIDGES:]}
        assert (how["anchored"], how["conflicts"]) == (10_000, BRIDGES)
    assert more is not None
    assert len(more) == 1000
    # and without the rule the same pictures leak
    plain, _ = assigned(old, make_split_policy({"group": "extra.scene"}, salt="animals"))
    assert compared_leaks(old, plain) > 50


def body_of(origin: int, way: int | None = None) -> bytes:
    target = io.BytesIO()
    image = draw(origin) if way is None else copy_of(draw(origin), way)
    image.save(target, "JPEG", quality=85 if way is None else 55)
    return target.getvalue()


def upload(core: Core, name: str, body: bytes, **extra: str) -> str:
    """An uploaded, registered, described and labelled picture; returns its uid."""
    uid, notice = put(core, f"d/{name}.jpg", body)
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid, **extra))
    core.services.annotating.register("default", label(uid))
    return uid


def built(core: Core, number: str, uids: Iterable[str], **split: Any) -> DatasetVersion:
    """A version of these images that went through all steps of a build."""
    made = core.services.curating.create("default", info(version=number, split=split or None))
    ids = sorted(core.services.registering.annotation_ids("default", uid)[0] for uid in uids)
    core.services.curating.link("default", made.id, ids)
    run_build(core, core.services.building.request_build("default", made.id).id)
    return core.services.curating.get("default", made.id)


def placed_in(core: Core, version: DatasetVersion) -> dict[str, str]:
    lines = core.objects()[f"{version.manifest_prefix}/objects.jsonl"].splitlines()
    return {place["uid"]: place["split"] for place in map(json.loads, lines)}


def how_of(core: Core, version: DatasetVersion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(core.objects()[f"{version.manifest_prefix}/index.json"])["splits"]
    return found


CAREFUL = {"near_duplicates": True, "mode": "balanced", "train": 2, "val": 1, "test": 1}


def test_versions_keep_pictures_that_look_alike_together(core: Core) -> None:
    # given 12 pictures and a copy of each
    uids = [upload(core, f"a{n}", body_of(n)) for n in range(12)]
    copies = [upload(core, f"b{n}", body_of(n, n)) for n in range(12)]
    # when a version is built of the pictures and half of the copies, and then one of all
    first = built(core, "1", uids + copies[:6], **CAREFUL)
    before = placed_in(core, first)
    second = built(core, "2", uids + copies, **CAREFUL)
    after = placed_in(core, second)
    # then every copy lies where its picture lies, and nothing has moved
    assert all(after[copy] == after[uid] for uid, copy in zip(uids, copies, strict=True))
    assert {uid: after[uid] for uid in before} == before
    counts = Counter(before.values())
    assert (counts["train"], {counts["val"], counts["test"]}) == (9, {4, 5})
    how = how_of(core, second)
    assert (second.anchor_id, how["anchored"], how["conflicts"], how["unhashed"]) == (first.id, 18, 0, 0)
    assert second.report["splits"] == how
    # and built again it is the same
    assert run_build(core, core.services.building.request_build("default", second.id, parent_id="loop").id)["passed"]


def test_a_picture_between_train_and_test_is_left_out_and_reported(core: Core) -> None:
    uids = [upload(core, f"a{n}", body_of(n), group=f"g{n}") for n in range(12)]
    placed = placed_in(core, built(core, "1", uids, **CAREFUL))
    train, test = (next(n for n in range(12) if placed[uids[n]] == split) for split in ("train", "test"))
    bridge = upload(core, "bridge", body_of(test, 0), group=f"g{train}")
    second = built(core, "2", [*uids, bridge], **CAREFUL)
    assert placed_in(core, second) == placed
    assert second.report["report"]["counts"] == {"split_conflict": 1}
    assert second.report["report"]["examples"] == {"split_conflict": [bridge]}


def test_lists_may_be_long_and_what_leaks_can_be_refused(core: Core) -> None:
    uids = [upload(core, f"a{n}", body_of(n), group="one scene") for n in range(4)]
    lists = {"test": uids[:1], "train": [f"{n:032x}" for n in range(5000)]}
    first = built(core, "1", uids, lists=lists)
    assert set(placed_in(core, first).values()) == {"test"}
    assert how_of(core, first)["named"] == 1
    # when two images of a scene are wanted in different splits
    torn = {"test": uids[:1], "val": uids[1:2]}
    made = core.services.curating.create("default", info("other", split={"lists": torn, "leaks": "refuse"}))
    core.services.curating.link("default", made.id, core.services.registering.annotation_ids("default", uids[0]))
    core.services.curating.link("default", made.id, core.services.registering.annotation_ids("default", uids[1]))
    found = run_build(core, core.services.building.request_build("default", made.id).id)
    # then the build says which ones
    assert not found["passed"]
    assert "2 images have neighbours in another split" in found["reason"]
    assert uids[0] in found["reason"]


def test_a_training_is_told_nothing_of_a_frozen_test_set(core: Core) -> None:
    # given a frozen test set, and a later version of another dataset with copies of its pictures
    uids = [upload(core, f"a{n}", body_of(n), split="test" if n < 3 else "train", device=f"cam-{n}") for n in range(8)]
    frozen = built(core, "1", uids)
    more = [upload(core, f"b{n}", body_of(n, 0), split="train", device=f"other-{n}") for n in range(8)]
    same_device = upload(core, "c", body_of(50), split="train", device="cam-1")
    inputs = core.services.job_inputs
    for number, split, expected in (
        ("2", {}, 0),
        ("3", {"near_duplicates": True, "stable": False, "leaks": "keep"}, 3),
        ("4", {"near_duplicates": True, "stable": False, "leaks": "keep", "group": ["extra.device", "extra.video"]}, 3),
    ):
        version = built(core, number, [*more, same_device], **split)
        # when a training is prepared
        inputs.for_training(f"jobs/{number}", version, frozen, {})
        # then what looks like one of the test set is held back, if the split of the version is careful
        assert json.loads(core.objects()[f"jobs/{number}/spec.json"])["held_back"] == expected
        rows = core.objects()[f"jobs/{number}/train.jsonl"].decode().splitlines()
        assert len(rows) == 9 - expected
        assert {json.loads(row)["uid"] for row in rows} <= {*more[0 if not expected else 3 :], same_device}
    # and a device of the test set is, where devices are groups of both
    by_device = built(core, "5", uids, group=["extra.device"], leaks="keep", stable=False)
    version = built(core, "6", [*more, same_device], group=["extra.device", "extra.video"], leaks="keep", stable=False)
    inputs.for_training("jobs/6", version, by_device, {})
    assert json.loads(core.objects()["jobs/6/spec.json"])["held_back"] == 1


def test_pictures_of_before_there_were_hashes_are_counted_and_can_get_one(core: Core) -> None:
    uids = [upload(core, f"a{n}", body_of(n)) for n in range(4)]
    upload_again = [upload(core, f"b{n}", body_of(n, 0)) for n in range(4)]
    for uid in uids:
        core.stores.raw_data._table.update(f"default|RAW#{uid}", remove=("phash",))
    before = built(core, "1", uids + upload_again, **CAREFUL)
    assert how_of(core, before)["unhashed"] == 4
    seen = core.services.registering.get("default", uids[0])
    assert seen.facts is not None and seen.facts.phash is None
    # when the sweep looks for them, and the queue is worked off
    core.services.keyring.create("default", "someone", ["read"])
    core.clock.move(days=1)
    assert handle(core, "housekeeping", {"source": "hashes"}) == {"pictures": 4}
    notes = core.messages(core.settings.ingest_queue_url)
    for _ in range(2):  # notes may come twice
        records = [{"messageId": str(number), "body": json.dumps(note)} for number, note in enumerate(notes)]
        assert handle(core, "ingest_object", {"Records": records}) == {"batchItemFailures": []}
    # then they have theirs, stay on their day, and a new dataset keeps copies together
    again = core.services.registering.get("default", uids[0])
    assert again.facts is not None and again.facts.phash is not None
    assert again == replace(seen, facts=replace(seen.facts, phash=again.facts.phash))
    assert handle(core, "housekeeping", {"source": "hashes", "day": "20261122"}) == {"pictures": 0}
    after = built(core, "2", uids + upload_again, **CAREFUL, stable=False)
    placed = placed_in(core, after)
    assert how_of(core, after)["unhashed"] == 0
    assert all(placed[uid] == placed[copy] for uid, copy in zip(uids, upload_again, strict=True))
