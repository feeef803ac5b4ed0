"""API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ankerautotrainsdk.errors import InvalidInput
from ankerautotrainsdk.operations.base import Calls, without_none
from ankerautotrainsdk.results import KeyResult, Page, Record
from ankerautotrainsdk.transport import path as route


class KeyCalls(Calls):
    """Calls about API keys; all need the scope `admin`."""

    def create_key(
        self,
        name: str,
        scopes: Sequence[str] = ("read", "write"),
        *,
        expires_in_days: int | None = None,
        residency: Mapping[str, Any] | None = None,
        signing: bool | None = None,
        projects: Sequence[str] | None = None,
    ) -> KeyResult:
        """Make an API key; the answer shows it this one time.

        scopes: of read, write, train, release, admin. residency: {"regions": […], "max_security_level": …}, the only data
        the key may touch. signing: make a pair for clients that sign their requests: the
        answer's access_key_id and, as `key`, the secret access key. projects: project ids that those clients name in
        their paths. Raises InvalidInput, Forbidden.
        """
        if isinstance(scopes, str):
            raise InvalidInput("scopes must be a list", details={"field": "scopes"})
        body = without_none(
            name=name, scopes=list(scopes), expires_in_days=expires_in_days, residency=residency, signing=signing
        )
        if projects is not None:
            body["projects"] = list(projects)
        return KeyResult(self._transport.post_once("/keys", body))

    def list_keys(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """The keys of this tenant, without their secrets."""
        return self._page("/keys", Record, limit=limit, cursor=cursor)

    def revoke_key(self, key_id: str) -> None:
        """Make a key useless from now on. Raises NotFound."""
        self._transport.delete(route("keys", key_id))
