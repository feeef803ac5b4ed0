"""Requests as Huawei's own SDK core signs and sends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace

from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

DATE = "%Y%m%dT%H%M%SZ"


@dataclass
class Signed:
    """What goes over the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def sign(
    access_key_id: str,
    secret: str,
    method: str,
    path: str,
    at: datetime,
    *,
    query: list[tuple[str, object]] | None = None,
    body: bytes = b"",
    host: str = "api.example.com",
    **headers: str,
) -> Signed:
    """One request through Huawei's Signer. Header names come back in lower case, as a gateway passes them on."""
    given = {"Host": host, "X-Sdk-Date": at.strftime(DATE), "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = SdkRequest(
        method=method,
        schema="https",
        host=host,
        resource_path=path,
        query_params=query or [],
        header_params=given,
        body=body,
    )
    signed = Signer(SimpleNamespace(ak=access_key_id, sk=secret)).sign(request)
    _, _, text = signed.uri.partition("?")
    lower = {name.lower(): str(value) for name, value in signed.header_params.items()}
    return Signed(method, path, text, lower, body)
