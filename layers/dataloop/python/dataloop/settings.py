"""All configuration, read once from the environment (docs/settings.md describes each; a test keeps that so)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

PREFIX = "DATALOOP_"


class SettingError(Exception):
    """A setting is missing or cannot be read; raised when a handler is imported, not at first use."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every field `x` is read from DATALOOP_X. Fields without a default must be set."""

    stage: str
    table: str
    once_table: str
    raw_bucket: str
    artifacts_bucket: str
    region: str
    account_id: str = "000000000000"
    partition: str = "aws"
    ingest_queue_url: str = ""
    loop_queue_url: str = ""
    event_bus: str = ""
    machine_prefix: str = "dataloop"
    code_uri: str = ""
    training_image: str = ""
    processing_image: str = ""
    training_instance: str = "ml.g5.xlarge"
    training_instances: int = 1
    processing_instance: str = "ml.m5.xlarge"
    step_reduce_bytes: int = 1_000_000_000
    use_spot: bool = False
    job_role_arn: str = ""
    allow_anonymous: bool = False
    max_training_seconds: int = 86_400
    retrain_min_new: int = 200
    retrain_fraction: float = 0.10
    retrain_max_age_days: float = 14.0
    retrain_cooldown_seconds: int = 21_600
    model_package_group: str = ""
    orphan_after_days: int = 7
    security_levels: str = "public,low,medium,high,secret"
    data_regions: str = ""
    max_security_level: str = ""
    signing_secret: str = ""
    local_roots: str = ""
    local_url_hosts: str = ""

    @property
    def level_order(self) -> tuple[str, ...]:
        """The words of securityLevel, the least protected first."""
        return tuple(word.strip() for word in self.security_levels.split(",") if word.strip())

    @property
    def residency(self) -> dict[str, Any]:
        """The restriction of the whole deployment, as domain/residency.py keeps one."""
        regions = [name.strip() for name in self.data_regions.split(",") if name.strip()]
        level = self.max_security_level
        return ({"regions": regions} if regions else {}) | ({"max_security_level": level} if level else {})

    def machine_arn(self, machine: str) -> str:
        """The ARN of one of our state machines; `dataset_build` becomes `<prefix>-dataset-build`."""
        name = f"{self.machine_prefix}-{machine.replace('_', '-')}"
        return f"arn:{self.partition}:states:{self.region}:{self.account_id}:stateMachine:{name}"

    def execution_arn(self, machine: str, name: str) -> str:
        machine_name = f"{self.machine_prefix}-{machine.replace('_', '-')}"
        return f"arn:{self.partition}:states:{self.region}:{self.account_id}:execution:{machine_name}:{name}"


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingError that names the variable."""
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = PREFIX + field.name.upper()
        text = source.get(variable)
        if text is None and field.name == "region":
            text = source.get("AWS_REGION") or source.get("AWS_DEFAULT_REGION")
        if text is None:
            if field.default is MISSING:
                raise SettingError(f"{variable} is not set")
            continue
        values[field.name] = _parse(variable, text, str(field.type))
    return Settings(**values)


def _parse(variable: str, text: str, kind: str) -> str | int | float | bool:
    try:
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False, "": False}[text.lower()]
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except (KeyError, ValueError) as error:
        raise SettingError(f"{variable} must be a {kind}, not {text!r}") from error
    return text
