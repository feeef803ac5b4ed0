"""`python -m dataloop_local serve`: the runtime in the foreground. `dataloop local up` starts it in the background."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import fields
from pathlib import Path

from dataloop_local.server import serve
from dataloop_local.settings import LocalRuntimeError, Settings

_DEFAULTS = {field.name: field.default for field in fields(Settings)}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        serve(_settings(options))
    except LocalRuntimeError as error:
        sys.stderr.write(f"dataloop_local: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dataloop_local", description="The whole application on one machine.")
    serving = parser.add_subparsers(required=True).add_parser("serve", help="run in the foreground until SIGTERM")
    add = serving.add_argument
    add("--state", type=Path, required=True, help="directory that keeps everything between starts")
    add("--port", type=int, default=_DEFAULTS["port"], help="port of the root URL (default %(default)s)")
    add("--anonymous", action="store_true", help="serve requests without a key as administrator (loopback only)")
    add("--allow-root", action="append", default=[], metavar="DIR", help="folder that server paths may use")
    add("--allow-url-host", action="append", default=[], metavar="HOST", help="private host URL uploads may reach")
    add("--template", type=Path, help="template to deploy (default: template.yaml of the checkout)")
    add("--parameter", action="append", default=[], metavar="NAME=VALUE", help="parameter of the template")
    add("--region", default=_DEFAULTS["region"])
    add("--fsync", action="store_true", help="survive power loss too: wait for the disk on every write")
    add("--jobs-at-once", type=int, default=_DEFAULTS["jobs_at_once"], help="SageMaker jobs that run side by side")
    add("--stop-grace", type=float, default=_DEFAULTS["stop_grace_s"], metavar="SECONDS", help="SIGTERM to SIGKILL")
    add("--environments", type=int, default=_DEFAULTS["environments_per_function"], help="processes per function")
    add("--snapshot-log-bytes", type=int, default=_DEFAULTS["snapshot_log_bytes"], help=argparse.SUPPRESS)
    add("--services-save", type=float, default=_DEFAULTS["services_save_s"], help=argparse.SUPPRESS)
    add("--log-level", default=_DEFAULTS["log_level"])
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    wrong = [text for text in options.parameter if "=" not in text]
    if wrong:
        raise LocalRuntimeError(f"--parameter wants NAME=VALUE, not {wrong[0]!r}")
    return Settings(
        state_dir=options.state.resolve(),
        port=options.port,
        template=options.template,
        parameters=dict(text.split("=", 1) for text in options.parameter),
        anonymous=options.anonymous,
        allow_roots=tuple(str(Path(folder).resolve()) for folder in options.allow_root),
        allow_url_hosts=tuple(options.allow_url_host),
        region=options.region,
        fsync=options.fsync,
        jobs_at_once=options.jobs_at_once,
        stop_grace_s=options.stop_grace,
        environments_per_function=options.environments,
        snapshot_log_bytes=options.snapshot_log_bytes,
        services_save_s=options.services_save,
        log_level=options.log_level.upper(),
    )


if __name__ == "__main__":
    code = main()
    # All that lasts is saved. A thread that still waits for the answer of a stopped function must not keep the process.
    logging.shutdown()
    os._exit(code)
