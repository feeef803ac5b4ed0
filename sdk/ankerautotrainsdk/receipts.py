"""What upload_folder gives back: one receipt a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

from ankerautotrainsdk.errors import TransferError
from ankerautotrainsdk.results import Record


class Receipt(Record):
    """What became of one file of a folder.

    path: name below the folder, with `/`; status: "uploaded" (sent now), "exists" (the service had these bytes at that
    name), "skipped" (unchanged since an earlier run, not even read), "failed" (see error; uid is set when the bytes
    are in and only the registration failed); raw_data_id: None when no file information was registered.
    """

    __slots__ = ()
    path: str
    status: str
    uid: str
    bucket: str
    storage_id: str
    object_name: str
    url: str
    sha256: str
    size_bytes: int
    raw_data_id: str | None
    error: Record | None


class Receipts(Sequence[Receipt]):
    """All receipts of one upload_folder call, sorted by path.

    ignored: names of files that were left out (hidden, or neither image nor video).
    """

    __slots__ = ("_receipts", "ignored")

    def __init__(self, receipts: Iterable[Receipt], ignored: Iterable[str] = ()) -> None:
        self._receipts = tuple(receipts)
        self.ignored = tuple(sorted(ignored))

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Receipt, ...]: ...
    def __getitem__(self, index: int | slice) -> Receipt | tuple[Receipt, ...]:
        return self._receipts[index]

    def __len__(self) -> int:
        return len(self._receipts)

    def __repr__(self) -> str:
        counts = ", ".join(f"{amount} {status}" for status, amount in self.counts().items() if amount)
        return f"Receipts({counts or 'empty'})"

    @property
    def failed(self) -> tuple[Receipt, ...]:
        """The receipts of the files that did not make it."""
        return tuple(each for each in self._receipts if each.status == "failed")

    def counts(self) -> dict[str, int]:
        """How many of each: uploaded, exists, skipped, failed, ignored."""
        amounts = dict.fromkeys(("uploaded", "exists", "skipped", "failed"), 0)
        for each in self._receipts:
            amounts[each.status] += 1
        return {**amounts, "ignored": len(self.ignored)}

    def raise_for_errors(self) -> None:
        """Raise TransferError naming the first failed file; do nothing when all went well."""
        if self.failed:
            first = self.failed[0]
            reason = first.error.message if first.error else "unknown"
            raise TransferError(
                f"{len(self.failed)} of {len(self)} files failed; the first is {first.path}: {reason}",
                details={"failed": [each.path for each in self.failed[:100]], "first": first.to_dict()},
            )

    def to_dict(self) -> dict[str, Any]:
        """{"counts", "receipts", "ignored"} as plain values."""
        return {
            "counts": self.counts(),
            "receipts": [each.to_dict() for each in self._receipts],
            "ignored": list(self.ignored),
        }
