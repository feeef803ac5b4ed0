"""A user's own COCO folder as a demo: found tolerantly, checked honestly, dealt into two rounds by hash."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from dataloop_demo.shots import Box, DemoError, Round, Shot, Story

Json = dict[str, Any]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Below it a held-out part says nothing and two rounds of training cannot be told apart.
MIN_IMAGES = 30
# Images of the demo when the folder has more; a run then takes minutes, not hours, on two cores.
LIMIT = 600
# Shares of the image's hash: held out, then validation, the rest trains. Of what is not held out, round 1 gets 70 %.
_TEST, _VAL, _FIRST = 0.2, 0.1, 0.7
# Image passes that keep a run within its minutes at 256 pixels on two cores (about 0.1 CPU seconds a pass); the second
# training starts from the first one's weights and needs fewer.
_PASSES, _MORE_PASSES = 1800, 1200
_MAX_EPOCHS, _MIN_EPOCHS = 20, 2


class BadFolder(DemoError):
    """The folder is not one that the demo can use."""


@dataclass(frozen=True)
class Picture:
    """One image of the folder with its labelled boxes in pixels, and the digest of its bytes."""

    path: Path
    sha256: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class CocoFolder:
    """What was found. left_out: reason → count of images or boxes that could not be used."""

    root: Path
    documents: tuple[Path, ...]
    pictures: tuple[Picture, ...]
    left_out: Mapping[str, int]


def read_folder(folder: Path | str, limit: int = LIMIT) -> CocoFolder:
    """Read the images and boxes of a COCO folder, at most `limit` images (the same ones each time).

    Annotations: `annotations.json` or `_annotations.coco.json`, else `instances_*.json`, else every JSON file below
    the folder that is COCO. Images: wherever they lie below the folder.
    Raises BadFolder: no folder, no COCO file, no image, no box, fewer than 30 usable images.
    """
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise BadFolder(f"there is no folder {folder}")
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not _is_hidden(path, root)]
    documents = _documents(root, files)
    images = _ImageFiles(root, [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES])
    if not images:
        raise BadFolder(f"no image below {root}: looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    left_out: Counter[str] = Counter()
    labelled = _labelled(documents, images, left_out)
    if not labelled:
        raise BadFolder(
            f"none of the images that {_names(documents)} names was found below {root}; "
            "their file_name must be the name or the path of an image file"
        )
    if not any(boxes for boxes, _ in labelled.values()):
        raise BadFolder(f"{_names(documents)} has no usable box: detection needs annotations with a bbox")
    # By hash of the path: the same choice each time, and not the first frames of one video.
    chosen = sorted(labelled, key=lambda path: hashlib.sha256(path.relative_to(root).as_posix().encode()).digest())
    if len(chosen) > limit:
        left_out[f"images beyond the limit of {limit} (--limit)"] = len(chosen) - limit
    pictures = tuple(_pictures(chosen[:limit], labelled, documents, left_out))
    if len(pictures) < MIN_IMAGES:
        raise BadFolder(
            f"{len(pictures)} usable images are too few for training and a held-out part: at least {MIN_IMAGES} are needed"
            + (f"; left out: {_sentence(left_out)}" if left_out else "")
        )
    return CocoFolder(root, tuple(documents), pictures, dict(left_out))


def coco_story(folder: Path | str, limit: int = LIMIT) -> Story:
    """The demo of a user's folder: a stable part held out by hash, 70 % of the rest for loop 1. Raises BadFolder."""
    found = read_folder(folder, limit)
    first: list[Shot] = []
    second: list[Shot] = []
    several_folders = len({picture.path.parent for picture in found.pictures}) > 1
    for picture in found.pictures:
        shot = _shot(picture, found.root, several_folders)
        is_first = shot.split == "test" or _share(picture.sha256, "round") < _FIRST
        (first if is_first else second).append(shot)
    _check_parts(first, second)
    labels = {label for picture in found.pictures for label in picture.labels}
    trained = sum(shot.split == "train" for shot in first)
    all_trained = trained + sum(shot.split == "train" for shot in second)
    notes = (f"left out: {_sentence(found.left_out)}",) if found.left_out else ()
    return Story(
        name=_dataset_name(found.root),
        title=f"Your images: {found.root.name}",
        about=(
            f"{len(found.pictures)} images with {len(labels)} classes from the COCO folder {found.root.name} "
            f"({_names(found.documents)}). A fifth is held out by the hash of each image: the same images each time."
        ),
        attributes="Device is the folder an image lies in; region and source are not known." if several_folders else "",
        first=Round(found.root, tuple(first)),
        second=Round(found.root, tuple(second)),
        training=_parameters(trained, _PASSES, 0.002),
        retraining=_parameters(all_trained, _MORE_PASSES, 0.001),
        # Nothing is known of these images: the first release is whatever loop 1 reaches, the second must not be worse.
        gate={"margin": 0.0, "max_class_drop": 0.1, "min_primary": 0.0},
        notes=notes,
    )


def _parameters(images: int, passes: int, learning_rate: float) -> Json:
    epochs = max(_MIN_EPOCHS, min(_MAX_EPOCHS, round(passes / max(images, 1))))
    return {"image_size": 256, "epochs": epochs, "batch_size": 8, "learning_rate": learning_rate, "seed": 1}


def _shot(picture: Picture, root: Path, several_folders: bool) -> Shot:
    point = _share(picture.sha256, "split")
    split = "test" if point < _TEST else "val" if point < _TEST + _VAL else "train"
    device = picture.path.parent.relative_to(root).as_posix() if several_folders else ""
    return Shot(picture.path, picture.width, picture.height, picture.boxes, picture.labels, split, device=device)


def _check_parts(first: Iterable[Shot], second: Iterable[Shot]) -> None:
    counts = Counter(shot.split for shot in first)
    counts["newly labelled"] = sum(shot.split == "train" for shot in second)
    for part in ("train", "val", "test", "newly labelled"):
        if not counts[part]:
            raise BadFolder(f"the {part} part came out empty: there are too few images")
    if not any(shot.boxes for shot in first if shot.split == "train"):
        raise BadFolder("no image of the training part has a box")
    if not any(shot.boxes for shot in first if shot.split == "test"):
        raise BadFolder("no image of the held-out part has a box")


def _share(sha256: str, salt: str) -> float:
    """0 ≤ share < 1, decided by the image's bytes alone."""
    return int.from_bytes(hashlib.sha256(f"{salt} {sha256}".encode()).digest()[:8], "big") / 2**64


def _dataset_name(root: Path) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in root.name)
    return kept.strip("-_")[:60] or "my-images"


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


# -- annotation files -------------------------------------------------------------------------------------------------


def _documents(root: Path, files: list[Path]) -> dict[Path, Json]:
    """The COCO documents to use. Raises BadFolder."""
    candidates = [path for path in files if path.suffix.lower() == ".json"]
    if not candidates:
        raise BadFolder(f"no .json file below {root}: a COCO folder has images and an annotations file")
    patterns = ("annotations.json", "_annotations.coco.json", "instances_*.json", "*")
    broken: dict[Path, str] = {}
    for pattern in patterns:
        found = {path: document for path in candidates if path.match(pattern) and (document := _read(path, broken))}
        if found:
            return found
    reasons = "; ".join(f"{path.name}: {reason}" for path, reason in list(broken.items())[:3])
    raise BadFolder(f"none of the {len(candidates)} .json files below {root} is COCO ({reasons})")


def _read(path: Path, broken: dict[Path, str]) -> Json | None:
    """The document, or None and the reason."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        broken[path] = f"cannot be read as JSON ({error})"
        return None
    if not isinstance(document, dict) or not all(
        isinstance(document.get(name), list) for name in ("images", "annotations", "categories")
    ):
        broken[path] = "has no lists `images`, `annotations` and `categories`"
        return None
    return document


# -- image files ------------------------------------------------------------------------------------------------------


class _ImageFiles:
    """Finds an image file by what an annotation file calls it."""

    def __init__(self, root: Path, paths: list[Path]) -> None:
        self._root = root
        self._known = set(paths)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            self._by_name[path.name].append(path)

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, file_name: str, document: Path) -> Path | None:
        """Below the folder, below the annotation file's folder, or by a name that only one file has."""
        relative = PurePosixPath(file_name.replace("\\", "/"))
        for base in (self._root, document.parent, self._root / "images", document.parent / "images"):
            path = base / relative
            if path in self._known:
                return path
        same_name = self._by_name.get(relative.name, [])
        if len(same_name) == 1:
            return same_name[0]
        # instances_val.json and val/0001.jpg: the folder whose name the annotation file carries.
        near = [path for path in same_name if path.parent.name.lower() in document.stem.lower()]
        return near[0] if len(near) == 1 else None


Labelled = dict[Path, tuple[list[Box], list[str]]]


def _labelled(documents: Mapping[Path, Json], images: _ImageFiles, left_out: Counter[str]) -> Labelled:
    """Boxes and labels of every image that was found; an image without annotation is a negative one."""
    labelled: Labelled = {}
    for place, document in documents.items():
        names = {entry.get("id"): str(entry.get("name") or entry.get("id")) for entry in document["categories"]}
        paths: dict[Any, Path] = {}
        for entry in document["images"]:
            path = images.find(str(entry.get("file_name", "")), place)
            if path is None:
                left_out["images whose file was not found"] += 1
            else:
                paths[entry.get("id")] = path
                labelled.setdefault(path, ([], []))
        for annotation in document["annotations"]:
            owner = paths.get(annotation.get("image_id"))
            if owner is not None:
                _add(annotation, names, labelled[owner], left_out)
    return labelled


def _add(
    annotation: Json, names: Mapping[Any, str], entry: tuple[list[Box], list[str]], left_out: Counter[str]
) -> None:
    box = annotation.get("bbox")
    if annotation.get("iscrowd"):
        left_out["boxes around crowds"] += 1
    elif annotation.get("category_id") not in names:
        left_out["boxes of an unknown category"] += 1
    elif not _is_box(box):
        left_out["boxes that are missing or empty"] += 1
    else:
        left, top, width, height = (float(value) for value in box or ())
        entry[0].append((left, top, left + width, top + height))
        entry[1].append(names[annotation["category_id"]])


def _is_box(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 4:
        return False
    numbers = [entry for entry in value if isinstance(entry, int | float) and not isinstance(entry, bool)]
    return len(numbers) == 4 and all(abs(entry) < 1e7 for entry in numbers) and numbers[2] > 0 and numbers[3] > 0


def _pictures(
    paths: Iterable[Path], labelled: Labelled, documents: Mapping[Path, Json], left_out: Counter[str]
) -> Iterator[Picture]:
    stated = {
        Path(str(entry.get("file_name", ""))).name: (entry.get("width"), entry.get("height"))
        for document in documents.values()
        for entry in document["images"]
    }
    seen: set[str] = set()
    for path in paths:
        try:
            with Image.open(path) as image:
                width, height = image.size
        except OSError:
            left_out["images that cannot be read"] += 1
            continue
        wanted = stated.get(path.name, (None, None))
        if all(wanted) and wanted != (width, height):
            # Boxes are in pixels of another size: using them would teach the model nonsense.
            left_out["images of another size than the annotations say"] += 1
            continue
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if sha256 in seen:
            left_out["copies of an image"] += 1
            continue
        seen.add(sha256)
        boxes, labels = labelled[path]
        inside = [place for place, box in enumerate(boxes) if _is_inside(box, width, height)]
        left_out["boxes outside their image"] += len(boxes) - len(inside)
        yield Picture(
            path,
            sha256,
            width,
            height,
            tuple(boxes[place] for place in inside),
            tuple(labels[place] for place in inside),
        )
    if not left_out["boxes outside their image"]:
        del left_out["boxes outside their image"]


def _is_inside(box: Box, width: int, height: int) -> bool:
    left, top, right, bottom = box
    return left < width and top < height and right > 0 and bottom > 0


def _names(documents: Iterable[Path]) -> str:
    names = [path.name for path in documents]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _sentence(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())
