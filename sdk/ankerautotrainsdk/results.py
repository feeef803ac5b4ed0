"""What calls return: read-only records whose fields are read by attribute or by key.

    answer = client.create_dataset({...})
    answer.dataset_id == answer["dataset_id"]

A record is a dict that refuses change, so json.dumps, ** and `in` work as on any dict. Lists inside become tuples,
dicts inside become records. A field whose name is a dict method (items, keys, values, get, …) is read by key only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar, overload

from ankerautotrainsdk.errors import ApiError, DataloopError, error_from_answer

R = TypeVar("R", bound="Record")


def _freeze(value: Any) -> Any:
    if isinstance(value, Record):
        return value
    if isinstance(value, Mapping):
        return Record(value)
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(each) for each in value)
    return value


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thaw(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_thaw(each) for each in value]
    return value


class Record(dict[str, Any]):
    """A read-only answer of the service; every field of the wire is there, named or not."""

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:
        super().__init__({key: _freeze(value) for key, value in dict(fields, **more).items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "none"
            raise AttributeError(f"{type(self).__name__} has no field {name!r} (fields: {known})") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.items())})"

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted((key, repr(value)) for key, value in self.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default way to copy and unpickle a dict sets item by item, which is refused here.
        return (type(self), (self.to_dict(),))

    def _read_only(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is read-only; use to_dict() for a copy that can be changed")

    __setattr__ = __delattr__ = _read_only
    __setitem__ = __delitem__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def to_dict(self) -> dict[str, Any]:
        """A plain, independent dict of dicts and lists."""
        return {key: _thaw(value) for key, value in self.items()}


class UploadResult(Record):
    """Where an uploaded file is.  Source: SDK `upload_file`.

    url: address of the object without credentials (not a download link; use download_file_by_uid).
    uid: 32 hex characters, derived from the content: the same bytes have the same uid under every name.
    exists: True when these bytes were already at that name, so that nothing was sent.
    """

    __slots__ = ()
    url: str
    bucket: str
    storage_id: str
    object_name: str
    uid: str
    exists: bool


class RawDataResult(Record):
    """Answer of upload_raw_data."""

    __slots__ = ()
    raw_data_id: str


class AnnotationResult(Record):
    """Answer of upload_annotated_data; the id is derived from the content, so repeats give the same id."""

    __slots__ = ()
    annotation_data_id: str


class DatasetResult(Record):
    """Answer of create_dataset: the id names one (name, version) pair."""

    __slots__ = ()
    dataset_id: str


class LinkResult(Record):
    """Answer of link_dataset: linked counts the different ids of this call, known or new."""

    __slots__ = ()
    dataset_id: str
    segment_id: str
    linked: int


class DownloadResult(Record):
    """A downloaded file. Can be given to open() and Path() as it is; str() gives the path.

    path: absolute path of the file; sha256: 64 hex characters of what was written; size_bytes: its size.
    """

    __slots__ = ()
    path: str
    file_name: str
    size_bytes: int
    sha256: str

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path


class Inference(Record):
    """What a model sees in one image: predictions, best first, and which model said so.

    release: the name that was asked for, None when the model was named by its id.
    """

    __slots__ = ()
    model_id: str
    model_version: str
    release: str | None
    predictions: tuple[Record, ...]


class Task(Record):
    """Anything asynchronous: build, download, train, evaluate, export, predict, select, release, loop, …

    status: CREATED QUEUED RUNNING SUCCEEDED FAILED STOPPING STOPPED; progress: {"done","total","unit","eta_s"};
    error: {"code","message"} or None; result: what the task made, by kind.
    """

    __slots__ = ()
    task_id: str
    kind: str
    status: str
    phase: str | None
    progress: Record | None
    error: Record | None
    result: Record | None

    @property
    def is_over(self) -> bool:
        """True once the status can change no more."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class Model(Record):
    """A trained model: its dataset version, metrics and artefacts."""

    __slots__ = ()
    model_id: str
    name: str
    version: Any
    status: str


class KeyResult(Record):
    """A new API key; `key` is shown this one time only."""

    __slots__ = ()
    key_id: str
    key: str


class Lineage(Record):
    """Why a model is as it is: the model, its dataset version, and the images (with annotations) behind it.

    The images are read with ["items"] or .images.
    """

    __slots__ = ()
    model: Record
    dataset: Record
    cursor: str | None

    @property
    def images(self) -> tuple[Record, ...]:
        """The rows: uid, split, annotation_ids, bucket, object_name, version_id, sha256."""
        rows: tuple[Record, ...] = self["items"]
        return rows


class Page(Sequence[R], Generic[R]):
    """One page of a list: a sequence of records, and the cursor of the next page (None on the last)."""

    __slots__ = ("_items", "cursor")

    def __init__(self, items: Iterable[R], cursor: str | None) -> None:
        self._items = tuple(items)
        self.cursor = cursor

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[R, ...]: ...
    @overload
    def __getitem__(self, index: str) -> Any: ...
    def __getitem__(self, index: int | slice | str) -> Any:
        if isinstance(index, str):
            return {"items": self._items, "cursor": self.cursor}[index]
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Page({list(self._items)!r}, cursor={self.cursor!r})"

    def to_dict(self) -> dict[str, Any]:
        """{"items": [...], "cursor": …} as plain values."""
        return {"items": [each.to_dict() for each in self._items], "cursor": self.cursor}


class BatchResult(Sequence["R | ApiError"], Generic[R]):
    """Per-item outcome of a batch, in the order of the input: a record, or the exception that the item met.

    Nothing is raised for a refused item, and the others are in: look at .errors, or call raise_for_errors().
    """

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: Iterable[R | ApiError]) -> None:
        self._outcomes = tuple(outcomes)

    @classmethod
    def from_answer(
        cls, entries: Iterable[Mapping[str, Any]], kind: Callable[[Mapping[str, Any]], R]
    ) -> BatchResult[R]:
        """Read the service's "results" list, whose entries are answers or {"error": {...}}."""
        return cls(error_from_answer(None, entry["error"]) if entry.get("error") else kind(entry) for entry in entries)

    @overload
    def __getitem__(self, index: int) -> R | ApiError: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[R | ApiError, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[R | ApiError]:
        return iter(self._outcomes)

    def __repr__(self) -> str:
        return f"BatchResult({len(self) - len(self.errors)} done, {len(self.errors)} refused)"

    @property
    def done(self) -> tuple[R, ...]:
        """The records of the items that went well."""
        return tuple(each for each in self._outcomes if not isinstance(each, DataloopError))

    @property
    def errors(self) -> tuple[tuple[int, ApiError], ...]:
        """(position in the input, exception) of every refused item."""
        return tuple((place, each) for place, each in enumerate(self._outcomes) if isinstance(each, DataloopError))

    def raise_for_errors(self) -> None:
        """Raise the first refused item's exception, its message saying how many there are; else do nothing."""
        if not self.errors:
            return
        place, first = self.errors[0]
        details = {**first.details, "position": place, "refused": len(self.errors), "of": len(self)}
        raise type(first)(
            f"{len(self.errors)} of {len(self)} items were refused; the first is item {place}: {first.message}",
            code=first.code,
            details=details,
        )

    def to_dict(self) -> dict[str, Any]:
        """{"results": [answer | {"error": …}]} as plain values."""
        rows = [{"error": each.to_dict()} if isinstance(each, ApiError) else each.to_dict() for each in self._outcomes]
        return {"results": rows}
