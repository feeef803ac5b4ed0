"""New images of a project: bytes into the raw bucket, the record of their content, then the workspace's rows and index.

Each write stands by itself, in this order: the object, the record, copies to look at, the row with its index. So a crash
between any two leaves nothing that a repetition of the request does not complete, and no row without its bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, LimitExceeded, Unavailable
from dataloop.domain.ids import uid_of
from dataloop.domain.image_changes import MAX_ADDED as MAX_IMAGES
from dataloop.domain.image_changes import MAX_TAGS_ADDED as MAX_TAGS
from dataloop.domain.image_changes import NewImage
from dataloop.domain.projects import (
    MAX_METADATA,
    MAX_REGIONS_AN_IMAGE,
    MAX_TAGS_AN_IMAGE,
    Image,
    Project,
    Region,
    Tag,
    box_problem,
    check_metadata,
    label_problem,
    numbered_id,
)
from dataloop.domain.raw_data import Location, ObjectFacts, RawData, key_of, padded_sequencer
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.gateways.fetching import Fetcher
from dataloop.gateways.objects import Bucket
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services import inspecting
from dataloop.services.clock import Clock
from dataloop.services.projects import ProjectService
from dataloop.services.renditions import RenditionService, copies_of
from dataloop.services.tagging import TaggingService

# Azure Custom Vision's published limits, which clients are written for: bytes and sides of an image, and how many times the
# longer side may be the shorter one.
MAX_BYTES = 6 * 1024 * 1024
MAX_SIDE = 10_240
MAX_ASPECT = 25
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/bmp": ".bmp", "image/gif": ".gif"}
# Reads and PUTs side by side; S3's connection pool is as large.
AT_ONCE = 16
# The API gives up after 28 seconds. By then what is fetched and decoded must be stored: a picture that is not begun by the
# second time is left for the next request. The slowest to decode take some four seconds of a function's processor. A body of
# hundreds of megabytes takes some of the 28 before anything is added: the caller says how much is left of them.
FETCH_SECONDS = 16.0
KEEP_SECONDS = 18.0
STORE_SECONDS = 10.0

# Why labels are not taken, as domain/projects.py (label_problem) and the tagging service say it.
PROBLEMS = {
    "bad_tag": "names a tag that the project does not have",
    "mixed_negative": "has a negative tag together with others",
    "too_many_tags": f"has more than {MAX_TAGS_AN_IMAGE} tags",
    "too_many_regions": f"has more than {MAX_REGIONS_AN_IMAGE} regions",
    "too_much_metadata": f"would have more than {MAX_METADATA} pairs of metadata",
}


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one image: ok or duplicate, with the image; or a word for what is wrong, with the reason.

    The words: source_failed, bad_format, too_large, bad_size, bad_tag, too_many_tags, too_many_regions, mixed_negative,
    too_much_metadata, restricted, storage.
    """

    source: str
    status: str
    image: Image | None = None
    reason: str = ""


class Unfit(Exception):
    """An image that is not taken: the word of `Added.status`, and the reason."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Kept:
    """Content whose bytes are where a row may point."""

    uid: str
    key: str
    version_id: str
    facts: ObjectFacts


class AddingService:
    """Adds images to workspaces."""

    def __init__(
        self,
        projects: ProjectService,
        tagging: TaggingService,
        images: ImageRepository,
        raw_data: RawDataRepository,
        raw: Bucket,
        renditions: RenditionService,
        fetcher: Fetcher,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._tagging = tagging
        self._images = images
        self._raw_data = raw_data
        self._raw = raw
        self._renditions = renditions
        self._fetcher = fetcher
        self._clock = clock
        # Decoding is processor time and memory: several at once would take more of the one and save none of the other.
        self._decoding = threading.Lock()

    def add(
        self,
        project: Project,
        entries: Sequence[NewImage],
        tag_ids: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        clearance: Clearance = EVERYTHING,
        seconds_left: float = KEEP_SECONDS + STORE_SECONDS,
    ) -> list[Added]:
        """Add up to 64 images; each has its own answer, in order. The given tags and metadata are for all of them.

        Content that the project has already is a duplicate: it gets the tags, regions and metadata that it lacks. The same
        content twice in one request is one image. An erased image that is added lives again (docs/deletion.md).
        clearance: the caller's; content whose metadata does not pass it is restricted. seconds_left: until the answer must
        be given; images that are not begun STORE_SECONDS before have the status storage.
        Raises, before anything is written, LimitExceeded (images of a request, tags of a request, metadata) and
        InvalidInput (region, metadata key, metadata value).
        Cost: 1 query for the tags; per image 2 reads, 1 to 3 PUTs, 1 write of 2 WRU; one call of TaggingService.store.
        """
        self._check(entries, tag_ids)
        check_metadata(metadata or {})
        tags = {tag.id: tag for tag in self._projects.tags(project)}
        until = time.monotonic() + min(KEEP_SECONDS, seconds_left - STORE_SECONDS)
        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(entries)))) as pool:
            kept = list(pool.map(lambda entry: self._keep(project, tags, entry, tag_ids, clearance, until), entries))
        return self._store(project, entries, kept, tag_ids, metadata or {})

    def url_reader(self) -> Callable[[object], Callable[[], bytes]]:
        """Makes `NewImage.read` of URLs. All that one reader makes share the time that a request has for fetching."""
        until = time.monotonic() + FETCH_SECONDS

        def fetched(url: object) -> bytes:
            left = until - time.monotonic()
            if left <= 0:
                raise InvalidInput(
                    "url", "was not reached in the time of a request: send it again, with fewer others", url
                )
            return self._fetcher.fetch(url, MAX_BYTES, left)

        return lambda url: lambda: fetched(url)

    def _check(self, entries: Sequence[NewImage], tag_ids: Sequence[str]) -> None:
        """Raises what concerns the request as a whole."""
        if len(entries) > MAX_IMAGES:
            raise LimitExceeded("images of a request", MAX_IMAGES, len(entries))
        for ids in (tag_ids, *(entry.tag_ids for entry in entries)):
            if len(ids) > MAX_TAGS:
                raise LimitExceeded("tags of a request", MAX_TAGS, len(ids))
        for number, entry in enumerate(entries):
            for _, box in entry.regions:
                problem = box_problem(box)
                if problem is not None:
                    raise InvalidInput("region", f"of image {number} ({entry.source}) {problem}", box)

    # -- bytes ---------------------------------------------------------------------------------------------------
    def _keep(
        self,
        project: Project,
        tags: Mapping[str, Tag],
        entry: NewImage,
        tag_ids: Sequence[str],
        clearance: Clearance,
        until: float,
    ) -> Kept | Added:
        """Make the bytes of one image safe. Runs in a thread of its own."""
        try:
            own = {*tag_ids, *entry.tag_ids, *(tag_id for tag_id, _ in entry.regions)}
            problem = label_problem(tags, own, len(entry.regions))
            if problem is not None:
                raise Unfit(problem, PROBLEMS.get(problem, ""))
            return self._kept(project, _read(entry), clearance, until)
        except Unfit as error:
            return Added(entry.source, error.status, reason=str(error))

    def _kept(self, project: Project, body: bytes, clearance: Clearance, until: float) -> Kept:
        """Raises Unfit."""
        sha256 = hashlib.sha256(body).hexdigest()
        uid = uid_of(sha256)
        record = self._raw_data.get(project.tenant, uid)
        outside = clearance.problem((record.meta if record else None) or {})
        if outside is not None:
            raise Unfit("restricted", f"may not pass a restriction of residency: {outside}")
        known = record.facts if record is not None and record.is_usable else None
        if known is not None and self._images.find(project.tenant, project.id, [uid]):
            return Kept(uid, _key(project, uid, known), "", known)  # its row says where the bytes are
        with self._decoding:
            if time.monotonic() > until:
                raise Unfit("storage", "no time was left for it in this request: send it again")
            facts = _facts(sha256, body)
            copies = _copies(body)
        key = _key(project, uid, facts)
        try:
            version_id = self._put(project.tenant, uid, key, body, facts, record)
            # Behind the record: a deletion that is under way removes the copies of content whose record is erased.
            self._renditions.store(project.tenant, uid, copies)
            return Kept(uid, key, version_id, facts)
        except (IllegalTransition, Unavailable) as error:
            raise Unfit("storage", f"{error}: send it again") from error

    def _put(self, tenant: str, uid: str, key: str, body: bytes, facts: ObjectFacts, record: RawData | None) -> str:
        """The object and its record; returns the object's version.

        The record is written with the lowest sequencer: the event of the object comes with a real one, and repeats this.
        """
        began = self._clock.text()
        version_id = self._raw.put_version(key, body, facts.media_type, facts.sha256)
        # S3 tells a new object's own time only when asked. It decides after an erasure; else what we began with is as good.
        was_erased = record is not None and record.erased_at is not None
        stored = self._raw.head(key, version_id) if was_erased else None
        location = Location(
            bucket=self._raw.name,
            key=key,
            version_id=version_id,
            sequencer=padded_sequencer(""),
            size_bytes=len(body),
            from_bucket=True,
            modified=stored.modified if stored is not None else began,
        )
        self._raw_data.put_object_half(tenant, uid, facts, location, began)
        return version_id

    # -- rows ----------------------------------------------------------------------------------------------------
    def _store(
        self,
        project: Project,
        entries: Sequence[NewImage],
        kept: Sequence[Kept | Added],
        tag_ids: Sequence[str],
        metadata: Mapping[str, str],
    ) -> list[Added]:
        """Rows and index of what was kept: once for the first of each content, once more for its repetitions."""
        answers = [found if isinstance(found, Added) else Added(entries[i].source, "") for i, found in enumerate(kept)]
        first: dict[str, int] = {}
        for index, found in enumerate(kept):
            if isinstance(found, Kept):
                first.setdefault(found.uid, index)
        again = [i for i, found in enumerate(kept) if isinstance(found, Kept) and first[found.uid] != i]
        for indexes in (list(first.values()), again):
            wanted = [(i, found) for i in indexes if isinstance(found := kept[i], Kept)]
            images = self._images_of(project, [found for _, found in wanted])
            labelled = [
                self._labelled(image, entries[i], tag_ids, metadata)
                for image, (i, _) in zip(images, wanted, strict=True)
            ]
            for (i, _), stored in zip(wanted, self._tagging.store(project, labelled) if labelled else (), strict=True):
                answers[i] = Added(entries[i].source, stored.status, stored.image, PROBLEMS.get(stored.status, ""))
        return answers

    def _labelled(self, image: Image, entry: NewImage, tag_ids: Sequence[str], metadata: Mapping[str, str]) -> Image:
        """The image with what its entry and its request say of it. A region that is named twice is one."""
        ms, at = int(self._clock.now().timestamp() * 1000), image.created_at
        regions = tuple(
            Region(numbered_id(ms, image.ordinal, self._clock.random(6)), tag_id, *box, created_at=at)
            for tag_id, box in dict.fromkeys(entry.regions)
        )
        tags = dict.fromkeys((*tag_ids, *entry.tag_ids), at)
        return replace(image, tags=tags, regions=regions, metadata=dict(metadata))

    def _images_of(self, project: Project, kept: Sequence[Kept]) -> list[Image]:
        """Rows as they would be new. Content that the project has keeps its number: it is given to nothing else."""
        if not kept:
            return []
        standing = self._images.find(project.tenant, project.id, [found.uid for found in kept])
        missing = len(kept) - len(standing)
        following = itertools.count(self._images.reserve(project.tenant, project.id, missing) if missing else 0)
        now, ms = self._clock.text(), int(self._clock.now().timestamp() * 1000)
        images = []
        for found in kept:
            ordinal = standing[found.uid] if found.uid in standing else next(following)
            images.append(
                Image(
                    tenant=project.tenant,
                    project_id=project.id,
                    id=numbered_id(ms, ordinal, self._clock.random(6)),
                    ordinal=ordinal,
                    uid=found.uid,
                    key=found.key,
                    version_id=found.version_id,
                    width=found.facts.width or 0,
                    height=found.facts.height or 0,
                    created_at=now,
                )
            )
        return images


def _read(entry: NewImage) -> bytes:
    """Raises Unfit."""
    try:
        body = entry.read()
    except LimitExceeded as error:
        raise Unfit("too_large", str(error)) from error
    except DomainError as error:
        raise Unfit("source_failed", str(error)) from error
    if len(body) > MAX_BYTES:
        raise Unfit("too_large", f"has {len(body)} bytes; at most {MAX_BYTES}")
    return body


def _facts(sha256: str, body: bytes) -> ObjectFacts:
    """What the bytes say of a picture that may be trained on. Raises Unfit."""
    if not body:
        raise Unfit("bad_format", "is empty")
    facts = inspecting.inspect("image", sha256, len(body), body, body)
    if facts.width is None or facts.height is None:
        # Nothing is rejected by its name here, so what is rejected has more pixels than Pillow tells the size of.
        raise Unfit("bad_size" if facts.rejected else "bad_format", facts.rejected or "is no JPEG, PNG, BMP or GIF")
    width, height = facts.width, facts.height
    if facts.media_type not in SUFFIXES:
        raise Unfit("bad_format", f"is no JPEG, PNG, BMP or GIF, but {facts.media_type}")
    if max(width, height) > MAX_SIDE or width * height > inspecting.MAX_PIXELS:
        limits = f"{MAX_SIDE} pixels a side and {inspecting.MAX_PIXELS} pixels"
        raise Unfit("bad_size", f"has {width} x {height} pixels; at most {limits}")
    if facts.rejected:
        raise Unfit("bad_format", facts.rejected)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise Unfit("bad_size", f"has {width} x {height} pixels; one side may be {MAX_ASPECT} times the other at most")
    return facts


def _copies(body: bytes) -> dict[str, bytes]:
    """The copies to look at. Raises Unfit."""
    try:
        return copies_of(body)
    except InvalidInput as error:
        raise Unfit("bad_format", error.reason) from error


def _key(project: Project, uid: str, facts: ObjectFacts) -> str:
    return key_of(project.tenant, f"projects/{project.id}/{uid}{SUFFIXES.get(facts.media_type, '')}")
