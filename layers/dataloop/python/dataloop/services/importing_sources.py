"""Label files in the raw bucket as sources for the readers: one file, an archive read in place, a prefix of many files."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any

from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound, Unavailable
from dataloop.domain.raw_data import key_of
from dataloop.formats.names import split_in
from dataloop.formats.sources import Source, ZipSource, check_relative, read_bounded
from dataloop.gateways.objects import Bucket

# One GET brings so much of an archive: label files lie side by side in it, and are read in the order they were packed.
ARCHIVE_BLOCK_BYTES = 4 * 1024 * 1024
# Of a picture only the header is read, for its size: this is enough of it, and one GET.
PICTURE_BLOCK_BYTES = 64 * 1024
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# The names of a prefix are kept in memory, 200 bytes each: a fifth of the memory of a step.
MAX_NAMES = 2_000_000


class SourceInterrupted(Exception):
    """S3 did not answer while a reader read. No DomainError: a reader must not take it for something wrong in the file."""

    def __init__(self, reason: Unavailable) -> None:
        super().__init__(str(reason))
        self.reason = reason


class RangedObject(io.RawIOBase):
    """One object version as a seekable file; each read is one GET of a range. Behind a BufferedReader."""

    def __init__(self, bucket: Bucket, key: str, size_bytes: int, version_id: str | None = None) -> None:
        super().__init__()
        self._bucket = bucket
        self._key = key
        self._size = size_bytes
        self._version_id = version_id
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        try:
            data = self._bucket.get_range(self._key, self._position, wanted, self._version_id)
        except Unavailable as error:
            raise SourceInterrupted(error) from error
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def ranged(bucket: Bucket, key: str, size_bytes: int, block_bytes: int, version_id: str | None = None) -> IO[bytes]:
    """A buffered, seekable file over an object. 1 GET per block that is read."""
    return io.BufferedReader(RangedObject(bucket, key, size_bytes, version_id), block_bytes)


class ObjectSource:
    """One object version as a source of one file."""

    def __init__(self, bucket: Bucket, key: str, size_bytes: int, version_id: str) -> None:
        self._bucket = bucket
        self._key = key
        self._size = size_bytes
        self._version_id = version_id
        self._name = key.rpartition("/")[2]

    def names(self) -> Iterator[str]:
        yield self._name

    def size(self, name: str) -> int:
        self._check(name)
        return self._size

    def open(self, name: str) -> IO[bytes]:
        """Ranged, so that looking at its first bytes costs little and a reader may go through it twice."""
        self._check(name)
        return ranged(self._bucket, self._key, self._size, ARCHIVE_BLOCK_BYTES, self._version_id)

    def read(self, name: str, limit_bytes: int) -> bytes:
        with self.open(name) as stream:
            return read_bounded(stream, name, limit_bytes)

    def _check(self, name: str) -> None:
        if name != self._name:
            raise NotFound("file", name)


class PrefixSource:
    """All objects below a prefix, by the rest of their keys; hidden ones are left out. 1 call per 1,000 objects.

    Raises LimitExceeded for more than two million.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        found = islice(bucket.keys(prefix), MAX_NAMES + 1)
        self._sizes = {key.removeprefix(prefix): size for key, size in found if not key.endswith("/")}
        if len(self._sizes) > MAX_NAMES:
            raise LimitExceeded("prefix: files", MAX_NAMES)

    def __len__(self) -> int:
        return len(self._sizes)

    def names(self) -> Iterator[str]:
        return (name for name in self._sizes if not any(part.startswith(".") for part in name.split("/")))

    def pictures(self) -> PicturesBelow:
        """Its pictures by their names."""
        return PicturesBelow(self._prefix, self.names())

    def size(self, name: str) -> int:
        if name not in self._sizes:
            raise NotFound("file", name)
        return self._sizes[name]

    def open(self, name: str) -> IO[bytes]:
        size = self.size(check_relative(name))
        is_picture = name.lower().endswith(PICTURES)
        block = PICTURE_BLOCK_BYTES if is_picture else ARCHIVE_BLOCK_BYTES
        return ranged(self._bucket, self._prefix + name, size, min(block, max(size, 1)))

    def read(self, name: str, limit_bytes: int) -> bytes:
        with self.open(name) as stream:
            return read_bounded(stream, name, limit_bytes)


class PicturesBelow:
    """Finds a picture below a prefix by the end of its path: label files often leave out the folder that pictures lie in,
    as COCO's instances_train2017.json does with train2017/. Memory: a reference a name, from the first question on."""

    def __init__(self, prefix: str, names: Iterable[str]) -> None:
        self._prefix = prefix
        self._names = names
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str, split: str | None) -> str | None:
        """The key of the one picture whose path ends so; of several the one in a folder of that split, else None."""
        if self._by_name is None:
            by_name: dict[str, list[str]] = {}
            for each in self._names:
                if each.lower().endswith(PICTURES):
                    by_name.setdefault(posixpath.basename(each), []).append(each)
            self._by_name = by_name
        found = [each for each in self._by_name.get(posixpath.basename(name), ()) if f"/{each}".endswith(f"/{name}")]
        if len(found) > 1 and split is not None:
            found = [each for each in found if any(split_in(part) == split for part in each.split("/")[:-1])]
        return self._prefix + found[0] if len(found) == 1 else None


class BothSources:
    """Label files of one source and pictures of another as one; a name in both is the label file."""

    def __init__(self, labels: Source, pictures: PrefixSource) -> None:
        self._labels = labels
        self._pictures = pictures

    def pictures(self) -> PicturesBelow:
        return self._pictures.pictures()

    def names(self) -> Iterator[str]:
        yield from sorted({*self._labels.names(), *self._pictures.names()})

    def size(self, name: str) -> int:
        return self._of(name).size(name)

    def open(self, name: str) -> IO[bytes]:
        return self._of(name).open(name)

    def read(self, name: str, limit_bytes: int) -> bytes:
        return self._of(name).read(name, limit_bytes)

    def _of(self, name: str) -> Source:
        try:
            self._labels.size(name)
        except NotFound:
            return self._pictures
        return self._labels


def open_source(bucket: Bucket, tenant: str, wish: Mapping[str, Any]) -> Source:
    """The source a request names: {"object_name", "version_id"} or {"prefix"}, with {"images"} beside it or not.

    Raises NotFound, InvalidInput (no archive), LimitExceeded, SourceInterrupted.
    Cost: 1 HEAD or a listing, and a GET for an archive's end.
    """
    labels: Source
    object_name = wish.get("object_name")
    if object_name is not None:
        key = key_of(tenant, object_name)
        stored = bucket.head(key, wish.get("version_id"))
        if stored is None:
            raise NotFound("file", object_name)
        if object_name.lower().endswith(".zip"):
            stream = ranged(bucket, key, stored.size_bytes, ARCHIVE_BLOCK_BYTES, stored.version_id)
            labels = ZipSource(stream)
        else:
            labels = ObjectSource(bucket, key, stored.size_bytes, stored.version_id)
    else:
        prefix = wish.get("prefix")
        if not prefix:
            raise InvalidInput("object_name", "give either object_name or prefix")
        labels = PrefixSource(bucket, key_of(tenant, prefix))
        if not len(labels):
            raise NotFound("prefix", prefix)
    images = wish.get("images")
    if images is None:
        return labels
    return BothSources(labels, PrefixSource(bucket, key_of(tenant, images)))
