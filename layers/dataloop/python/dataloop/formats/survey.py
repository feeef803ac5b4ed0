"""What a version is about as a whole, for formats that must say it in each line: rows are kept on disk and read twice."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from dataloop.domain.canonical import canonical_json
from dataloop.formats.losses import has_mask
from dataloop.formats.pixels import labels_of
from dataloop.formats.surface import ExportImage


class Survey:
    """Facts over all rows, and the rows again. Use it in a `with`. Disk: the size of the rows."""

    def __init__(self, images: Iterable[ExportImage]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__
        self.has_objects = False
        # Each object has a mask; each object has polygons; no image has more than one label.
        self.is_masked = self.is_outlined = self.is_single = True
        for image in images:
            labels = list(labels_of(image.row))
            objects = [label for label in labels if label["box"] is not None]
            self.has_objects |= bool(objects)
            self.is_masked &= all(map(has_mask, objects))
            self.is_outlined &= all("polygons" in label for label in objects)
            self.is_single &= len(labels) <= 1
            self._file.write(b"%s\t%s\n" % (image.split.encode(), canonical_json([image.row, image.file_name])))

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def images(self, wanted: str | None = None) -> Iterator[ExportImage]:
        """The images in the order they came; of one split, or of all. One iteration at a time."""
        self._file.seek(0)
        for line in self._file:
            split, _, content = line.partition(b"\t")
            if wanted in (None, split.decode()):
                row, file_name = json.loads(content)
                yield ExportImage(split.decode(), row, file_name)


def version_kind(has_objects: bool, is_masked: bool, is_single: bool) -> str:
    """The annotationType of a version, which its rows do not spell: objects with a mask each are instances."""
    if has_objects:
        return "instance_segmentation" if is_masked else "detection"
    return "classification" if is_single else "multilabel_classification"
