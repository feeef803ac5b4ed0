"""Retries, errors, connections: what happens between a call and its answer."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest

from ankerautotrainsdk import (
    AnkerAutoTrainSDK,
    ApiError,
    Conflict,
    ConnectionFailed,
    DataloopError,
    InternalError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    RequestTimeout,
    Throttled,
    Unauthenticated,
    Unavailable,
    errors,
)
from ankerautotrainsdk.retry import RetryPolicy, retry_after_seconds
from tests.sdk.fake_service import FakeService, Scripted

RAW = {"uid": "u" * 32, "type": "image"}
UNAVAILABLE = {"code": "Unavailable", "message": "not now", "details": {}}


def test_a_passing_failure_is_retried_with_full_jitter(service: FakeService, client, waits) -> None:
    service.script("POST", "/api/v1/raw-data", *[Scripted(503, UNAVAILABLE)] * 3)
    assert client.upload_raw_data(RAW).raw_data_id == "u" * 24
    assert waits == [0.2, 0.4, 0.8]


def test_retry_after_is_the_least_time_waited(service: FakeService, client, waits) -> None:
    service.script("POST", "/api/v1/raw-data", Scripted(429, None, {"Retry-After": "7"}))
    client.upload_raw_data(RAW)
    assert waits == [7.2]


def test_a_very_long_retry_after_is_reported_instead(service: FakeService, client, waits) -> None:
    body = {"code": "Throttled", "message": "come back tomorrow", "details": {}}
    service.script("POST", "/api/v1/raw-data", Scripted(429, body, {"Retry-After": "86400"}))
    with pytest.raises(Throttled, match="tomorrow"):
        client.upload_raw_data(RAW)
    assert waits == []


def test_retries_end(service: FakeService, client, waits) -> None:
    service.script("POST", "/api/v1/raw-data", *[Scripted(503, UNAVAILABLE, {"x-request-id": "r9"})] * 9)
    with pytest.raises(Unavailable) as caught:
        client.upload_raw_data(RAW)
    assert (caught.value.status, caught.value.request_id) == (503, "r9")
    assert len(service.calls("POST", "/api/v1/raw-data")) == 4


def test_a_lost_answer_of_a_registration_is_asked_for_again(service: FakeService, client, waits) -> None:
    service.script("POST", "/api/v1/raw-data", Scripted(drop=True, after=True))
    assert client.upload_raw_data(RAW).raw_data_id
    assert len(service.raw_data) == 1


def test_what_would_run_twice_is_repeated_under_one_key(service: FakeService, client) -> None:
    service.answer("POST", "/train", {"task_id": "t1", "status": "CREATED"})
    lost, fault = Scripted(drop=True, after=True), Scripted(500, {"code": "InternalError", "message": "x"})
    service.script("POST", "/api/v1/train", lost, fault)
    assert client.train("d1").task_id == "t1"
    client.train("d1")
    keys = [each.headers["idempotency-key"] for each in service.calls("POST", "/api/v1/train")]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_what_the_service_cannot_recognise_is_not_repeated_after_a_lost_answer(service: FakeService, client) -> None:
    service.script("POST", "/api/v1/releases/front/rollback", Scripted(drop=True))
    with pytest.raises(ConnectionFailed, match="unknown whether the call was carried out"):
        client.rollback("front")
    service.script("POST", "/api/v1/releases/front/rollback", Scripted(500, {"code": "InternalError", "message": "x"}))
    with pytest.raises(InternalError):
        client.rollback("front")
    assert len(service.calls("POST", "/api/v1/releases/front/rollback")) == 2


def test_what_the_service_cannot_recognise_is_repeated_when_it_was_refused(service: FakeService, client) -> None:
    service.answer("POST", "/releases/front/rollback", {"release_id": "r1"})
    service.script("POST", "/api/v1/releases/front/rollback", Scripted(503, UNAVAILABLE))
    assert client.rollback("front").release_id == "r1"


def test_a_kept_connection_that_died_is_no_failure(service: FakeService, client, waits) -> None:
    client.health()
    service.script("GET", "/health", Scripted(drop=True))
    assert client.health().status == "ok"
    assert waits == []


def test_connections_are_reused(service: FakeService, client) -> None:
    for _ in range(5):
        client.upload_raw_data(RAW)
    assert len({each.connection for each in service.seen}) == 1


def test_nobody_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        waits: list[float] = []
        client = AnkerAutoTrainSDK(url=url, api_key="k", retry_policy=RetryPolicy(retries=2, sleep=waits.append))
        with pytest.raises(ConnectionFailed, match=r"cannot connect .*tried 3 times") as caught:
            client.health()
    assert isinstance(caught.value, ConnectionError)
    assert len(waits) == 2


def test_silence_is_a_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with AnkerAutoTrainSDK(url=url, api_key="k", timeout_s=0.05, retries=0) as client:
            with pytest.raises(RequestTimeout) as caught:
                client.health()
            assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, {"code": "NotFound", "message": "m", "details": {"id": "x"}}, NotFound, "NotFound"),
        (409, {"code": "Conflict", "message": "m"}, Conflict, "Conflict"),
        (409, {"code": "IllegalTransition", "message": "m"}, errors.IllegalTransition, "IllegalTransition"),
        (413, {"code": "LimitExceeded", "message": "m"}, LimitExceeded, "LimitExceeded"),
        (422, {"code": "InvalidInput", "message": "m"}, InvalidInput, "InvalidInput"),
        (418, {"code": "Teapot", "message": "m"}, ApiError, "Teapot"),
        (403, {"message": "Forbidden"}, errors.Forbidden, "Forbidden"),
        (413, "<html>Request Entity Too Large</html>", LimitExceeded, "LimitExceeded"),
    ],
)
def test_each_code_has_its_exception(service: FakeService, client, status, body, kind, code) -> None:
    raw = body.encode() if isinstance(body, str) else None
    service.script("GET", "/api/v1/models/m", Scripted(status, body, {"x-request-id": "r1"}, raw=raw))
    with pytest.raises(ApiError) as caught:
        client.get_model("m")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.request_id) == (code, status, "r1")
    assert error.message
    revived = pickle.loads(pickle.dumps(error))
    assert type(revived) is kind
    assert revived.to_dict() == error.to_dict()
    assert str(revived) == str(error)


def test_every_code_of_the_contract_has_a_class() -> None:
    codes = "Unauthenticated Forbidden ResidencyViolation NotFound Conflict IllegalTransition GateRefused LimitExceeded"
    for code in f"{codes} InvalidInput Throttled Unavailable InternalError".split():
        error = errors.error_from_answer(None, {"code": code, "message": "m"})
        assert type(error).__name__ == error.code == code
        assert isinstance(error, DataloopError)


def test_a_missing_key_says_how_to_give_one(service: FakeService) -> None:
    with AnkerAutoTrainSDK(url=service.url) as client, pytest.raises(Unauthenticated) as caught:
        client.list_models()
    assert "DATALOOP_API_KEY" in caught.value.message


def test_another_server_at_that_address(service: FakeService, client) -> None:
    service.script("GET", "/api/v1/models/m", Scripted(200, raw=b"<html>nginx</html>"))
    with pytest.raises(ApiError, match="not the Dataloop API"):
        client.get_model("m")


def test_a_redirect_is_not_followed_with_the_key(service: FakeService, client) -> None:
    service.script("GET", "/api/v1/models/m", Scripted(302, raw=b"", headers={"Location": "http://evil"}))
    with pytest.raises(ApiError, match="HTTP 302"):
        client.get_model("m")


@pytest.mark.parametrize("bad", ["", "..", ".", None])
def test_an_impossible_id_is_refused_before_sending(service: FakeService, client, bad) -> None:
    with pytest.raises(InvalidInput, match="not a usable id"):
        client.get_task(bad)
    assert service.seen == []


def test_an_id_cannot_reach_another_route(service: FakeService, client) -> None:
    with pytest.raises(NotFound):
        client.get_task("../models/x?y")
    assert service.seen[0].path == "/api/v1/tasks/..%2Fmodels%2Fx%3Fy"


@pytest.mark.parametrize("bad", [{"score": float("nan")}, {"x": object()}, {"x": "\ud800"}])
def test_what_json_cannot_say_is_refused_before_sending(service: FakeService, client, bad) -> None:
    with pytest.raises(InvalidInput):
        client.upload_raw_data(bad)
    assert service.seen == []


def test_a_client_is_safe_to_share_between_threads(service: FakeService, client) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                uid = f"{number:032x}"
                assert client.upload_raw_data({"uid": uid, "type": "image"}).raw_data_id == uid[:24]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({each.connection for each in service.seen}) <= 8


def test_a_pickled_client_works(service: FakeService) -> None:
    from tests.sdk.fake_service import KEY

    with pickle.loads(pickle.dumps(AnkerAutoTrainSDK(url=service.url, api_key=KEY))) as client:
        assert client.upload_raw_data(RAW).raw_data_id


def test_retry_after_as_a_date() -> None:
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:10 GMT", now=lambda: 1445412480.0) == 10.0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds(None) is None
