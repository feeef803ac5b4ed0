"""Links to the files of a built version, for whoever reads them with tools of their own."""

from __future__ import annotations

import json
from typing import Any

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository


class ManifestFiles:
    """What docs/manifest.md describes, as it is now."""

    def __init__(self, datasets: DatasetRepository, artifacts: Bucket) -> None:
        self._datasets = datasets
        self._artifacts = artifacts

    def of_version(
        self, tenant: str, version_id: str, clearance: Clearance = EVERYTHING
    ) -> tuple[DatasetVersion, int, list[dict[str, Any]]]:
        """(version, format, files with size_bytes, sha256 and a fresh link each; sha256 is None where none is known).

        clearance: the caller's; rows hold metadata of all images. Raises NotFound, IllegalTransition unless READY,
        ResidencyViolation. Cost: 1 read, 1 GET, 1 list.
        """
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY" or not version.manifest_prefix:
            raise IllegalTransition("dataset", version_id, version.status, "reading its files")
        clearance.require_holdings(version.report.get("residency") or {}, f"dataset {version_id}")
        prefix = version.manifest_prefix
        index = json.loads(self._artifacts.get(f"{prefix}/index.json"))
        files = []
        for key, size_bytes in self._artifacts.keys(f"{prefix}/"):
            name = key.removeprefix(f"{prefix}/")
            link = self._artifacts.link(key, file_name=name)
            files.append({"name": name, "size_bytes": size_bytes, "sha256": index["files"].get(name), "url": link})
        return version, int(index["format"]), files
