"""Upload a folder: python -m … sdk|sdk+raw_data URL KEY FOLDER PREFIX | boto3 ENDPOINT BUCKET FOLDER PREFIX"""

from __future__ import annotations

import sys
from pathlib import Path

_PARALLEL = 8
META = {"region": "CN", "securityLevel": "internal", "sourceInfo": {"type": "trigger"}, "owner": "anker"}


def with_sdk(url: str, key: str, folder: Path, prefix: str, *, register: bool = False) -> int:
    """The client's own folder upload, without a journal, as a first upload is."""
    from ankerautotrainsdk import AnkerAutoTrainSDK

    raw_data = META if register else None
    with AnkerAutoTrainSDK(url, api_key=key, progress=False) as client:
        receipts = client.upload_folder(folder, prefix, raw_data=raw_data, parallel=_PARALLEL, resume=False)
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
    if side == "boto3":
        count = with_boto3(place, name, Path(folder), prefix)
    else:
        count = with_sdk(place, name, Path(folder), prefix, register=side == "sdk+raw_data")
    expected = len(list(Path(folder).iterdir()))
    if count != expected:
        raise SystemExit(f"{count} of {expected} files were uploaded")


if __name__ == "__main__":
    main()
