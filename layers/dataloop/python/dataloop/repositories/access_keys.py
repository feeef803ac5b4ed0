"""API keys, found by digest; and the list of tenants, which grows with the first key of each."""

from __future__ import annotations

from dataloop.domain.errors import NotFound
from dataloop.domain.principals import AccessKey
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import Table


class AccessKeyRepository:
    """The secret is never here, only its digest."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, key: AccessKey) -> None:
        """Write a key and name its tenant. 2 calls."""
        self._table.put({"pk": keys.tenants(), "sk": key.tenant})
        self._table.put(
            to_item(
                key,
                keys.access_key(key.digest),
                keys.ROOT,
                g1pk=keys.access_keys(key.tenant),
                g1sk=f"{key.created_at}#{key.id}",
            )
        )

    def find(self, digest: str) -> AccessKey | None:
        """S. 1 call."""
        item = self._table.get(keys.access_key(digest))
        return _key(item) if item else None

    def of_tenant(self, tenant: str) -> list[AccessKey]:
        """E. A tenant's keys, oldest first."""
        return [_key(item) for item in self._table.query_all(keys.access_keys(tenant), index=keys.BY_TIME)]

    def revoke(self, tenant: str, key_id: str, at: str) -> None:
        """Raises NotFound. The key fails from the next request on."""
        key = next((key for key in self.of_tenant(tenant) if key.id == key_id), None)
        if key is None:
            raise NotFound("key", key_id)
        self._table.update(keys.access_key(key.digest), set={"revoked_at": at}, condition="attribute_exists(#pk)")

    def tenants(self) -> list[str]:
        """S. Every tenant that ever had a key, and `default`."""
        found = {item["sk"] for item in self._table.query_all(keys.tenants(), consistent=True)}
        return sorted(found | {"default"})


def _key(item: Item) -> AccessKey:
    return from_item(AccessKey, item, scopes=tuple(item["scopes"]), projects=tuple(item.get("projects", ())))
