"""Keys that sign requests, and keys that name project ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataloop.domain import signing
from dataloop.domain.errors import InvalidInput, Unauthenticated, Unavailable
from tests.core import Core, account


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as made:
        yield made


def pair(core: Core, **wish: Any) -> tuple[str, str, str]:
    """(key id, access key id, secret access key)."""
    key, secret = core.services.keyring.create("acme", "k", ["read"], signs=True, **wish)
    assert key.access_key_id is not None
    return key.id, key.access_key_id, secret


def test_whoever_knows_the_secret_is_who_he_says(core: Core) -> None:
    key_id, access_key_id, secret = pair(core, projects=["p2", "p1"])

    message = b"anything"
    caller = core.again().keyring.authenticate_signature(access_key_id, message, signing.signature(secret, message))

    assert (caller.tenant, caller.key_id, caller.scopes) == ("acme", key_id, frozenset({"read"}))
    assert caller.projects == frozenset({"p1", "p2"})


def test_a_wrong_signature_and_an_unknown_id_look_alike(core: Core) -> None:
    _, access_key_id, secret = pair(core)
    unknown = signing.access_key_id(b"0123456789")
    root = core.stores.signing_root.value()

    refusals = set()
    for id, message, signature in (
        (access_key_id, b"m", signing.signature(secret, b"another")),
        (access_key_id, b"m", ""),
        (access_key_id, b"m", "é" * 64),
        (unknown, b"m", signing.signature(signing.secret_access_key(root, unknown), b"m")),
        ("id:" + access_key_id, b"m", signing.signature(secret, b"m")),
        ("", b"m", signing.signature(secret, b"m")),
    ):
        with pytest.raises(Unauthenticated) as caught:
            core.services.keyring.authenticate_signature(id, message, signature)
        refusals.add(str(caught.value))

    assert len(refusals) == 1


def test_a_pair_expires_and_is_revoked_like_any_key(core: Core) -> None:
    _, access_key_id, secret = pair(core, expires_in_days=1)
    signature = signing.signature(secret, b"m")
    core.services.keyring.authenticate_signature(access_key_id, b"m", signature)

    core.clock.move(days=2)

    with pytest.raises(Unauthenticated, match="expired"):
        core.services.keyring.authenticate_signature(access_key_id, b"m", signature)


def test_pairs_differ_and_follow_from_the_root(core: Core) -> None:
    _, first_id, first = pair(core)
    _, second_id, second = pair(core)
    root = core.stores.signing_root.value()

    assert first_id != second_id
    assert len({first, second}) == 2
    assert signing.secret_access_key(root, first_id) == first
    assert signing.ACCESS_KEY_ID.fullmatch(first_id)


def test_the_root_is_read_once(core: Core) -> None:
    _, access_key_id, secret = pair(core)
    services = core.again()
    core.clients.calls.clear()

    for _ in range(3):
        services.keyring.authenticate_signature(access_key_id, b"m", signing.signature(secret, b"m"))

    assert core.clients.of("secretsmanager").total() == 1


def test_a_deployment_without_a_root_makes_no_pairs() -> None:
    with account(signing_secret="") as core:
        with pytest.raises(Unavailable, match="no secret"):
            core.services.keyring.create("acme", "k", ["read"], signs=True)
        assert core.services.keyring.of_tenant("acme") == []
        core.services.keyring.create("acme", "k", ["read"])


def test_a_root_that_cannot_be_read_is_trouble_of_ours() -> None:
    with account(signing_secret="missing") as core, pytest.raises(Unavailable, match="Secrets Manager"):
        core.services.keyring.create("acme", "k", ["read"], signs=True)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"signs": "yes"}, "signing"),
        ({"projects": "p"}, "projects"),
        ({"projects": [""]}, "projects"),
        ({"projects": ["a b"]}, "projects"),
        ({"projects": ["x" * 65]}, "projects"),
        ({"projects": [5]}, "projects"),
        ({"projects": [f"p{n}" for n in range(101)]}, "projects"),
    ],
)
def test_bad_wishes_make_no_key(core: Core, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.keyring.create("acme", "k", ["read"], **wish)

    assert caught.value.field == field
    assert core.services.keyring.of_tenant("acme") == []


def test_which_project_a_key_serves(core: Core) -> None:
    _, plain = core.services.keyring.create("acme", "k", ["read"])
    _, listed = core.services.keyring.create("acme", "k", ["read"], projects=["p1"])
    without, named = (core.services.keyring.authenticate(secret) for secret in (plain, listed))

    assert [without.serves(project) for project in ("acme", "p1", "")] == [True, False, False]
    assert [named.serves(project) for project in ("acme", "p1", "p2")] == [False, True, False]
