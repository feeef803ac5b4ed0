"""Iterations of projects: who trains now, what came of it, what is published.

One item a project, TRAINING, says which iteration trains now and which number was the last: it changes only together
with the iteration, so that a project has one training at a time and no lock outlives its owner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dataloop.domain.errors import Conflict, IllegalTransition, NotFound, Throttled
from dataloop.domain.projects import Iteration
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed, Write

UNLESS_EXISTS = "attribute_not_exists(#pk)"
IF_MINE = "attribute_not_exists(#pk) OR #id = :mine"
# Two people who publish at once: the later one looks again.
ATTEMPTS = 5


class IterationRepository:
    """All reads are strongly consistent (S): a project has twenty iterations at most."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, iteration: Iteration) -> Iteration:
        """Write an iteration that trains from now on. The same id again returns what stands.

        Raises NotFound(project), IllegalTransition(running training), Conflict (iteration: the name is taken; iteration
        number: it was given out meanwhile). Cost: 1 transaction of 14 WRU.
        """
        tenant, project_id = iteration.tenant, iteration.project_id
        pk = keys.project(tenant, project_id)
        writes = [
            self._table.write("Put", item=_item(iteration), condition=UNLESS_EXISTS),
            self._table.write(
                "Update",
                pk=pk,
                sk=keys.TRAINING,
                set={"tenant": tenant, "iteration_id": iteration.id, "number": iteration.number},
                condition="attribute_not_exists(#iteration_id) AND (attribute_not_exists(#number) OR #number < :next)",
                next=iteration.number,
            ),
            self._name(iteration, iteration.name),
            self._table.write("ConditionCheck", pk=pk, condition="NOT #status = :leaving", leaving="DELETING"),
        ]
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = self.find(tenant, project_id, iteration.id)
            if stands is not None:
                return stands
            if 3 in lost.failed:
                raise NotFound("project", project_id) from lost
            if 1 in lost.failed:
                busy = lost.failed[1].get("iteration_id")
                if busy:
                    raise IllegalTransition("running training", project_id, f"training as {busy}", "training") from lost
                raise Conflict("iteration number", str(iteration.number)) from lost
            raise Conflict("iteration", iteration.name) from lost
        return iteration

    def running(self, tenant: str, project_id: str) -> tuple[str | None, int]:
        """S. (the iteration that trains now or None, the last number). 1 call."""
        item = self._table.get(keys.project(tenant, project_id), keys.TRAINING) or {}
        return item.get("iteration_id"), int(item.get("number", 0))

    def find(self, tenant: str, project_id: str, iteration_id: str) -> Iteration | None:
        """S. Also one that is being deleted. 1 call."""
        item = self._table.get(keys.project(tenant, project_id), keys.iteration(iteration_id))
        return _iteration(item) if item else None

    def of_project(self, tenant: str, project_id: str) -> list[Iteration]:
        """S. By number, also those being deleted. 1 call per megabyte."""
        items = self._table.query_all(keys.project(tenant, project_id), prefix="ITER#", consistent=True)
        return sorted(map(_iteration, items), key=lambda iteration: iteration.number)

    def note(self, iteration: Iteration, at: str, **changes: object) -> Iteration:
        """Keep facts of an iteration that trains. Raises NotFound, IllegalTransition. 1 call."""
        try:
            item = self._table.update(
                keys.project(iteration.tenant, iteration.project_id),
                keys.iteration(iteration.id),
                set={"updated_at": at} | changes,
                condition="#status = :training",
                training="TRAINING",
            )
        except ConditionFailed as lost:
            raise _lost(iteration, lost.item, "training") from lost
        return _iteration(item)

    def end(self, iteration: Iteration, status: str, at: str, **changes: object) -> Iteration:
        """The training is over: COMPLETED or FAILED, and the project may train again, both or none.

        Having ended so is no error. Raises NotFound, IllegalTransition. 2 reads, 1 transaction of 4 WRU.
        """
        for _ in range(ATTEMPTS):
            stands = self._stands(iteration)
            if stands.status != "TRAINING":
                break
            values = {"status": status, "updated_at": at} | changes
            try:
                self._table.transact([self._change(stands, values), self._free(stands)])
            except TransactionFailed:
                continue  # renamed meanwhile, or ended by another
        else:
            raise Throttled("the iteration keeps changing")
        if stands.status != status:
            raise IllegalTransition("iteration", iteration.id, stands.status, status)
        return stands

    def rename(self, iteration: Iteration, name: str, at: str) -> Iteration:
        """Raises Conflict(iteration), NotFound, Throttled (changed meanwhile). 1 transaction, 12 WRU."""
        writes = [self._change(iteration, {"name": name, "updated_at": at})]
        if name != iteration.name:
            writes += [
                self._name(iteration, name),
                self._forget(self._name_key(iteration, iteration.name), iteration.id),
            ]
        self._commit(writes, iteration, Conflict("iteration", name))
        return replace(iteration, name=name, updated_at=at, revision=iteration.revision + 1)

    def publish(self, iteration: Iteration, published: dict[str, str], at: str, other: Iteration | None) -> Iteration:
        """Let a name stand for an iteration; `other` loses it. One transaction: the name never stands for none.

        Raises Conflict(published name) when somebody else has it, NotFound, Throttled. 4 to 16 WRU.
        """
        key = self._published_key(iteration, published["name"])
        owner = other.id if other else iteration.id
        item = {"pk": key, "sk": keys.ROOT, "id": iteration.id}
        writes = [
            self._change(iteration, {"published": published, "updated_at": at}),
            self._table.write("Put", item=item, condition=f"{IF_MINE} OR #id = :owner", mine=iteration.id, owner=owner),
        ]
        before = iteration.published.get("name")
        if before and before != published["name"]:
            writes.append(self._forget(self._published_key(iteration, before), iteration.id))
        if other is not None:
            writes.append(self._change(other, {"published": {}, "updated_at": at}))
        self._commit(writes, iteration, Conflict("published name", published["name"]))
        return replace(iteration, published=published, updated_at=at, revision=iteration.revision + 1)

    def unpublish(self, iteration: Iteration, at: str) -> Iteration:
        """Free the name. Raises NotFound, Throttled. 1 transaction, 6 WRU."""
        name = iteration.published["name"]
        writes = [
            self._change(iteration, {"published": {}, "updated_at": at}),
            self._forget(self._published_key(iteration, name), iteration.id),
        ]
        self._commit(writes, iteration, Throttled("the iteration was changed meanwhile: read it again"))
        return replace(iteration, published={}, updated_at=at, revision=iteration.revision + 1)

    def published(self, tenant: str, project_id: str, name: str) -> Iteration | None:
        """S. What a published name stands for. 2 calls."""
        found = self._table.get(keys.unique(tenant, "publish", project_id, name))
        return self.find(tenant, project_id, found["id"]) if found else None

    def begin_deletion(self, iteration: Iteration, at: str) -> Iteration:
        """DELETING: it looks gone, its name is free, and the project may train again if it was this that did.

        Raises NotFound, Throttled (changed meanwhile). 1 transaction, up to 12 WRU.
        """
        writes = [
            self._change(iteration, {"status": "DELETING", "updated_at": at}),
            self._forget(self._name_key(iteration, iteration.name), iteration.id),
        ]
        if iteration.status == "TRAINING":
            writes.append(self._free(iteration))
        self._commit(writes, iteration, Throttled("the iteration was changed meanwhile: read it again"))
        return replace(iteration, status="DELETING", updated_at=at, revision=iteration.revision + 1)

    def end_deletion(self, iteration: Iteration) -> None:
        """Remove the row, when nothing else of it is left. Again is no error. 1 call."""
        pk, sk = keys.project(iteration.tenant, iteration.project_id), keys.iteration(iteration.id)
        condition = "attribute_not_exists(#pk) OR #status = :leaving"
        try:
            self._table.delete(pk, sk, condition=condition, leaving="DELETING")
        except ConditionFailed as lost:
            raise _lost(iteration, lost.item, "removing") from lost

    def forget(self, tenant: str, project_id: str) -> None:
        """Every trace of the iterations of a project that is being deleted. Repeatable. 3 calls an iteration, 1 more."""
        pk = keys.project(tenant, project_id)
        for iteration in self.of_project(tenant, project_id):
            self._table.delete(self._name_key(iteration, iteration.name))
            if iteration.published:
                self._table.delete(self._published_key(iteration, iteration.published["name"]))
            self._table.delete(pk, keys.iteration(iteration.id))
        self._table.delete(pk, keys.TRAINING)

    def _stands(self, iteration: Iteration) -> Iteration:
        found = self.find(iteration.tenant, iteration.project_id, iteration.id)
        if found is None:
            raise NotFound("iteration", iteration.id)
        return found

    def _free(self, iteration: Iteration) -> Write:
        return self._table.write(
            "Update",
            pk=keys.project(iteration.tenant, iteration.project_id),
            sk=keys.TRAINING,
            remove=["iteration_id"],
            condition="attribute_not_exists(#iteration_id) OR #iteration_id = :mine",
            mine=iteration.id,
        )

    def _change(self, iteration: Iteration, values: dict[str, Any]) -> Write:
        return self._table.write(
            "Update",
            pk=keys.project(iteration.tenant, iteration.project_id),
            sk=keys.iteration(iteration.id),
            set=values | {"revision": iteration.revision + 1},
            condition="#revision = :seen AND NOT #status = :leaving",
            seen=iteration.revision,
            leaving="DELETING",
        )

    def _commit(self, writes: list[Write], iteration: Iteration, taken: Exception) -> None:
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = lost.failed.get(0)
            if stands is not None and (not stands or stands["status"] == "DELETING"):
                raise NotFound("iteration", iteration.id) from lost
            if stands is None and 1 in lost.failed:
                raise taken from lost
            raise Throttled("the iteration was changed meanwhile: read it again") from lost

    @staticmethod
    def _name_key(iteration: Iteration, name: str) -> str:
        return keys.unique(iteration.tenant, "iteration", iteration.project_id, name)

    @staticmethod
    def _published_key(iteration: Iteration, name: str) -> str:
        return keys.unique(iteration.tenant, "publish", iteration.project_id, name)

    def _name(self, iteration: Iteration, name: str) -> Write:
        item = {"pk": self._name_key(iteration, name), "sk": keys.ROOT, "id": iteration.id}
        return self._table.write("Put", item=item, condition=IF_MINE, mine=iteration.id)

    def _forget(self, key: str, id: str) -> Write:
        return self._table.write("Delete", pk=key, condition=IF_MINE, mine=id)


def _item(iteration: Iteration) -> Item:
    return to_item(iteration, keys.project(iteration.tenant, iteration.project_id), keys.iteration(iteration.id))


def _iteration(item: Item) -> Iteration:
    return from_item(Iteration, item, tags=tuple(item.get("tags", ())))


def _lost(iteration: Iteration, stands: Item, wanted: str) -> Exception:
    if not stands:
        return NotFound("iteration", iteration.id)
    return IllegalTransition("iteration", iteration.id, stands["status"], wanted)
