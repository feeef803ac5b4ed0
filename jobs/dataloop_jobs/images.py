"""The images of a dataset: found, verified against their digest, scaled, kept in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from dataloop_inference.faults import UnreadableImage
from dataloop_inference.images import Letterbox, Pixels, decode, letterbox
from dataloop_jobs.dataset import Row
from dataloop_jobs.faults import BadImage
from dataloop_jobs.masks import NO_IMAGE, Regions, region_map


class ImageStore:
    """Pixels of a dataset's images at one input size.

    folder: the images channel, each file below its key. The cache keeps the first images that fit its budget, and
    never evicts: an epoch touches every image once, and for such a pattern keeping beats least-recently-used.
    """

    def __init__(self, folder: Path, size: int, cache_mb: int):
        self._folder = folder
        self.size = size
        self._budget = cache_mb * 1_000_000
        self._kept: dict[str, tuple[Pixels, Letterbox]] = {}
        self._kept_regions: dict[str, Regions] = {}
        self._used = 0
        self._lock = threading.Lock()

    def load(self, row: Row) -> tuple[Pixels, Letterbox]:
        """The letterboxed image, uint8 (size, size, 3) RGB, read-only, and how it lies in it. Raises BadImage."""
        kept = self._kept.get(row.uid)
        if kept is not None:
            return kept
        loaded = letterbox(_decoded(self.content(row), row), self.size)
        loaded[0].setflags(write=False)
        with self._lock:
            if row.uid not in self._kept and self._has_room(loaded[0].nbytes):
                self._kept[row.uid] = loaded
        return loaded

    def regions(self, row: Row, fit: Letterbox) -> Regions:
        """Which of the row's objects each pixel of the letterboxed image shows, int32 (size, size), read-only.

        Cost: 1 ms the first time at 192 pixels with a few objects, then nothing while the cache has room.
        """
        kept = self._kept_regions.get(row.uid)
        if kept is not None:
            return kept
        regions = np.full((self.size, self.size), NO_IMAGE, dtype=np.int32)
        regions[: fit.scale_y, : fit.scale_x] = region_map(row.truths, fit.scale_x, fit.scale_y)
        regions.setflags(write=False)
        with self._lock:
            if row.uid not in self._kept_regions and self._has_room(regions.nbytes):
                self._kept_regions[row.uid] = regions
        return regions

    def _has_room(self, size: int) -> bool:
        """Take `size` bytes of the budget if they are there. Call it with the lock."""
        if self._used + size > self._budget:
            return False
        self._used += size
        return True

    def load_all(self, rows: Sequence[Row], threads: int, on_progress: Callable[[int, int], None]) -> None:
        """Load every row once, so that a bad image fails the job before it has trained for hours.

        on_progress(done, total) is called in the calling thread; it may raise to stop. Raises BadImage.
        """
        distinct = list({row.uid: row for row in rows}.values())
        on_progress(0, len(distinct))
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done, _ in enumerate(pool.map(self.load, distinct), start=1):
                    on_progress(done, len(distinct))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _file(self, key: str) -> bytes | None:
        """The file below the images channel, None when there is none; a key may be nothing that a path can be."""
        path = self._folder / key
        try:
            is_inside = path.resolve().is_relative_to(self._folder.resolve())
            return path.read_bytes() if is_inside and path.is_file() else None
        except (OSError, ValueError):
            return None

    def content(self, row: Row) -> bytes:
        """The encoded file if its digest is the manifest's, else the exact version from S3. Raises BadImage."""
        content = self._file(row.place.key)
        problem = "is not in the images channel"
        if content is not None:
            if hashlib.sha256(content).hexdigest() == row.sha256:
                return content
            problem = "has another content than the manifest says (it was overwritten after the build)"
        content = _fetch(row, problem)
        if hashlib.sha256(content).hexdigest() != row.sha256:
            raise BadImage(row.uid, row.place.key, f"sha256 differs from the manifest's {row.sha256} in S3 too")
        return content


def _fetch(row: Row, problem: str) -> bytes:
    """The exact version of the object. boto3 is imported only now: almost no job needs it."""
    place = row.place
    version = {"VersionId": place.version_id} if place.version_id else {}
    try:
        import boto3

        body = boto3.client("s3").get_object(Bucket=place.bucket, Key=place.key, **version)["Body"]
        content: bytes = body.read()
    except Exception as error:  # any failure here means the same to the user: these bytes cannot be had
        raise BadImage(
            row.uid, place.key, f"{problem}, and version {place.version_id} could not be read from S3: {error}"
        ) from error
    return content


def _decoded(content: bytes, row: Row) -> Image.Image:
    try:
        return decode(content)
    except UnreadableImage as error:
        raise BadImage(row.uid, row.place.key, f"{error}; replace or remove it and build again") from error
