"""Retention policies and what their runs did."""

from __future__ import annotations

from collections.abc import Iterator

from dataloop.domain.errors import Conflict, NotFound
from dataloop.domain.retention import Policy, PolicyRun
from dataloop.repositories import keys
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed


class RetentionRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, policy: Policy) -> Policy:
        """Write a policy and its unique name. Raises Conflict(retention policy); the same id again returns what stands."""
        pk = keys.retention(policy.tenant, policy.id)
        order = f"{policy.created_at}#{policy.id}"
        item = to_item(policy, pk, keys.ROOT, g1pk=keys.retentions(policy.tenant), g1sk=order)
        name = {"pk": keys.unique(policy.tenant, "retention", policy.name), "sk": keys.ROOT, "id": policy.id}
        unless_exists = "attribute_not_exists(#pk)"
        try:
            self._table.transact([self._table.write("Put", item=one, condition=unless_exists) for one in (item, name)])
        except TransactionFailed as lost:
            stands = self._table.get(pk)
            if stands is None:
                raise Conflict("retention policy", policy.name) from lost
            return from_item(Policy, stands)
        return policy

    def get(self, tenant: str, policy_id: str) -> Policy:
        """S. Raises NotFound. 1 call."""
        item = self._table.get(keys.retention(tenant, policy_id))
        if item is None:
            raise NotFound("retention policy", policy_id)
        return from_item(Policy, item)

    def all(self, tenant: str) -> list[Policy]:
        """E. Newest first; there are at most MAX_POLICIES. 1 call."""
        page = self._table.query(keys.retentions(tenant), index=keys.BY_TIME, limit=1000, newest_first=True)
        return [from_item(Policy, item) for item in page.items]

    def change(self, policy: Policy, at: str, **changes: object) -> Policy:
        """Change fields. Raises NotFound when it was removed meanwhile. 1 call."""
        try:
            item = self._table.update(
                keys.retention(policy.tenant, policy.id),
                set={"updated_at": at, **changes},
                condition="attribute_exists(#pk)",
            )
        except ConditionFailed as lost:
            raise NotFound("retention policy", policy.id) from lost
        return from_item(Policy, item)

    def remove(self, policy: Policy) -> None:
        """Free the name, then delete the policy; what its runs did stays with their deletions. 2 calls."""
        self._table.delete(keys.unique(policy.tenant, "retention", policy.name))
        self._table.delete(keys.retention(policy.tenant, policy.id))

    def add_run(self, run: PolicyRun) -> None:
        """Write down what a run did; the same run again is the same item. 1 call."""
        self._table.put(to_item(run, keys.retention(run.tenant, run.policy_id), keys.retention_run(run.at)))

    def runs(self, tenant: str, policy_id: str, limit: int) -> Iterator[PolicyRun]:
        """S. The newest runs. 1 call."""
        pk = keys.retention(tenant, policy_id)
        page = self._table.query(pk, prefix=keys.retention_run(""), limit=limit, newest_first=True, consistent=True)
        return (from_item(PolicyRun, item, uids=tuple(item.get("uids", ()))) for item in page.items)
