"""API keys: make, check, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from dataloop.domain.errors import InvalidInput, Unauthenticated
from dataloop.domain.principals import SCOPES, TENANT, AccessKey, Principal, key_digest, key_text
from dataloop.repositories.access_keys import AccessKeyRepository
from dataloop.services.clock import Clock

ANONYMOUS = Principal("default", "anonymous", frozenset(SCOPES))


class KeyringService:
    """allow_anonymous lets requests without a key act for the default tenant; a wrong key is still refused."""

    def __init__(self, repository: AccessKeyRepository, clock: Clock, allow_anonymous: bool) -> None:
        self._repository = repository
        self._clock = clock
        self._allow_anonymous = allow_anonymous

    def create(
        self, tenant: object, name: object, scopes: object, expires_in_days: object = None
    ) -> tuple[AccessKey, str]:
        """(the stored key, the secret): the secret is shown this once. Raises InvalidInput."""
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise InvalidInput("tenant", "must be lower-case letters, digits and -", tenant)
        if not isinstance(name, str) or not 0 < len(name) <= 100:
            raise InvalidInput("name", "must be a text of 1 to 100 characters", name)
        if not isinstance(scopes, Sequence) or isinstance(scopes, str) or not scopes:
            raise InvalidInput("scopes", f"must be a list out of {', '.join(SCOPES)}", scopes)
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise InvalidInput("scopes", f"must be out of {', '.join(SCOPES)}", unknown[0])
        if expires_in_days is not None and (
            isinstance(expires_in_days, bool)
            or not isinstance(expires_in_days, int | float)
            or not 0 < expires_in_days <= 3650
        ):
            raise InvalidInput("expires_in_days", "must be a number above 0, at most 3650", expires_in_days)
        secret = key_text(self._clock.random(32))
        key = AccessKey(
            tenant=tenant,
            id=self._clock.new_id(),
            digest=key_digest(secret),
            name=name,
            scopes=tuple(sorted(set(scopes))),
            created_at=self._clock.text(),
            expires_at=self._clock.in_days(float(expires_in_days)) if expires_in_days else None,
        )
        self._repository.create(key)
        return key, secret

    def authenticate(self, secret: str | None) -> Principal:
        """Who calls? Raises Unauthenticated. 1 DynamoDB read."""
        if not secret:
            if self._allow_anonymous:
                return ANONYMOUS
            raise Unauthenticated
        key = self._repository.find(key_digest(secret))
        if key is None or key.revoked_at is not None:
            raise Unauthenticated("the API key is not valid")
        if key.expires_at is not None and key.expires_at <= self._clock.text():
            raise Unauthenticated(f"the API key expired on {key.expires_at}")
        return Principal(key.tenant, key.id, frozenset(key.scopes))

    def of_tenant(self, tenant: str) -> list[AccessKey]:
        """All keys of a tenant, without secrets."""
        return self._repository.of_tenant(tenant)

    def revoke(self, tenant: str, key_id: str) -> None:
        """Raises NotFound."""
        self._repository.revoke(tenant, key_id, self._clock.text())
