"""A local folder of labels: which of its files are pictures, and the others as one archive."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ankerautotrainsdk.errors import InvalidInput, LocalFileMissing
from ankerautotrainsdk.media import media_type

# Label files that wait for an import lie below this name; the service takes nothing of it for raw data.
AREA = "imports"
# Folders whose pictures are masks: labels, not photographs (Pascal VOC's names, and what everybody calls them).
MASK_FOLDERS = frozenset({"masks", "mask", "segmentationclass", "segmentationobject", "labels", "annotations"})
# The oldest date a zip file can spell: packing the same files again gives the same archive.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class LabelFolder:
    """Label files and pictures of a folder, sorted; hidden files are neither."""

    root: Path
    labels: tuple[Path, ...]
    pictures: tuple[Path, ...]

    def is_picture(self, path: Path) -> bool:
        """For upload_folder's `include`."""
        return media_type(path) is not None and not _is_mask(path.relative_to(self.root))


def look_into(folder: Path) -> LabelFolder:
    """Raises LocalFileMissing for what is no folder, InvalidInput for an empty one."""
    if not folder.is_dir():
        raise LocalFileMissing(f"there is no folder {folder}", details={"path": str(folder)})
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        found += [Path(root, name) for name in names if not name.startswith(".")]
    found.sort()
    shape = LabelFolder(folder, (), ())
    pictures = tuple(path for path in found if shape.is_picture(path))
    taken = set(pictures)
    labels = tuple(path for path in found if path not in taken)
    if not found:
        raise InvalidInput(f"{folder} holds no file", details={"path": str(folder)})
    return LabelFolder(folder, labels, pictures)


def _is_mask(relative: Path) -> bool:
    parents = {part.lower() for part in relative.parts[:-1]}
    return relative.suffix.lower() == ".png" and bool(parents & MASK_FOLDERS)


def pack_labels(folder: LabelFolder, target: Path) -> Path:
    """All label files in one archive, named by its content: labels-<digest>.zip in the folder `target`."""
    beside = target / "labels.zip"
    with zipfile.ZipFile(beside, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for path in folder.labels:
            entry = zipfile.ZipInfo(path.relative_to(folder.root).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as stream, path.open("rb") as source:
                shutil.copyfileobj(source, stream)
    with beside.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return beside.rename(target / f"labels-{digest[:16]}.zip")
