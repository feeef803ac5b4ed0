"""A client on Huawei's SDK core, in the shape of its generated ones: real signing, real HTTP, its own error classes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.client import Client, ClientBuilder
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.sdk_response import SdkResponse


class Answer(SdkResponse):
    """Every field that the operations answer."""

    sensitive_list: list[str] = []  # noqa: RUF012
    openapi_types = {  # noqa: RUF012
        "total_number": "int",
        "datasets": "list[object]",
        "versions": "list[object]",
        "labels": "list[object]",
        "dataset_id": "str",
        "version_id": "str",
        "import_task_id": "str",
        "status": "int",
    }
    attribute_map = {name: name for name in openapi_types}  # noqa: RUF012

    def __init__(self, **values: Any) -> None:
        super().__init__()
        for name in self.openapi_types:
            setattr(self, name, values.get(name))


class DatasetsClient(Client):
    """`call` is what each generated method does."""

    def __init__(self) -> None:
        super().__init__()
        self.model_package = sys.modules[__name__]

    def call(self, method: str, path: str = "", body: object = None, **query: object) -> Any:
        return self.do_http_request(
            method=method,
            resource_path="/v2/{project_id}/datasets" + path,
            path_params={},
            query_params=list(query.items()),
            header_params={"Content-Type": "application/json"},
            body=body,
            post_params={},
            response_type="Answer",
            response_headers=[],
            collection_formats={},
        )


def client(url: str, pair: Mapping[str, str], project: str) -> DatasetsClient:
    """pair: what `POST /api/v1/keys` with `signing` answered."""
    credentials = BasicCredentials(pair["access_key_id"], pair["key"], project)
    config = HttpConfig.get_default_config()
    config.retry_times = 0
    builder = ClientBuilder(DatasetsClient).with_http_config(config).with_credentials(credentials)
    made: DatasetsClient = builder.with_endpoint(url).build()
    return made
