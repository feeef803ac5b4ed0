"""Retention policies: looked at by anybody, run once a day by housekeeping, through the same deletions as any other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from dataloop.domain.errors import LimitExceeded, NotFound
from dataloop.domain.models import Model
from dataloop.domain.retention import MAX_POLICIES, Policy, PolicyRun, changed_policy, make_policy
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository
from dataloop.repositories.retention import RetentionRepository
from dataloop.services.clock import Clock
from dataloop.services.erasing import ErasureService
from dataloop.services.erasure_copies import holds_any
from dataloop.services.searching import SearchService

# A run looks at no more files than this: the rest waits for the next day.
MAX_LOOKED_AT = 20_000
RUN_UIDS = 100
# Housekeeping comes every hour; a policy runs once a day, and a little clock skew must not skip a day.
RUN_EVERY = timedelta(hours=23)
PAGE = 200


class RetentionService:
    """A run is bounded and leaves a record; what it deletes has a receipt of its own."""

    def __init__(
        self,
        policies: RetentionRepository,
        searching: SearchService,
        erasing: ErasureService,
        datasets: DatasetRepository,
        models: ModelRepository,
        releases: ReleaseRepository,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._policies = policies
        self._searching = searching
        self._erasing = erasing
        self._datasets = datasets
        self._models = models
        self._releases = releases
        self._artifacts = artifacts
        self._clock = clock

    def create(self, tenant: str, body: object, policy_id: str | None = None) -> Policy:
        """Raises InvalidInput, Conflict (name taken), LimitExceeded."""
        policy = make_policy(tenant, policy_id or self._clock.new_id(), self._clock.text(), body)
        known = self._policies.all(tenant)
        if len(known) >= MAX_POLICIES and policy.id not in {each.id for each in known}:
            raise LimitExceeded("retention policies", MAX_POLICIES, len(known) + 1)
        return self._policies.create(policy)

    def get(self, tenant: str, policy_id: str) -> Policy:
        """Raises NotFound."""
        return self._policies.get(tenant, policy_id)

    def all(self, tenant: str) -> list[Policy]:
        """Newest first."""
        return self._policies.all(tenant)

    def runs(self, tenant: str, policy_id: str, limit: int = 30) -> list[PolicyRun]:
        """The newest runs. Raises NotFound."""
        self._policies.get(tenant, policy_id)
        return list(self._policies.runs(tenant, policy_id, limit))

    def change(self, tenant: str, policy_id: str, body: object) -> Policy:
        """Other conditions under the same name. Raises NotFound, InvalidInput."""
        policy = self._policies.get(tenant, policy_id)
        wanted = asdict(changed_policy(policy, body))
        names = ("where", "older_than_days", "spare", "limit", "enabled", "comment")
        return self._policies.change(policy, self._clock.text(), **{name: wanted[name] for name in names})

    def remove(self, tenant: str, policy_id: str) -> None:
        """Forget a policy; what it deleted stays deleted. Raises NotFound."""
        self._policies.remove(self._policies.get(tenant, policy_id))

    def dry_run(self, tenant: str, policy_id: str) -> PolicyRun:
        """What a run would delete now. Nothing is deleted or written. Raises NotFound."""
        return self._look(self._policies.get(tenant, policy_id))[0]

    def run_due(self, tenant: str) -> int:
        """Run every enabled policy that has not run today; how many ran. Called by housekeeping."""
        now, count = self._clock.now(), 0
        for policy in self._policies.all(tenant):
            is_due = policy.last_run_at is None or from_text(policy.last_run_at) <= now - RUN_EVERY
            if policy.enabled and is_due:
                self.run(policy)
                count += 1
        return count

    def run(self, policy: Policy) -> PolicyRun:
        """Delete what the policy says, at most `limit` files. A repeat after a crash asks for the same deletion."""
        found, uids = self._look(policy)
        deletion_id = None
        if uids:
            reason = f"retention policy {policy.name}: older than {policy.older_than_days} days"
            deletion, _ = self._erasing.request(policy.tenant, uids, reason, by="retention", policy_id=policy.id)
            deletion_id = deletion.id
        done = PolicyRun(**(asdict(found) | {"dry": False, "deletion_id": deletion_id}))
        self._policies.add_run(done)
        self._policies.change(policy, self._clock.text(), last_run_at=found.at)
        return done

    def _look(self, policy: Policy) -> tuple[PolicyRun, list[str]]:
        """(what matches, the uids to delete), oldest days last seen by the search; bounded by MAX_LOOKED_AT."""
        now = self._clock.now()
        cutoff = policy.cutoff(now)
        spared_by = self._sparing_prefixes(policy)
        uids: list[str] = []
        matched = spared = scanned = 0
        is_cut = False
        for hit in self._searching.every(policy.tenant, dict(policy.where)):
            scanned += 1
            if scanned > MAX_LOOKED_AT:
                is_cut = True
                break
            if hit.raw.first_seen is None or hit.raw.first_seen >= cutoff:
                continue
            matched += 1
            if any(holds_any(self._artifacts, prefix, (hit.raw.uid,)) for prefix in spared_by):
                spared += 1
                continue
            if len(uids) == policy.limit:
                is_cut = True
                break
            uids.append(hit.raw.uid)
        run = PolicyRun(
            policy.tenant,
            policy.id,
            self._clock.text(),
            True,
            matched,
            spared,
            tuple(uids[:RUN_UIDS]),
            is_cut,
            scanned=scanned,
            facts={"to_delete": len(uids)},
        )
        return run, uids

    def _sparing_prefixes(self, policy: Policy) -> list[str]:
        """Where the files of the versions lie whose images are spared."""
        if policy.spare == "nothing":
            return []
        if policy.spare == "versions":
            ids = self._version_ids(policy.tenant)
        else:
            models = self._released(policy.tenant) if policy.spare == "released" else self._trained(policy.tenant)
            ids = {str(named["version_id"]) for model in models for named in (model.dataset, model.test)}
        versions = (self._datasets.get_version(policy.tenant, id) for id in sorted(ids))
        return [str(version.manifest_prefix) for version in versions if version and version.manifest_prefix]

    def _version_ids(self, tenant: str) -> set[str]:
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page, cursor = self._datasets.list_versions(tenant, limit=PAGE, cursor=cursor)
            found |= {version.id for version in page}
            if cursor is None:
                return found

    def _trained(self, tenant: str) -> list[Model]:
        found: list[Model] = []
        cursor: str | None = None
        while True:
            page, cursor = self._models.page(tenant, limit=PAGE, cursor=cursor)
            found += [model for model in page if model.status in ("TRAINING", "COMPLETED")]
            if cursor is None:
                return found

    def _released(self, tenant: str) -> Iterable[Model]:
        """The models that release names stand for now."""
        names: set[str] = set()
        cursor: str | None = None
        while True:
            page, cursor = self._releases.page(tenant, limit=PAGE, cursor=cursor)
            names |= {release.name for release in page}
            if cursor is None:
                break
        for name in sorted(names):
            pointer = self._releases.pointer(tenant, name)
            if pointer is not None:
                try:
                    yield self._models.get(tenant, pointer.model_id)
                except NotFound:
                    continue
