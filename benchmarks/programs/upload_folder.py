"""Upload a folder: python -m … sdk URL KEY FOLDER PREFIX | boto3 ENDPOINT BUCKET FOLDER PREFIX"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PARALLEL = 8


def with_sdk(url: str, key: str, folder: Path, prefix: str) -> int:
    """The client's own folder upload, without a journal, as a first upload is."""
    from ankerautotrainsdk import AnkerAutoTrainSDK

    with AnkerAutoTrainSDK(url, api_key=key, progress=False) as client:
        receipts = client.upload_folder(folder, prefix, parallel=_PARALLEL, resume=False)
    return sum(receipt.status == "uploaded" for receipt in receipts)


def with_boto3(endpoint: str, bucket: str, folder: Path, prefix: str) -> int:
    """upload_file in as many threads, with one client, as boto3's documentation advises."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3
    from botocore.config import Config

    config = Config(s3={"addressing_style": "path"}, signature_version="s3v4", max_pool_connections=_PARALLEL)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)
    paths = sorted(folder.iterdir())
    with ThreadPoolExecutor(_PARALLEL) as pool:
        done = list(pool.map(lambda path: client.upload_file(str(path), bucket, f"{prefix}/{path.name}"), paths))
    return len(done)


def main() -> None:
    side, place, name, folder, prefix = sys.argv[1:6]
    count = (with_sdk if side == "sdk" else with_boto3)(place, name, Path(folder), prefix)
    expected = len(os.listdir(folder))
    if count != expected:
        raise SystemExit(f"{count} of {expected} files were uploaded")


if __name__ == "__main__":
    main()
