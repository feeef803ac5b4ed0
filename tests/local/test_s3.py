"""Objects, versions, checksums, presigned forms and notifications."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.stack import LocalStack
from tests.local.waiting import until


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def form(stack: LocalStack, key: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """A presigned POST as the application makes it: exact key, exact size, checksum, metadata."""
    fields = {"x-amz-checksum-sha256": sha256(content), "x-amz-meta-uid": "u1"}
    conditions = [{name: value} for name, value in fields.items()]
    conditions.append(["content-length-range", len(content), len(content)])
    return stack.client("s3").generate_presigned_post(
        stack.output("RawBucketName"), key, Fields=fields, Conditions=conditions, ExpiresIn=changes.get("expires", 900)
    )


def post(signed: dict[str, Any], content: bytes, **changed: str) -> tuple[int, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {**signed["fields"], **changed}.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*parts, content, f"\r\n--{boundary}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(signed["url"], data=body, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def refusal(url: str) -> int | None:
    """The status that a GET is refused with; None when it is served."""
    try:
        urllib.request.urlopen(url).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return None


def test_a_presigned_form_stores_checksum_and_metadata(stack: LocalStack) -> None:
    content = b"\r\nbytes that begin and end like a form\r\n"
    assert post(form(stack, "forms/ok.bin", content), content)[0] == 204

    head = stack.client("s3").head_object(
        Bucket=stack.output("RawBucketName"), Key="forms/ok.bin", ChecksumMode="ENABLED"
    )
    assert head["ChecksumSHA256"] == sha256(content)
    assert head["Metadata"] == {"uid": "u1"}
    assert head["ContentLength"] == len(content)


def test_a_wrong_body_is_bad_digest_and_writes_nothing(stack: LocalStack) -> None:
    status, text = post(form(stack, "forms/wrong.bin", b"right"), b"wrong")

    assert (status, "BadDigest" in text) == (400, True)
    with pytest.raises(ClientError):
        stack.client("s3").head_object(Bucket=stack.output("RawBucketName"), Key="forms/wrong.bin")


@pytest.mark.parametrize(
    ("changed", "content", "status"),
    [
        ({"key": "forms/other.bin"}, b"12345", 403),
        ({"x-amz-meta-uid": "someone"}, b"12345", 403),
        ({"x-amz-meta-more": "extra"}, b"12345", 403),
        ({"x-amz-checksum-sha256": sha256(b"54321")}, b"54321", 403),
        ({}, b"123456", 400),
        ({}, b"1234", 400),
    ],
)
def test_a_form_is_held_to_its_policy(stack: LocalStack, changed: dict[str, Any], content: bytes, status: int) -> None:
    assert post(form(stack, "forms/exact.bin", b"12345"), content, **changed)[0] == status


def test_an_expired_form_is_refused(stack: LocalStack) -> None:
    status, text = post(form(stack, "forms/late.bin", b"1", expires=-1), b"1")

    assert (status, "expired" in text) == (403, True)


def test_a_put_keeps_its_checksum(stack: LocalStack) -> None:
    s3, bucket = stack.client("s3"), stack.output("RawBucketName")
    s3.put_object(Bucket=bucket, Key="puts/a", Body=b"a", ChecksumSHA256=sha256(b"a"))

    assert s3.head_object(Bucket=bucket, Key="puts/a", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256(b"a")
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket=bucket, Key="puts/b", Body=b"b", ChecksumSHA256=sha256(b"a"))


def test_a_presigned_get_serves_the_version_it_names(stack: LocalStack) -> None:
    s3, bucket = stack.client("s3"), stack.output("RawBucketName")
    first = s3.put_object(Bucket=bucket, Key="signed/ü +.txt", Body=b"one")["VersionId"]
    s3.put_object(Bucket=bucket, Key="signed/ü +.txt", Body=b"two")

    def signed(parameters: dict[str, str]) -> str:
        body = json.dumps({"Bucket": bucket, "Key": "signed/ü +.txt", **parameters}).encode()
        answer = stack.http("POST", "/api/v1/presign", body, **{"content-type": "application/json"})[2]
        return str(json.loads(answer)["url"])

    url = signed({"VersionId": first})
    assert fetched(url) == b"one"
    assert fetched(signed({})) == b"two"
    assert url.startswith(stack.info.aws_endpoint_url)
    assert refusal(url.replace(first, "0" * len(first))) == 403


def test_a_presigned_get_expires(stack: LocalStack) -> None:
    s3, bucket = stack.client("s3"), stack.output("RawBucketName")
    s3.put_object(Bucket=bucket, Key="signed/short", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed/short"}, ExpiresIn=1)

    assert until(lambda: refusal(url), within_s=5, what="the expiry of a URL") == 403


def test_signature_version_2_is_refused_as_on_aws(stack: LocalStack) -> None:
    s3, bucket = stack.client("s3", signature_version="s3"), stack.output("RawBucketName")
    s3.put_object(Bucket=bucket, Key="signed/old", Body=b"x")

    assert refusal(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed/old"})) == 400
    assert post(s3.generate_presigned_post(bucket, "signed/old-form"), b"x")[0] == 400


def test_a_range_of_a_version_is_that_range(stack: LocalStack) -> None:
    s3, bucket, key = stack.client("s3"), stack.output("RawBucketName"), "ranges/one"
    first = s3.put_object(Bucket=bucket, Key=key, Body=b"0123456789", ChecksumAlgorithm="SHA256")["VersionId"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"another")

    answer = s3.get_object(Bucket=bucket, Key=key, VersionId=first, Range="bytes=3-5")
    assert (answer["Body"].read(), answer["ContentRange"]) == (b"345", "bytes 3-5/10")
    assert s3.get_object(Bucket=bucket, Key=key, VersionId=first, Range="bytes=-2")["Body"].read() == b"89"
    assert s3.get_object(Bucket=bucket, Key=key, VersionId=first)["Body"].read() == b"0123456789"
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key=key, VersionId=first, Range="bytes=10-12")
    assert refused.value.response["Error"]["Code"] == "InvalidRange"


def test_notifications_say_what_happened_to_which_version(stack: LocalStack) -> None:
    s3, bucket, key = stack.client("s3"), stack.output("RawBucketName"), "notices/grün und +.jpg"
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"one")
    again = s3.put_object(Bucket=bucket, Key=key, Body=b"two!")
    marker = s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_object(Bucket=bucket, Key=key, VersionId=again["VersionId"])

    records: list[dict[str, Any]] = []

    def mine() -> list[dict[str, Any]]:
        for body in stack.received("IngestQueueUrl"):
            records.extend(r for r in body.get("Records", []) if r["s3"]["object"]["key"].startswith("notices/"))
        return records if len(records) >= 4 else []

    until(mine, what="four notifications")
    records.sort(key=lambda record: record["s3"]["object"]["sequencer"])
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put",
        "ObjectCreated:Put",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]
    assert [record["s3"]["object"]["versionId"] for record in records] == [
        put["VersionId"],
        again["VersionId"],
        marker["VersionId"],
        again["VersionId"],
    ]
    first = records[0]
    assert first["s3"]["object"]["key"] == "notices/gr%C3%BCn+und+%2B.jpg"
    assert urllib.parse.unquote_plus(first["s3"]["object"]["key"]) == key
    assert (first["s3"]["object"]["size"], first["s3"]["bucket"]["name"]) == (3, bucket)
    assert first["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert first["eventVersion"].startswith("2.")
    assert len({len(record["s3"]["object"]["sequencer"]) for record in records}) == 1
