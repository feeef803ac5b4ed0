"""Gap: a failing function has no error type, so Retry and Catch by name never match.

Stock runs Python functions in a worker of its own that reports every exception as Runtime.HandlerError, without a stack.
We run them as AWS does: `awslambdaric`, AWS's runtime interface client, on ministack's Runtime API worker (the one stock
uses for custom runtimes), under this interpreter. Code and layers are unpacked once per content into the state directory.
Noticed by: tests/local/test_lambda.py and tests/local/test_stock_gaps.py::test_stock_error_types.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc


class UnpackedCode:
    """Content-addressed folders of function and layer archives; they survive a restart, so compiled bytecode does too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[int, tuple[bytes, str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def folder_of(self, archive: bytes) -> str:
        """Unpack `archive` unless it already is; returns the folder. Cost after the first time: a dictionary look-up."""
        known = self._known.get(id(archive))
        if known is not None and known[0] is archive:
            return known[1]
        digest = hashlib.sha256(archive).hexdigest()[:32]
        target = self._folder / digest
        with self._lock:
            if not target.is_dir():
                self._unpack(archive, target)
            self._known[id(archive)] = (archive, str(target))
        return str(target)

    def _unpack(self, archive: bytes, target: Path) -> None:
        # Into a temporary folder first: a crash in the middle must not leave half a package under its final name.
        temporary = Path(tempfile.mkdtemp(prefix=".unpack-", dir=self._folder))
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as package:
                package.extractall(temporary)
            bootstrap = temporary / "bootstrap"
            if not bootstrap.exists():
                bootstrap.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m awslambdaric "$_HANDLER"\n')
                bootstrap.chmod(0o755)
            temporary.chmod(0o755)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def install(code_dir: Path) -> UnpackedCode:
    unpacked = UnpackedCode(code_dir)
    stock_class, stock_warm = lambda_runtime._worker_class_for, lambda_svc._execute_function_warm

    def worker_class(config: dict[str, Any]) -> type:
        return lambda_runtime.ProvidedWorker if is_python(config) else stock_class(config)

    def execute_warm(function: dict[str, Any], event: dict[str, Any], request_id: str) -> dict[str, Any]:
        config = function.get("config") or function
        run = lambda_svc._execute_function_provided_warm if is_python(config) else stock_warm
        result: dict[str, Any] = run(function, event, request_id)
        return result

    lambda_svc._provided_runtime_code_dir = unpacked.folder_of
    lambda_runtime._worker_class_for = worker_class
    lambda_svc._execute_function_warm = execute_warm
    # Stock removes its own temporary folder at reset; ours is in the state directory and is removed with it.
    os.environ.setdefault("LAMBDA_WARM_TTL_SECONDS", "300")
    return unpacked
