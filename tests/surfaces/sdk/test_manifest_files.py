"""The files of a built version on the deployed stack: links that work, digests that hold, and who may not have them."""

from __future__ import annotations

import hashlib
import urllib.request
import uuid
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from tests.deployed import DeployedStack
from tests.e2e.scenes import dataset_info, upload_scenes
from tests.surfaces.sdk.requests import NOWHERE, refused

pytestmark = pytest.mark.stack


def test_files_of_a_built_version(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"files-{uuid.uuid4().hex[:8]}"
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        ids = [entry.annotation_id for entry in upload_scenes(client, tmp_path, name, 4, seed=6)]
        dataset_id = client.create_dataset(dataset_info(name, "1")).dataset_id
        client.link_dataset(ids, dataset_id)
        # a draft has no files yet
        refused(stack, 409, "GET", f"/datasets/{dataset_id}/files")
        digest = client.build_dataset(dataset_id, wait=True, timeout_s=120).result["digest"]
    status, answer = stack.api("GET", f"/datasets/{dataset_id}/files")
    assert (status, answer["digest"], answer["format"]) == (200, digest, 2)
    for file in answer["files"]:
        with urllib.request.urlopen(file["url"]) as link:
            body = link.read()
        assert len(body) == file["size_bytes"]
        assert file["sha256"] in (hashlib.sha256(body).hexdigest(), None if file["name"] == "index.json" else "")
    # another tenant never learns that it exists
    refused(stack, 404, "GET", f"/datasets/{dataset_id}/files", key=stack.key_of("other", "read"))
    refused(stack, 404, "GET", f"/datasets/{NOWHERE}/files")
    refused(stack, 403, "GET", f"/datasets/{dataset_id}/files", key=stack.key_of("default", "write"))
