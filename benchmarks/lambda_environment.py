"""The environment a function of template.yaml starts in, pointed at a server of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping

TABLE, ONCE_TABLE = "bench-table", "bench-once"
RAW_BUCKET, ARTIFACTS_BUCKET = "bench-raw", "bench-artifacts"
REGION = "us-east-1"


def lambda_environment(endpoint: str | None = None) -> dict[str, str]:
    """Everything dataloop.settings wants, credentials of nobody, and nothing of the developer's AWS configuration."""
    variables: Mapping[str, str] = {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HOME": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
        "POWERTOOLS_SERVICE_NAME": "dataloop",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "DATALOOP_STAGE": "bench",
        "DATALOOP_TABLE": TABLE,
        "DATALOOP_ONCE_TABLE": ONCE_TABLE,
        "DATALOOP_RAW_BUCKET": RAW_BUCKET,
        "DATALOOP_ARTIFACTS_BUCKET": ARTIFACTS_BUCKET,
        "DATALOOP_INGEST_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/000000000000/ingest",
        "DATALOOP_LOOP_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/000000000000/loop",
        "DATALOOP_EVENT_BUS": "bench",
        "DATALOOP_MODEL_PACKAGE_GROUP": "bench",
    }
    return {**variables, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}
