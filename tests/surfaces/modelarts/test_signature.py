"""AK/SK signatures: what Huawei's signer makes is accepted, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_modelarts import signature
from dataloop.domain import signing
from dataloop.domain.errors import Unauthenticated
from tests.core import Core, account
from tests.handlers import handle
from tests.surfaces.modelarts.requests import PROJECT, event
from tests.surfaces.modelarts.signed import Signed, sign

LIST = f"/v2/{PROJECT}/datasets"


@pytest.fixture(scope="module")
def core() -> Iterator[Core]:
    with account() as made:
        yield made


@pytest.fixture(scope="module")
def pair(core: Core) -> tuple[str, str]:
    key, secret = core.services.keyring.create("default", "ak", ["read", "write"], projects=[PROJECT], signs=True)
    assert key.access_key_id is not None
    return key.access_key_id, secret


def send(core: Core, request: Signed) -> tuple[int, str, str]:
    """(status, error code, message)."""

    answer = handle(
        core,
        "api_modelarts",
        event(request.method, request.path, request.query, request.headers, request.body.decode() or None),
    )
    body: dict[str, Any] = json.loads(answer["body"])
    return answer["statusCode"], body.get("error_code", ""), body.get("error_msg", "")


def test_a_request_that_huaweis_signer_signed_is_answered(core: Core, pair: tuple[str, str]) -> None:
    query: list[tuple[str, object]] = [("limit", 10), ("search_content", "a b/ü~+&=%"), ("file_preview", True)]
    request = sign(*pair, "GET", LIST, core.clock.moment, query=query, user_agent="huaweicloud-usdk-python/3.0")

    assert send(core, request)[0] == 200


def test_a_body_is_signed_too(core: Core, pair: tuple[str, str]) -> None:
    body = '{"dataset_name": "signed", "dataset_type": 100, "description": "größer"}'.encode()
    request = sign(*pair, "POST", LIST, core.clock.moment, body=body)

    assert send(core, replace(request, body=body.replace(b"signed", b"forged")))[:2] == (401, "APIGW.0301")
    assert send(core, request)[0] == 201


def _other(request: Signed, **headers: str) -> Signed:
    return replace(request, headers={**request.headers, **headers})


FORGERIES = {
    "another path": lambda r: replace(r, path=f"/v2/{'f' * 32}/datasets"),
    "another query": lambda r: replace(r, query="limit=100"),
    "another method": lambda r: replace(r, method="POST"),
    "another host": lambda r: _other(r, host="elsewhere.example.com"),
    "another date": lambda r: _other(r, **{"x-sdk-date": "20261122T120001Z"}),
    "another signed header": lambda r: _other(r, **{"content-type": "text/plain"}),
    "another key id": lambda r: _other(r, authorization=r.headers["authorization"].replace("DLAK", "DLAK2")),
    "one digit of the signature": lambda r: _other(
        r, authorization=r.headers["authorization"][:-1] + ("0" if r.headers["authorization"][-1] != "0" else "1")
    ),
    "no signature": lambda r: _other(r, authorization=r.headers["authorization"].split(", Signature")[0]),
    "an empty signature": lambda r: _other(r, authorization=r.headers["authorization"].rpartition("=")[0] + "="),
    "a date that is not signed": lambda r: _other(
        r, authorization=r.headers["authorization"].replace(";x-sdk-date", "")
    ),
    "a host that is not signed": lambda r: _other(r, authorization=r.headers["authorization"].replace(";host", "")),
    "a signed header that was not sent": lambda r: replace(
        r, headers={name: value for name, value in r.headers.items() if name != "content-type"}
    ),
    "another algorithm": lambda r: _other(
        r, authorization=r.headers["authorization"].replace("SDK-HMAC-SHA256", "SDK-HMAC-SM3")
    ),
    "an algorithm nobody knows": lambda r: _other(r, authorization="SDK-NONE Access=a, SignedHeaders=b, Signature=c"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_request_is_refused(core: Core, pair: tuple[str, str], forgery: str) -> None:
    request = sign(*pair, "GET", LIST, core.clock.moment)

    status, code, message = send(core, FORGERIES[forgery](request))

    assert (status, code) == (401, "APIGW.0301")
    assert message.startswith("Incorrect IAM authentication information: ")


@pytest.mark.parametrize("minutes", [-16, 16, 60 * 24 * 365])
def test_a_stale_date_is_refused(core: Core, pair: tuple[str, str], minutes: int) -> None:
    request = sign(*pair, "GET", LIST, core.clock.moment + timedelta(minutes=minutes))

    status, _, message = send(core, request)

    assert status == 401
    assert "15 minutes" in message


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_minutes_off_is_no_reason(core: Core, pair: tuple[str, str], minutes: int) -> None:
    request = sign(*pair, "GET", LIST, core.clock.moment + timedelta(minutes=minutes))

    assert send(core, request)[0] == 200


@pytest.mark.parametrize("date", ["yesterday", "2026-11-22T12:00:00Z", "20261322T120000Z", ""])
def test_a_date_that_is_none_is_refused(core: Core, pair: tuple[str, str], date: str) -> None:
    request = _other(sign(*pair, "GET", LIST, core.clock.moment), **{"x-sdk-date": date})

    assert send(core, request)[:2] == (401, "APIGW.0301")


def test_a_body_left_open_is_refused(core: Core, pair: tuple[str, str]) -> None:
    # Huawei's signer says UNSIGNED-PAYLOAD for anything but JSON; bodies here are JSON.
    request = sign(*pair, "POST", LIST, core.clock.moment, body=b"a=b", Content_Type="text/plain")

    assert request.headers["x-sdk-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert send(core, request)[:2] == (401, "APIGW.0301")


def test_a_revoked_pair_is_refused(core: Core) -> None:
    key, secret = core.services.keyring.create("default", "gone", ["read"], projects=[PROJECT], signs=True)
    request = sign(str(key.access_key_id), secret, "GET", LIST, core.clock.moment)
    assert send(core, request)[0] == 200

    core.services.keyring.revoke("default", key.id)

    assert send(core, request)[:2] == (401, "APIGW.0301")


def test_neither_half_of_a_pair_is_a_token(core: Core, pair: tuple[str, str]) -> None:
    for token in (*pair, f"id:{pair[0]}"):
        answer = handle(core, "api_modelarts", event("GET", LIST, "", {"x-auth-token": token}, None))
        assert answer["statusCode"] == 401


def test_no_secret_of_a_pair_is_stored(core: Core, pair: tuple[str, str]) -> None:
    assert pair[1] not in str(core.items())
    assert pair[0] in str(core.items())


def test_a_pair_of_another_deployment_is_worth_nothing(core: Core, pair: tuple[str, str]) -> None:
    elsewhere = signing.secret_access_key(b"another root", pair[0])
    request = sign(pair[0], elsewhere, "GET", LIST, core.clock.moment)

    assert send(core, request)[:2] == (401, "APIGW.0301")


# Made once by huaweicloudsdkcore 3.1.219 for the secret `a-secret-access-key`, so that a later signer cannot drift unseen.
VECTORS = [
    ("GET", "", b"", "f10c99261f92847cea6d63b9792e878e9332f56c724855a99013e58532770a6a"),
    (
        "GET",
        "file_preview=true&limit=10&offset=0&search_content=a%20b%2F%C3%BC~%2B",
        b"",
        "6fd3c6f95faf40addee87f699b2e98679527af0a477b8487edaad3b59f495d52",
    ),
    (
        "POST",
        "",
        '{"dataset_name":"größe"}'.encode(),
        "cf3a3de80c55356423e28847d0a6c251f53c1140d68af776f2964c66e719f751",
    ),
]


@pytest.mark.parametrize(("method", "query", "body", "expected"), VECTORS)
def test_signatures_that_were_noted_down(method: str, query: str, body: bytes, expected: str) -> None:
    headers = {
        "authorization": f"SDK-HMAC-SHA256 Access=AK, SignedHeaders=content-type;host;x-sdk-date, Signature={expected}",
        "content-type": "application/json",
        "host": "api.example.com",
        "x-sdk-date": "20261122T122452Z",
    }
    request = signature.SignedRequest(method, LIST, query, headers, body)

    claim = signature.claim(request, datetime(2026, 11, 22, 12, 30, tzinfo=UTC))

    assert signing.is_signature_of("a-secret-access-key", claim.message, claim.signature)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)


@given(pairs=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=6), segment=TEXT, body=st.binary(max_size=20))
def test_any_request_of_the_signer_is_canonical_here_too(
    pairs: list[tuple[str, object]], segment: str, body: bytes
) -> None:
    # Given a path, a query and a body of any text, signed by Huawei's signer

    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    path = "/v2/" + segment.replace("/", "") + "/datasets"
    signed = sign("DLAK", "secret", "POST", quote(path, safe="/~"), now, query=pairs, body=body)

    # When its claim is read from the wire
    request = signature.SignedRequest("POST", signed.path, signed.query, signed.headers, body)
    claim = signature.claim(request, now)

    # Then the signature is that of the message
    assert signing.is_signature_of("secret", claim.message, claim.signature)


@given(st.text(max_size=200))
def test_no_authorization_header_breaks_the_reader(text: str) -> None:

    headers = {"authorization": f"SDK-HMAC-SHA256 {text}", "host": "h", "x-sdk-date": "20261122T120000Z"}
    request = signature.SignedRequest("GET", LIST, "", headers, b"")

    with pytest.raises(Unauthenticated):
        signature.claim(request, datetime(2026, 11, 23, tzinfo=UTC))
