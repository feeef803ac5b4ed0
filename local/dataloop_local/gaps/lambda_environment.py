"""Gap: the host's environment leaks into functions.

Stock starts a function with a copy of the runtime's own environment: a developer's AWS profile, proxies, PYTHONPATH or
DATALOOP_* variables change what the function does, and a missing variable in the template goes unnoticed.
We give it what AWS gives it and what the template names, plus the few variables that only exist on one machine.
Noticed by: tests/local/test_lambda.py and tests/local/test_stock_gaps.py::test_stock_leaks_host_environment.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ministack.services import lambda_svc

from dataloop_local.gaps.lambda_errors import UnpackedCode, is_python


def install(unpacked: UnpackedCode, overlay: Mapping[str, str]) -> None:
    """`overlay`: variables every function gets on this machine only (endpoint, allowed roots, …)."""
    stock = lambda_svc._provided_worker_env

    def environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        if not is_python(config):
            result: dict[str, str] = stock(config, code_dir, port)
            return result
        return {
            **_reserved(config, code_dir, port),
            "PYTHONPATH": os.pathsep.join([code_dir, *_layer_paths(unpacked, config)]),
            **lambda_svc.execution_credentials(config),
            **{name: str(value) for name, value in lambda_svc._runtime_env_vars(config).items()},
            **overlay,
        }

    lambda_svc._provided_worker_env = environment


def _reserved(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
    """The variables AWS sets itself (Lambda developer guide, "Defined runtime environment variables")."""
    name = config.get("FunctionName", "unknown")
    region = config.get("FunctionArn", "").split(":")[3]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "PYTHONNOUSERSITE": "1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', '')}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": uuid.uuid4().hex,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": code_dir,
        "_HANDLER": config.get("Handler", ""),
        # A developer's profile must not be found through the home directory either.
        "HOME": code_dir,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _layer_paths(unpacked: UnpackedCode, config: dict[str, Any]) -> list[str]:
    paths = []
    for attachment in config.get("Layers") or []:
        archive = lambda_svc._resolve_layer_zip(attachment)
        if archive:
            folder = unpacked.folder_of(archive)
            python = Path(folder) / "python"
            paths.append(str(python if python.is_dir() else folder))
    return paths
