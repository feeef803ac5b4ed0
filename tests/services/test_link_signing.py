"""Links that are signed in bulk are the links that boto3 makes."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import pytest
import requests

from tests.core import RAW, Core

MOMENT = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "version_id"),
    [
        ("projects/1/a.jpg", "060c7244-41cf-4a5f-9948-0cbbe051a14c"),
        ("projects/1/a.jpg", None),
        ("projects/1/a.jpg", "null"),
        ("tenants/a b/ä~(1)+&=%.jpg", "v+/="),
    ],
)
def test_a_link_is_the_one_that_boto3_makes(core: Core, key: str, version_id: str | None) -> None:
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: MOMENT):
        made = core.stores.raw_links.link(key, version_id)
        assert made == core.stores.raw.link(key, version_id=version_id)
    assert core.clients.of("s3") == {}


def test_a_link_opens_without_a_key(core: Core) -> None:
    key = "a b/ä.jpg"
    version_id = core.clients.s3.put_object(Bucket=RAW, Key=key, Body=b"bytes")["VersionId"]
    core.clients.s3.put_object(Bucket=RAW, Key=key, Body=b"newer")
    assert requests.get(core.stores.raw_links.link(key, version_id), timeout=5).content == b"bytes"
    assert requests.get(core.stores.raw_links.link(key), timeout=5).content == b"newer"
