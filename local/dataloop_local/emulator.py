"""ministack's own settings, and its import: it reads them once, from the environment, when it is imported."""

from __future__ import annotations

import logging
import os
import socket

from dataloop_local.files import read_json, write_json
from dataloop_local.gaps.s3_durable import mend
from dataloop_local.settings import LOOPBACK, LocalRuntimeError, Settings

logger = logging.getLogger("dataloop.emulator")

# A developer's AWS profile must not reach the emulator, its functions or our own clients.
_FOREIGN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "SERVICES",
)


def choose_aws_port(settings: Settings) -> int:
    """The loopback port of the AWS API: the one of the last start if it is free, so that URLs stay valid."""
    last = (read_json(settings.ports_file) or {}).get("aws", 0)
    port = _free_port(last) or _free_port(0)
    if port is None:
        raise LocalRuntimeError("no free port on the loopback interface")
    write_json(settings.ports_file, {"aws": port})
    return port


def _free_port(wanted: int) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return None
        port: int = probe.getsockname()[1]
        return port


def configure(settings: Settings, aws_port: int) -> str:
    """Set ministack's environment; returns the AWS endpoint. Must run before anything imports ministack."""
    for folder in (settings.services_dir, settings.objects_dir):
        folder.mkdir(parents=True, exist_ok=True)
    # Stock's own copy of the tables, which earlier releases left there: nobody reads it, and it may hold what was deleted.
    (settings.services_dir / "dynamodb.json").unlink(missing_ok=True)
    mended = mend(settings.objects_dir)
    if mended:
        logger.warning("mended %d objects whose last write was cut off before it was acknowledged", mended)
    endpoint = f"http://{LOOPBACK}:{aws_port}"
    for name in _FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(
        GATEWAY_PORT=str(aws_port),
        BIND_HOST=LOOPBACK,
        MINISTACK_HOST=LOOPBACK,
        MINISTACK_ACCOUNT_ID=settings.account_id,
        MINISTACK_REGION=settings.region,
        AWS_REGION=settings.region,
        AWS_DEFAULT_REGION=settings.region,
        AWS_ACCESS_KEY_ID=settings.account_id,
        AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 - the emulator takes any secret
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        PERSIST_STATE="1",
        STATE_DIR=str(settings.services_dir),
        S3_PERSIST="1",
        S3_DATA_DIR=str(settings.objects_dir),
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        DOCKER_HOST="",
        LOG_LEVEL=settings.log_level,
    )
    return endpoint
