"""What an iteration said of its test images: measured at any threshold, and image by image.

Made once, when a training ends; read from S3 alone.
"""

from __future__ import annotations

import tempfile
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import IO, Any

from pyroaring import BitMap

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound, Unavailable
from dataloop.domain.json_lines import canonical, parse
from dataloop.domain.models import Model
from dataloop.domain.performance import Curves, Measure
from dataloop.domain.projects import Image, Iteration
from dataloop.domain.terms import ALL, ImageQuery, Query, tag_term
from dataloop.gateways.objects import Bucket
from dataloop.manifests.answer_curves import CurveBuilder, Said, Truth, pack_curves, read_curves
from dataloop.manifests.frozen import ROWS_A_PART, Directory
from dataloop.services.browsing import BrowsingService
from dataloop.services.frozen_files import FrozenFiles, FrozenRow, performance_prefix_of, prefix_of
from dataloop.services.frozen_reading import FrozenCache, FrozenSource
from dataloop.services.snapshots import image_of

DEFAULT_THRESHOLD = DEFAULT_OVERLAP = 0.5
# Answers of an image that are kept with it, the likeliest: 256 images with 64 boxes each are 3 MB of an answer, and
# Lambda's end at 6 MB.
MOST_ANSWERS_AN_IMAGE = 64
# Waits in memory up to here, beyond it on disk.
_SPOOL_BYTES = 32 * 1024 * 1024
# Curves that a process keeps: up to 30 MB each.
KEPT_CURVES = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of an image. box: left, top, width, height as shares of the image; None for the whole image."""

    tag_id: str
    probability: float
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class TestedImage:
    """A test image as it was trained on, and what the iteration says of it, the likeliest first."""

    image: Image
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Performance:
    """Measures of an iteration. tags: (tag id, name, measure), in the order of the iteration's tags.

    floor: the lowest threshold that is answered exactly; 0 unless there were more than a million answers.
    """

    overall: Measure
    tags: tuple[tuple[str, str, Measure], ...]
    images: int
    floor: float


class TestedSource:
    """The test images of an iteration, numbered from 0 in the order they came."""

    def __init__(self, frozen: FrozenSource, tenant: str, project_id: str) -> None:
        self._frozen = frozen
        self._owner = tenant, project_id

    def bitmap(self, term: str) -> BitMap:
        """Of the terms `all` and `tag:<id>`. 1 GET at most."""
        return self._frozen.bitmap(term)

    def rows(self, ordinals: Iterable[int]) -> list[TestedImage]:
        """In the order asked, without what is not there. 1 GET for neighbours."""
        return [self._tested(row) for row in self._frozen.rows(ordinals)]

    def by_ids(self, ids: Sequence[str]) -> list[TestedImage]:
        """In the order asked. Reads all rows: nobody asks for test images by id."""
        everyone = {each.image.id: each for each in self.rows(self.bitmap(ALL))}
        return [everyone[id] for id in ids if id in everyone]

    def _tested(self, row: Mapping[str, Any]) -> TestedImage:
        image = image_of(*self._owner, {**row, "ordinal": row["came"]})
        answers = tuple(Answer(tag, score, tuple(box) if box else None) for tag, score, box in row["answers"])
        return TestedImage(image, answers)


class PerformanceService:
    """Records an iteration's performance, and answers from it without DynamoDB."""

    def __init__(self, artifacts: Bucket, browsing: BrowsingService, cache: FrozenCache) -> None:
        self._artifacts = artifacts
        self._files = FrozenFiles(artifacts)
        self._browsing = browsing
        self._cache = cache
        self._curves: OrderedDict[str, Curves] = OrderedDict()
        self._lock = Lock()

    def record(self, iteration: Iteration, model: Model) -> None:
        """Make the performance of what a training's report says of its test images. Repeating it is harmless.

        Raises NotFound(object) without a report or a snapshot, Unavailable when images were erased meanwhile. Cost: 1 GET
        of the predictions, 1 of each of the snapshot's objects, 3 PUTs for 2,048 test images. Memory: flat but for 100
        bytes a test image; what is larger waits on disk.
        """
        prefix = performance_prefix_of(iteration.tenant, iteration.project_id, iteration.id)
        if self._files.directory(prefix):
            self._files.finish(prefix, 0)  # done before: what is left of the parts goes
            return
        snapshot = self._snapshot(iteration)
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            answers = _Answers(iteration, model, spool)
            for line in self._artifacts.lines(f"{model.report_prefix}/predictions.jsonl"):
                answers.add(parse(line))
            curves = self._files.put(f"{prefix}/curves", pack_curves(answers.builder.curves()))
            came = BitMap()
            rows = self._tested(snapshot, answers, came)
            parts = 0
            while part := list(islice(rows, ROWS_A_PART)):
                self._files.write_part(prefix, parts, part)
                parts += 1
        came.run_optimize()
        numbers = self._files.put(f"{prefix}/ordinals", bytes(came.serialize()))
        self._files.finish(prefix, parts, files=[curves, numbers])
        if self._snapshot(iteration) != snapshot:
            # An erasure went through the snapshot while this copied from it: what it took must not stay here.
            self._artifacts.delete([key for key, _ in self._artifacts.keys(f"{prefix}/")])
            raise Unavailable(f"images of iteration {iteration.id} were erased while it was measured")

    def performance(
        self, iteration: Iteration, threshold: float | None = None, overlap: float | None = None
    ) -> Performance:
        """Measures at a threshold of probability and, for boxes, of overlap with the truth; both 0 … 1, and 0.5 for None.

        Raises InvalidInput(threshold, overlap), IllegalTransition(iteration) while it is not trained,
        NotFound(iteration performance) when no image was tested. Cost: 2 GETs, none for an iteration asked for before.
        """
        threshold = DEFAULT_THRESHOLD if threshold is None else threshold
        overlap = DEFAULT_OVERLAP if overlap is None else overlap
        for name, value in (("threshold", threshold), ("overlap", overlap)):
            if not 0 <= value <= 1:
                raise InvalidInput(name, "must be a number from 0 to 1", value)
        curves = self._read_curves(iteration)
        measures = dict(curves.measures(threshold, overlap))
        tags = tuple((tag["id"], tag["name"], measures[tag["id"]]) for tag in iteration.tags if tag["id"] in measures)
        return Performance(measures[None], tags, curves.images, curves.floor / 1_000_000)

    def images(self, iteration: Iteration, query: ImageQuery) -> list[TestedImage]:
        """Test images, and what was said of them. The query's terms are `all` and `tag:<id>`. 2 to 4 GETs.

        Raises IllegalTransition(iteration), NotFound(iteration performance), and as BrowsingService.page.
        """
        return self._browsing.page(self._source(iteration), query)

    def count(self, iteration: Iteration, where: Query) -> int:
        """How many test images a query names. 1 to 2 GETs. Raises as `images`."""
        return self._browsing.count(self._source(iteration), where)

    def _source(self, iteration: Iteration) -> TestedSource:
        return TestedSource(self._open(iteration), iteration.tenant, iteration.project_id)

    def _open(self, iteration: Iteration) -> FrozenSource:
        if iteration.status != "COMPLETED":
            raise IllegalTransition("iteration", iteration.id, iteration.status, "measuring it")
        prefix = performance_prefix_of(iteration.tenant, iteration.project_id, iteration.id)
        source = FrozenSource(self._artifacts, self._cache, prefix)
        try:
            _ = source.directory
        except NotFound:
            raise NotFound("iteration performance", iteration.id) from None
        return source

    def _read_curves(self, iteration: Iteration) -> Curves:
        key, _ = self._open(iteration).directory.files
        with self._lock:
            found = self._curves.get(key)
        if found is None:
            found = read_curves(self._artifacts.get(key))
            with self._lock:
                self._curves[key] = found
                while len(self._curves) > KEPT_CURVES:
                    self._curves.popitem(last=False)
        if not found.images:
            raise NotFound("iteration performance", iteration.id)
        return found

    def _snapshot(self, iteration: Iteration) -> Directory:
        prefix = iteration.snapshot or prefix_of(iteration.tenant, iteration.project_id, iteration.id)
        found = self._files.directory(prefix)
        if found is None:
            raise NotFound("object", prefix)
        return found

    def _tested(self, snapshot: Directory, answers: _Answers, came: BitMap) -> Iterator[FrozenRow]:
        """The snapshot's images that were tested, numbered anew from 0, so that a page of them lies together.

        came gets their ordinals in the snapshot: the rank of each among them is its new number.
        """
        ordinal = 0
        for file in snapshot.rows:
            for block in self._files.blocks(file):
                for row in block:
                    said = answers.of(row["uid"])
                    if said is None:
                        continue
                    came.add(row["ordinal"])
                    image = image_of("", "", row)
                    terms = frozenset({ALL, *map(tag_term, image.all_tags)})
                    yield FrozenRow(
                        ordinal, terms, {**row, "came": row["ordinal"], "ordinal": ordinal, "answers": said}
                    )
                    ordinal += 1


class _Answers:
    """The lines of predictions.jsonl, with the tags' ids for their labels: as columns, and each to be found by uid."""

    def __init__(self, iteration: Iteration, model: Model, spool: IO[bytes]) -> None:
        self._ids = {tag["name"]: tag["id"] for tag in iteration.tags}
        self._measured = {tag["id"] for tag in iteration.tags if tag.get("kind") != "negative"}
        learnt = [self._ids[label] for label in model.labels if label in self._ids]
        self.builder = CurveBuilder(model.task_type, [tag_id for tag_id in learnt if tag_id in self._measured])
        self._spool = spool
        self._numbers: dict[str, int] = {}
        self._ends = array("Q", [0])

    def add(self, line: Mapping[str, Any]) -> None:
        said = [
            (self._ids[each["label"]], each["score"], each["box"])
            for each in line["predictions"]
            if each["label"] in self._ids
        ]
        truths = [Truth(self._ids[each["label"]], each["box"]) for each in line["truth"] if each["label"] in self._ids]
        self.builder.add(
            [Said(tag if tag in self._measured else None, score, box) for tag, score, box in said],
            [truth for truth in truths if truth.tag_id in self._measured],
        )
        best = sorted(said, key=lambda each: -each[1])[:MOST_ANSWERS_AN_IMAGE]
        packed = zlib.compress(canonical(best), 1)
        self._spool.write(packed)
        self._numbers[line["uid"]] = len(self._numbers)
        self._ends.append(self._ends[-1] + len(packed))

    def of(self, uid: str) -> list[Any] | None:
        """[tag id, score, box] of what was said of an image; None when it was not tested."""
        number = self._numbers.get(uid)
        if number is None:
            return None
        begin, end = self._ends[number], self._ends[number + 1]
        self._spool.seek(begin)
        found: list[Any] = parse(zlib.decompress(self._spool.read(end - begin)))
        return found
