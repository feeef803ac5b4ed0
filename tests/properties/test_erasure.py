"""Random uploads, labels, builds, crashes, late events and deletions: afterwards nothing of a deleted image is left.

The machine works over the whole core in one process. S3's clock is the test's own, so that what came before and after a
deletion is told apart as on AWS. Every step of a deletion may die before or after any of its AWS calls, and is repeated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, precondition, rule

from dataloop.domain.erasure import is_sealed
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.ids import uid_of
from dataloop.manifests.verifying import verify
from dataloop.services.registering import ObjectNotice
from tests.actions import info, label, meta, put, run_build, trained_model
from tests.core import ARTIFACTS, RAW, Core, account
from tests.erasing import part_keys, receipt_of, stopped_bucket_clock, traces
from tests.faults.injection import Death, Injector
from tests.pictures import picture

IMAGES = [picture() + bytes([number]) * 8 for number in range(6)]
KEYS = [f"d/{name}.jpg" for name in "abcd"]
images = st.integers(0, len(IMAGES) - 1)


class Erasure(RuleBasedStateMachine):
    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.core: Core = self.stack.enter_context(account())
        self.stack.enter_context(stopped_bucket_clock(self.core))
        self.uids = [put_uid(content) for content in IMAGES]
        self.notices: list[tuple[int, ObjectNotice]] = []  # every event that was ever sent; some come late or twice
        self.unheard: list[tuple[int, ObjectNotice]] = []
        self.ids: list[str] = []
        self.digests: dict[str, str] = {}
        self.deleted: set[int] = set()  # images whose last word is a finished deletion
        self.receipts: dict[str, set[str]] = {}
        self.drafts: list[str] = []
        self.building: dict[str, str] = {}  # version -> task of builds that stand between join and mark_ready
        self.repeatable: set[str] = set()  # versions since which nothing was said or seen but deletions
        self.sequence = 0

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            self.stack.close()

    @initialize()
    def some_images(self) -> None:
        for number in range(3):
            self.upload(number, KEYS[number % len(KEYS)], heard=True, announced=True)
            self.annotate([number], "cat")

    # What devices do.

    @rule(number=images, key=st.sampled_from(KEYS), heard=st.booleans(), announced=st.booleans())
    def upload(self, number: int, key: str, heard: bool, announced: bool) -> None:
        """announced: through POST /uploads, which reopens erased content; else straight into the bucket."""
        if announced:
            raw = self.core.stores.raw_data.get("default", self.uids[number])
            if raw is not None and raw.is_erased:
                self.core.stores.raw_data.reopen("default", self.uids[number], self.core.clock.text())
        self.core.clock.move(seconds=2)
        _, notice = put(self.core, key, IMAGES[number], uid=announced)
        self.sequence += 1
        notice = ObjectNotice(key, notice.version_id, f"{self.sequence:08X}")
        self.notices.append((number, notice))
        self.deleted.discard(number)
        self.repeatable.clear()
        if heard:
            self.hear(notice)
        else:
            self.unheard.append((number, notice))

    def hear(self, notice: ObjectNotice) -> None:
        self.repeatable.clear()
        self.core.again().registering.register_object(notice)
        self.complete_late_deletions()

    @rule(data=st.data())
    @precondition(lambda self: self.notices)
    def an_event_comes_again_or_late(self, data: st.DataObject) -> None:
        _, notice = data.draw(st.sampled_from(self.notices))
        self.unheard = [pair for pair in self.unheard if pair[1] != notice]
        self.hear(notice)

    @rule(number=images)
    def describe(self, number: int) -> None:
        self.repeatable.clear()
        with contextlib.suppress(IllegalTransition):
            self.core.again().registering.register_metadata("default", meta(self.uids[number], group="g"))

    @rule(numbers=st.lists(images, min_size=1, max_size=3, unique=True), name=st.sampled_from(["cat", "dog"]))
    def annotate(self, numbers: list[int], name: str) -> None:
        large = [{"label": name, "bbox_xyxy": [1, 1, 10, 10], "note": "x" * 70_000}] if name == "dog" else None
        more: dict[str, Any] = {"labelInfo": large} if large else {}
        try:
            made = self.core.again().annotating.register(
                "default", label(*(self.uids[n] for n in numbers), name=name, **more)
            )
        except IllegalTransition:
            assert any(number in self.deleted or self.is_erased(number) for number in numbers)
            return
        assert not any(self.is_erased(number) for number in numbers)
        self.ids.append(made.id)

    def is_erased(self, number: int) -> bool:
        raw = self.core.stores.raw_data.get("default", self.uids[number])
        return raw is not None and raw.is_erased

    # What curators do.

    def known_ids(self) -> list[str]:
        return sorted(self.core.stores.annotations.get_many("default", self.ids))

    def draft(self) -> str | None:
        ids = self.known_ids()
        if not ids:
            return None
        self.sequence += 1
        made = self.core.services.curating.create("default", info("animals", f"{self.sequence}"))
        self.core.services.curating.link("default", made.id, ids)
        return made.id

    @rule(target=versions)
    def build(self) -> Any:
        version_id = self.draft()
        if version_id is None:
            return multiple()
        run_build(self.core, self.core.services.building.request_build("default", version_id).id)
        version = self.core.services.curating.get("default", version_id)
        if version.status != "READY":
            return multiple()
        self.digests[version_id] = str(version.digest)
        self.repeatable.add(version_id)
        return version_id

    @rule()
    def begin_a_build(self) -> None:
        """… and stop before its last step."""
        version_id = self.draft()
        if version_id is None:
            return
        task = self.core.services.building.request_build("default", version_id)
        building = self.core.again().building
        plan = building.plan("default", task.id)
        for key in part_keys(self.core, plan):
            building.join("default", task.id, key)
        found = building.reduce("default", task.id)
        if found["passed"]:
            self.building[version_id] = task.id
        else:
            self.core.again().tasks.fail("default", task.id, "QualityGateFailed", found["reason"])

    @rule(target=versions)
    @precondition(lambda self: self.building)
    def end_a_build(self) -> str:
        version_id, task_id = self.building.popitem()
        self.core.again().building.mark_ready("default", task_id)
        version = self.core.services.curating.get("default", version_id)
        self.digests[version_id] = str(version.digest)
        for number in range(len(IMAGES)):
            if self.is_erased(number):
                assert not self.holds(version_id, number)
        return version_id

    def holds(self, version_id: str, number: int) -> bool:
        prefix = f"default/manifests/{version_id}/"
        rows = b"".join(
            body for key, body in self.core.objects().items() if key.startswith(prefix) and "tomb" not in key
        )
        return self.uids[number].encode() in rows

    @rule()
    def download_a_draft(self) -> None:
        version_id = self.draft()
        if version_id is not None:
            run_build(self.core, self.core.services.building.request_download("default", version_id).id)

    @rule(version_id=versions)
    def build_again(self, version_id: str) -> None:
        """The same bytes but for what was deleted: the digest stays what it was."""
        if version_id not in self.repeatable:
            return
        self.sequence += 1
        task = self.core.services.building.request_build(
            "default", version_id, task_id=self.core.clock.new_id(), parent_id="a-run"
        )
        run_build(self.core, task.id)
        assert self.core.services.tasks.read("default", task.id).status == "SUCCEEDED"

    @rule(version_id=versions)
    def train(self, version_id: str) -> None:
        model_id = trained_model(self.core, version_id)
        model = self.core.services.tracing.model("default", model_id)
        rows = [
            json.loads(line)
            for line in self.core.objects()[f"default/manifests/{version_id}/objects.jsonl"].splitlines()
        ]
        report = {"worst.json": json.dumps([{"uid": row["uid"]} for row in rows]).encode()}
        report["predictions.jsonl"] = b"".join(json.dumps({"uid": row["uid"]}).encode() + b"\n" for row in rows)
        for name, body in report.items():
            self.core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{model.report_prefix}/{name}", Body=body)

    @rule(number=images)
    def abandon_a_multipart_upload(self, number: int) -> None:
        begun = self.core.clients.s3.create_multipart_upload(Bucket=RAW, Key=KEYS[0])
        part = {"Bucket": RAW, "Key": KEYS[0], "UploadId": begun["UploadId"], "PartNumber": 1}
        self.core.clients.s3.upload_part(Body=IMAGES[number], **part)

    # Deletion.

    @rule(numbers=st.lists(images, min_size=1, max_size=3, unique=True), data=st.data())
    def delete(self, numbers: list[int], data: st.DataObject) -> None:
        self.core.clock.move(seconds=2)
        uids = [self.uids[number] for number in numbers]
        try:
            deletion, task = self.core.again().erasing.request("default", uids, "a property test")
        except NotFound:
            return
        again, _ = self.core.again().erasing.request("default", uids, "a property test")
        assert again.id == deletion.id
        if not task.is_ended:  # all of them were deleted before: the answer is that deletion
            self.run(task.id, data)
        done = self.core.again().erasing.get("default", deletion.id)
        assert done.status == "DONE"
        self.receipts[deletion.id] = set(json.loads(self.core.objects()[f"{deletion.prefix}/request.json"])["uids"])
        self.deleted |= {number for number in numbers if self.is_erased(number)}
        self.check()

    def run(self, task_id: str, data: st.DataObject | None = None) -> None:
        """The machine's states, each of which may die somewhere and is then repeated."""
        for version_id in list(self.building):
            self.end_a_build_quietly(version_id)
        self.step(lambda: self.core.again().erasure_steps.plan("default", task_id), data)
        plan = self.core.again().erasure_steps.plan("default", task_id)
        for key in part_keys(self.core, plan):
            self.step(lambda key=key: self.core.again().erasure_steps.erase("default", task_id, key), data)
        self.core.clock.move(seconds=40)
        second = self.core.again().erasure_steps.settle("default", task_id)
        for key in part_keys(self.core, second):
            self.step(lambda key=key: self.core.again().erasure_steps.erase("default", task_id, key), data)
        self.step(lambda: self.core.again().erasure_steps.mark("default", task_id), data)

    def end_a_build_quietly(self, version_id: str) -> None:
        """The deletion waits for builds; here they end between its mark and its second pass."""
        task_id = self.building.pop(version_id)
        self.core.again().building.mark_ready("default", task_id)
        self.digests[version_id] = str(self.core.services.curating.get("default", version_id).digest)

    def step(self, call: Any, data: st.DataObject | None) -> None:
        if data is not None and data.draw(st.integers(0, 3), label="dies?") == 0:
            at = data.draw(st.integers(0, 25), label="at call")
            fault = data.draw(st.sampled_from(["death before", "death after"]))
            with Injector(self.core, at, fault), contextlib.suppress(Death):
                call()
        call()

    def complete_late_deletions(self) -> None:
        """What Step Functions does with the deletions that late copies start."""
        erasing = self.core.again().erasing
        deletions, _ = erasing.page("default", 100, None)
        for deletion in deletions:
            if deletion.status != "DONE":
                self.run(deletion.task_id)

    # What must hold whenever no deletion is under way.

    def check(self) -> None:
        self.nothing_of_a_deleted_image_is_left()
        self.versions_prove_their_digests()
        self.receipts_are_whole()

    def nothing_of_a_deleted_image_is_left(self) -> None:
        waiting = {number for number, _ in self.unheard}
        for number in self.deleted - waiting:
            if self.is_erased(number):
                assert traces(self.core, self.uids[number], IMAGES[number]) == []

    def versions_prove_their_digests(self) -> None:
        for version_id, digest in self.digests.items():
            with tempfile.TemporaryDirectory() as name:
                prefix = f"default/manifests/{version_id}/"
                for key, body in self.core.objects().items():
                    if key.startswith(prefix):
                        Path(name, key.removeprefix(prefix)).write_bytes(body)
                verdict = verify(Path(name))
            assert verdict.problems == []
            assert verdict.digest == digest

    def receipts_are_whole(self) -> None:
        for deletion_id, uids in self.receipts.items():
            receipt = receipt_of(self.core, deletion_id)
            assert is_sealed(receipt)
            assert set(receipt["images"]) == uids
            assert receipt["verified"]["records"] == len(uids)
            assert receipt["verified"]["object_versions"] == len(receipt["removed"]["object_versions"])
            for version in receipt["removed"]["versions"]:
                assert version["digest_before"] == version["digest_after"]


def put_uid(content: bytes) -> str:
    return uid_of(hashlib.sha256(content).hexdigest())


Erasure.TestCase.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestErasure = Erasure.TestCase
