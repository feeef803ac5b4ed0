"""The client: AnkerAutoTrainSDK."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ankerautotrainsdk.config import find_credentials
from ankerautotrainsdk.connections import ConnectionPool
from ankerautotrainsdk.operations.analyses import AnalysisCalls
from ankerautotrainsdk.operations.datasets import DatasetCalls
from ankerautotrainsdk.operations.deletions import DeletionCalls
from ankerautotrainsdk.operations.files import FileCalls
from ankerautotrainsdk.operations.imports import ImportCalls
from ankerautotrainsdk.operations.inference import InferenceCalls
from ankerautotrainsdk.operations.keys import KeyCalls
from ankerautotrainsdk.operations.manifests import ManifestCalls
from ankerautotrainsdk.operations.releases import ReleaseCalls
from ankerautotrainsdk.operations.search import SearchCalls
from ankerautotrainsdk.operations.training import TrainingCalls
from ankerautotrainsdk.operations.versions import VersionCalls
from ankerautotrainsdk.results import Record
from ankerautotrainsdk.retry import RetryPolicy
from ankerautotrainsdk.transport import Transport


class AnkerAutoTrainSDK(
    ImportCalls,
    FileCalls,
    DatasetCalls,
    VersionCalls,
    SearchCalls,
    TrainingCalls,
    AnalysisCalls,
    InferenceCalls,
    ManifestCalls,
    ReleaseCalls,
    DeletionCalls,
    KeyCalls,
):
    """A client of one Dataloop service.

        client = AnkerAutoTrainSDK(url="http://127.0.0.1:8000")
        answer = client.upload_file("test.jpeg", "test")
        answer.uid, answer["uid"]

    url: address of the service; when left out, from DATALOOP_URL or the config file. There is no default server.
    api_key: when left out, from DATALOOP_API_KEY or the config file; without one only anonymous access works.
    timeout_s: for connecting and for each wait on the network, not for a whole transfer.
    retries: how often a call that is safe to repeat is tried again after 429, 5xx or a broken connection.
    progress: True or False for bars on long work; None shows them when standard error is a terminal.

    Safe to share between threads. Can be used in a `with` block, or just dropped.
    Raises ConfigurationError when no url is given anywhere. Nothing is sent before the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 5,
        progress: bool | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        credentials = find_credentials(url, api_key)
        self._progress = progress
        self._pool = ConnectionPool(timeout_s)
        self._transport = Transport(credentials, self._pool, retry_policy or RetryPolicy(retries=retries))

    @property
    def url(self) -> str:
        """The service this client talks to."""
        return self._transport.credentials.url

    def health(self) -> Record:
        """{"status": "ok", "stage", "version"} of the service; needs no key."""
        return Record(self._transport.health())

    def close(self) -> None:
        """Close the idle connections. The client can still be used afterwards."""
        self._pool.close()

    def __enter__(self) -> AnkerAutoTrainSDK:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AnkerAutoTrainSDK(url={self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        # Sockets and locks cannot travel to another process; what they are made from can.
        return {
            "credentials": self._transport.credentials,
            "progress": self._progress,
            "timeout_s": self._pool.timeout_s,
            "retry": self._transport.retry,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._progress = state["progress"]
        self._pool = ConnectionPool(state["timeout_s"])
        self._transport = Transport(state["credentials"], self._pool, state["retry"])
