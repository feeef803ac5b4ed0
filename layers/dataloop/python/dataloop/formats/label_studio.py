"""Label Studio's JSON export: a list of tasks. Coordinates are percents of the picture, brush masks an RLE of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.formats import values
from dataloop.formats.bitmaps import bitmap_of_rows, check_size, mask_in_text, rle_of
from dataloop.formats.brush import read_brush
from dataloop.formats.json_stream import parts
from dataloop.formats.names import is_image
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.surface import Findings, FormatError, Label, Picture

# What a task calls the answers of people; the second until version 1.0.
_ANSWERS = ("annotations", "completions")
_HEAD = re.compile(rb"^(\xef\xbb\xbf)?\s*\[\s*\{")
_LOOKS = 3
# A name that was uploaded gets eight random hex digits before it.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(.+)$")
# The last is a region whose label comes from a control of its own.
_REGIONS = ("rectanglelabels", "polygonlabels", "brushlabels", "ellipselabels", "bitmasklabels", "labels")


class LabelStudioReader:
    """Rectangles, polygons, brushes, bitmasks and ellipses with labels, and choices.

    Of several people's answers the one marked as ground truth counts, else the last; cancelled ones never. The others,
    predictions, tasks without an answer and every other kind of result are losses.
    """

    NAME = "label_studio"

    def recognises(self, source: Source) -> bool:
        for looks, name in enumerate(values.names_with(source, ".json")):
            if looks == _LOOKS:
                break
            if _is_export(source, name):
                return True
        return False

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures of all tasks that have an answer. Raises FormatError for a file that is broken anywhere."""
        names = [name for name in values.names_with(source, ".json") if _is_export(source, name)]
        if not names:
            raise FormatError("Label Studio", "holds no .json file with a list of tasks")
        seen = Seen()
        for name in names:
            with source.open(name) as stream:
                tasks = (value for key, what, value in parts(stream, name) if what == "entry" and key == "")
                for index, task in enumerate(tasks):
                    item = _item(name, index, task)
                    try:
                        picture = _Task(task, item, findings).picture()
                    except FormatError:
                        raise
                    except (InvalidInput, LimitExceeded) as error:
                        findings.problem(item, str(error))
                        continue
                    except values.NothingUsable as nothing:
                        nothing.report(findings, item)
                        continue
                    if picture is not None and seen.add(picture.file_name):
                        yield picture
                    elif picture is not None:
                        findings.problem(item, f"speaks of {picture.file_name}, which another task has spoken of")


def _is_export(source: Source, name: str) -> bool:
    head = values.head_of(source, name)
    has_answers = any(f'"{word}"'.encode() in head for word in (*_ANSWERS, "predictions"))
    return _HEAD.match(head) is not None and has_answers and (b'"data"' in head or b'"result"' in head)


def _item(name: str, index: int, task: object) -> str:
    id = task.get("id") if isinstance(task, Mapping) else None
    return f"{name}: task {index if id is None else values.shown(id)}"


class _Task:
    """One task: a picture and what people said of it."""

    def __init__(self, task: object, item: str, findings: Findings) -> None:
        if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
            raise InvalidInput("data", "is missing: this is no task")
        self._task = task
        self._item = item
        self._findings = findings
        self._size: tuple[int | None, int | None] = (None, None)

    def picture(self) -> Picture | None:
        """None for a task without an answer: nobody said that its picture shows nothing."""
        answer = self._answer()
        if answer is None:
            self._findings.lost("task without an answer", self._item)
            return None
        address = self._address()
        file_name = _file_name(address)
        labels, tags = values.objects_first(self._labels(answer), self._findings, self._item)
        attributes: dict[str, Any] = {"source": address} if address != file_name else {}
        if uploaded := _UPLOADED.match(file_name.rsplit("/", 1)[-1]):
            attributes["other_names"] = [uploaded.group(1)]
        width, height = self._size
        return Picture(file_name, values.kind_of(labels), tuple(labels), width, height, attributes=attributes | tags)

    def _address(self) -> object:
        data = self._task["data"]
        if isinstance(data.get("image"), str):
            return data["image"]
        pictures = [value for value in data.values() if isinstance(value, str) and is_image(value.split("?")[0])]
        if len(pictures) != 1:
            raise InvalidInput("data", "must name one picture", sorted(data)[:10])
        return pictures[0]

    def _answer(self) -> Mapping[str, Any] | None:
        """The answer that counts; the others and the predictions are losses."""
        found: list[Any] = next((self._task[word] for word in _ANSWERS if isinstance(self._task.get(word), list)), [])
        answers = [answer for answer in found if isinstance(answer, Mapping) and not answer.get("was_cancelled")]
        for _ in self._task.get("predictions") or ():
            self._findings.lost("prediction", self._item)
        if not answers:
            return None
        for _ in answers[1:]:
            self._findings.lost("answer of another annotator", self._item)
        return max(answers, key=_rank)

    def _labels(self, answer: Mapping[str, Any]) -> list[Label]:
        results = answer.get("result")
        if not isinstance(results, list):
            raise InvalidInput("result", "must be a list", results)
        if len(results) > MAX_LABELS:
            raise LimitExceeded("result", MAX_LABELS, len(results))
        labels: list[Label] = []
        regions = {result.get("id") for result in results if isinstance(result, Mapping) and _is_region(result)}
        for index, result in enumerate(results):
            item = f"{self._item}: result {index}"
            try:
                labels += self._result(result, item, regions)
            except FormatError:
                raise
            except (InvalidInput, LimitExceeded) as error:
                self._findings.problem(item, str(error))
        if results and not labels:
            raise values.NothingUsable
        return labels

    def _result(self, result: object, item: str, regions: set[Any]) -> list[Label]:
        """The labels of one region or choice."""
        if not isinstance(result, Mapping) or not isinstance(result.get("type"), str):
            raise InvalidInput("result", "must be an object with a type", result)
        kind, value = result["type"].lower(), result.get("value")
        is_choice = kind == "choices"
        if (is_choice and result.get("id") in regions) or not (is_choice or _is_region(result)):
            self._findings.lost(f"result {values.shown(kind)}", item)
            return []
        if not isinstance(value, Mapping):
            raise InvalidInput("value", "must be an object", value)
        names = value.get(kind)
        if not isinstance(names, list) or not names:
            self._findings.lost("region without a label", item)
            return []
        names = [values.text(name, kind) for name in names]
        if is_choice:
            return [Label(name) for name in names]
        self._measure(result)
        box, segmentation = self._shape(kind, value, item)
        return [Label(name, box, segmentation) for name in names]

    def _measure(self, result: Mapping[str, Any]) -> None:
        """The picture's size, which each region repeats."""
        if result.get("image_rotation"):
            raise InvalidInput("image_rotation", "must be 0: its frame is another", result["image_rotation"])
        size = values.size_of(result.get("original_width"), result.get("original_height"))
        if size == (None, None):
            raise InvalidInput("original_width", "and original_height must be there: coordinates are percents of them")
        if self._size not in ((None, None), size):
            raise InvalidInput("original_width", f"and original_height differ from {self._size} before", size)
        self._size = size

    def _shape(
        self, kind: str, value: Mapping[str, Any], item: str
    ) -> tuple[tuple[float, float, float, float] | None, Any]:
        """Box and segmentation in pixels."""
        if kind == "brushlabels" or "rle" in value:
            return None, self._brush(value)
        if kind == "bitmasklabels":
            return None, rle_of(mask_in_text(value.get("imageDataURL"), "imageDataURL"), *self._pixels)
        if kind == "polygonlabels" or "points" in value:
            points = value.get("points")
            if not isinstance(points, Sequence) or isinstance(points, str):
                raise InvalidInput("points", "must be a list of points", points)
            places = [values.point(place, f"points[{index}]") for index, place in enumerate(points)]
            return None, values.outline([self._place(*place) for place in places], "points")
        degrees = values.number(value.get("rotation") or 0, "rotation")
        x, y = (values.number(value.get(field), field) for field in ("x", "y"))
        if kind == "ellipselabels" or "radiusX" in value:
            self._findings.lost("ellipse, kept as polygon", item)
            radii = (values.number(value.get(field), field) for field in ("radiusX", "radiusY"))
            return None, values.ellipse(*self._place(x, y), *self._place(*radii), "ellipse", degrees)
        across, down = (values.number(value.get(field), field) for field in ("width", "height"))
        left, top = self._place(x, y)
        right, bottom = self._place(x + across, y + down)
        box = values.box(left, top, right, bottom, "box")
        if degrees % 360:
            # Label Studio turns around the corner that x and y name.
            return None, values.turned_box(box, (left, top), degrees, "box")
        return box, None

    @property
    def _pixels(self) -> tuple[int, int]:
        width, height = self._size
        assert width is not None  # _measure came before
        assert height is not None
        return width, height

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Percents as pixels, to 1/1000: percents have noise behind it, and whole pixels must come back whole."""
        width, height = self._pixels
        return round(x * width / 100, 3), round(y * height / 100, 3)

    def _brush(self, value: Mapping[str, Any]) -> dict[str, Any]:
        width, height = self._pixels
        check_size(width, height, "mask")
        runs = read_brush(value.get("rle"), width * height)
        return rle_of(bitmap_of_rows(runs, width, height), width, height)


def _is_region(result: Mapping[str, Any]) -> bool:
    return str(result.get("type")).lower() in _REGIONS


def _rank(answer: Mapping[str, Any]) -> tuple[bool, str, int]:
    """Ground truth before others, then the later one."""
    id = answer.get("id")
    at = answer.get("updated_at") or answer.get("created_at") or ""
    return bool(answer.get("ground_truth")), str(at), id if isinstance(id, int) else 0


def _file_name(address: object) -> str:
    """The picture's name: local files come as /data/local-files/?d=folder/name, uploads as /data/upload/1/name."""
    if isinstance(address, str) and "/data/local-files/" in address:
        asked = parse_qs(address.partition("?")[2]).get("d", [""])
        return values.file_name_of(asked[0], "image")
    name = values.file_name_of(address, "image")
    return re.sub(r"^data/upload/(\d+/)?", "", name)
