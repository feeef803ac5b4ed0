"""Settings of one local runtime, and where each thing lives below its state directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"


class LocalRuntimeError(RuntimeError):
    """The local runtime could not do what was asked; the message says what to do about it."""


def repository_root() -> Path:
    """The checkout that holds template.yaml, found upward from this file (editable install).

    Raises LocalRuntimeError when the package was installed without its repository; then pass --template.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "template.yaml").is_file():
            return folder
    raise LocalRuntimeError("no template.yaml above the installed package: pass --template PATH")


@dataclass(frozen=True)
class Settings:
    """Everything that `serve` can be told. Times are seconds."""

    state_dir: Path
    port: int = 8000
    template: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False
    allow_roots: tuple[str, ...] = ()
    allow_url_hosts: tuple[str, ...] = ()
    region: str = "us-east-1"
    account_id: str = "000000000000"
    stack: str = "dataloop-local"
    # Set: every log append and object write also waits for the disk (power loss). Unset: it waits for the kernel (kill -9).
    fsync: bool = False
    # Two cores: a second training beside the first makes both slower than one after the other.
    jobs_at_once: int = 1
    # SageMaker gives a stopped job 120 s between SIGTERM and SIGKILL (StopTrainingJob in the API reference).
    stop_grace_s: float = 120.0
    checkpoint_sync_s: float = 2.0
    # Most Python processes one function may have; a wait for a free one is bounded, see gaps/lambda_limits.py.
    environments_per_function: int = 2
    environment_wait_s: float = 20.0
    # A snapshot of the small services at most this often; the DynamoDB snapshot when its log passes snapshot_log_bytes.
    services_save_s: float = 3.0
    snapshot_log_bytes: int = 64 * 1024 * 1024
    log_level: str = "WARNING"

    def template_path(self) -> Path:
        return self.template.resolve() if self.template else repository_root() / "template.yaml"

    def root(self) -> Path:
        """The folder of the template: CodeUri, ContentUri and jobs/ are relative to it."""
        return self.template_path().parent

    # -- the state directory ------------------------------------------------------------------------------------
    @property
    def runtime_file(self) -> Path:
        return self.state_dir / "runtime.json"

    @property
    def lock_file(self) -> Path:
        return self.state_dir / "lock"

    @property
    def log_file(self) -> Path:
        return self.state_dir / "runtime.log"

    @property
    def ports_file(self) -> Path:
        return self.state_dir / "ports.json"

    @property
    def key_file(self) -> Path:
        return self.state_dir / "key.json"

    @property
    def deployed_file(self) -> Path:
        return self.state_dir / "deployed.json"

    @property
    def services_dir(self) -> Path:
        return self.state_dir / "services"

    @property
    def objects_dir(self) -> Path:
        return self.state_dir / "s3"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "wal"

    @property
    def snapshots_dir(self) -> Path:
        return self.state_dir / "snapshots"

    @property
    def code_dir(self) -> Path:
        return self.state_dir / "code"

    @property
    def jobs_dir(self) -> Path:
        return self.state_dir / "jobs"


@dataclass(frozen=True)
class RuntimeInfo:
    """What runtime.json holds once the deployed stack answers."""

    url: str
    key: str | None
    region: str
    state_dir: str
    pid: int
    aws_endpoint_url: str
    stack: str
    port: int
    outputs: dict[str, str] = field(default_factory=dict)
