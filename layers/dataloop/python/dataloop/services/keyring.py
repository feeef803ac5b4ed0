"""API keys: make, check, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from dataloop.domain import signing
from dataloop.domain.errors import InvalidInput, Unauthenticated
from dataloop.domain.principals import (
    MAX_PROJECTS,
    PROJECT,
    SCOPES,
    TENANT,
    AccessKey,
    Principal,
    key_digest,
    key_text,
)
from dataloop.domain.residency import Residency
from dataloop.gateways.secrets import Secret
from dataloop.repositories.access_keys import AccessKeyRepository
from dataloop.services.clock import Clock


class KeyringService:
    """allow_anonymous lets requests without a key act for the default tenant; a wrong key is still refused.

    A key's clearance is its own restriction within the deployment's.
    """

    def __init__(
        self,
        repository: AccessKeyRepository,
        clock: Clock,
        allow_anonymous: bool,
        residency: Residency,
        signing_root: Secret,
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._allow_anonymous = allow_anonymous
        self._residency = residency
        self._signing_root = signing_root

    def create(
        self,
        tenant: object,
        name: object,
        scopes: object,
        expires_in_days: object = None,
        residency: object = None,
        *,
        projects: object = None,
        signs: object = False,
    ) -> tuple[AccessKey, str]:
        """(the stored key, the secret): the secret is shown this once. Raises InvalidInput.

        projects: up to 100 project ids that its holder may name; none means the tenant's own name.
        signs: make a key whose holder signs requests: the key has an access_key_id, and the secret is the secret
        access key. Raises Unavailable where the deployment has no root for those.
        """
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise InvalidInput("tenant", "must be lower-case letters, digits and -", tenant)
        if not isinstance(name, str) or not 0 < len(name) <= 100:
            raise InvalidInput("name", "must be a text of 1 to 100 characters", name)
        if not isinstance(signs, bool):
            raise InvalidInput("signing", "must be true or false", signs)
        expires_at = self._expiry(expires_in_days)
        access_key_id = signing.access_key_id(self._clock.random(signing.ID_RANDOMNESS)) if signs else None
        if access_key_id:
            secret = signing.secret_access_key(self._signing_root.value(), access_key_id)
        else:
            secret = key_text(self._clock.random(32))
        key = AccessKey(
            tenant=tenant,
            id=self._clock.new_id(),
            digest=signing.place_of(access_key_id) if access_key_id else key_digest(secret),
            name=name,
            scopes=_checked_scopes(scopes),
            created_at=self._clock.text(),
            expires_at=expires_at,
            residency=self._residency.check(residency, "residency"),
            access_key_id=access_key_id,
            projects=_checked_projects(projects),
        )
        self._repository.create(key)
        return key, secret

    def _expiry(self, days: object) -> str | None:
        if days is None:
            return None
        if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= 3650:
            raise InvalidInput("expires_in_days", "must be a number above 0, at most 3650", days)
        return self._clock.in_days(float(days))

    def authenticate(self, secret: str | None) -> Principal:
        """Who calls? Raises Unauthenticated. 1 DynamoDB read."""
        if not secret:
            if self._allow_anonymous:
                return Principal("default", "anonymous", frozenset(SCOPES), self._residency.deployment)
            raise Unauthenticated
        return self._holder(self._repository.find(key_digest(secret)), "the API key is not valid")

    def authenticate_signature(self, access_key_id: str, message: bytes, signature: str) -> Principal:
        """Who signed this message? Raises Unauthenticated, which never says what of it was wrong. 1 DynamoDB read.

        The first call of a function also reads the root. An unknown id costs what a wrong signature costs.
        """
        refusal = "the access key is not known or the signature is not the request's"
        secret = signing.secret_access_key(self._signing_root.value(), access_key_id)
        is_signed = signing.is_signature_of(secret, message, signature)
        is_id = signing.ACCESS_KEY_ID.fullmatch(access_key_id) is not None
        key = self._repository.find(signing.place_of(access_key_id)) if is_id else None
        return self._holder(key if is_signed else None, refusal)

    def _holder(self, key: AccessKey | None, refusal: str) -> Principal:
        if key is None or key.revoked_at is not None:
            raise Unauthenticated(refusal)
        if key.expires_at is not None and key.expires_at <= self._clock.text():
            raise Unauthenticated(f"the API key expired on {key.expires_at}")
        clearance = self._residency.clearance(key.residency)
        return Principal(key.tenant, key.id, frozenset(key.scopes), clearance, frozenset(key.projects))

    def of_tenant(self, tenant: str) -> list[AccessKey]:
        """All keys of a tenant, without secrets."""
        return self._repository.of_tenant(tenant)

    def revoke(self, tenant: str, key_id: str) -> None:
        """Raises NotFound."""
        self._repository.revoke(tenant, key_id, self._clock.text())


def _checked_scopes(scopes: object) -> tuple[str, ...]:
    if not isinstance(scopes, Sequence) or isinstance(scopes, str) or not scopes:
        raise InvalidInput("scopes", f"must be a list out of {', '.join(SCOPES)}", scopes)
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise InvalidInput("scopes", f"must be out of {', '.join(SCOPES)}", unknown[0])
    return tuple(sorted(set(scopes)))


def _checked_projects(projects: object) -> tuple[str, ...]:
    if projects is None:
        return ()
    if not isinstance(projects, Sequence) or isinstance(projects, str):
        raise InvalidInput("projects", "must be a list of project ids", projects)
    if len(projects) > MAX_PROJECTS:
        raise InvalidInput("projects", f"must be at most {MAX_PROJECTS} project ids", len(projects))
    for project in projects:
        if not isinstance(project, str) or not PROJECT.fullmatch(project):
            raise InvalidInput("projects", "must be 1 to 64 letters, digits, _ and -", project)
    return tuple(sorted(set(projects)))
