"""What changes images of a workspace: new ones, tags, regions, metadata, deletion.

Each call writes the rows first, then the term index, once a batch. A call that died in between is completed by its
repeat, or by the table's stream (services/indexing.py), whichever comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound
from dataloop.domain.image_changes import AddedRegions, MetadataSet, NewRegion, Pair, Stored, Tagged
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
    ordinal_of,
)
from dataloop.domain.terms import TAGGED, has_term, meta_term, tag_term
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.projects import ProjectRepository
from dataloop.repositories.terms import TermIndex
from dataloop.services.clock import Clock

MAX_IMAGES = 256  # of one call: the most that a client of Custom Vision deletes at once
WRITES_AT_ONCE = 8  # of one call; botocore keeps ten connections

Change = Callable[[Image], Image]
Value = TypeVar("Value")


class TaggingService:
    """Every call takes up to 256 images: LimitExceeded(images of a request). Throttled: repeat the call."""

    def __init__(self, images: ImageRepository, terms: TermIndex, projects: ProjectRepository, clock: Clock) -> None:
        self._images = images
        self._terms = terms
        self._projects = projects
        self._clock = clock

    def store(self, project: Project, images: Sequence[Image]) -> list[Stored]:
        """Write new images whose labels were checked (domain/projects.py, label_problem), in the order given.

        Content that the project has is a duplicate: what it brings (tags, regions, metadata) is merged into the image
        that stands, or refused as a whole: mixed_negative, too_many_tags, too_many_regions, too_much_metadata.
        Cost: 1 transaction of 4 WRU per image, and the blocks of its terms once.
        """
        _check_count(images)
        touched: dict[str, set[int]] = {}
        stored: list[Stored | None] = [None] * len(images)
        waiting = list(range(len(images)))
        while waiting:
            answers = self._images.add([images[index] for index in waiting])
            for index, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, Image):
                    stored[index] = Stored(answer, "ok")
                    _touch(touched, answer.terms, answer.ordinal)
            twins = {index: answer for index, answer in zip(waiting, answers, strict=True) if isinstance(answer, int)}
            merged = self._merge(project, images, twins, touched)
            for index, outcome in merged.items():
                stored[index] = outcome
            # The image that stood was deleted between the two looks: then this one is new after all.
            waiting = [index for index in twins if index not in merged]
        self._terms.settle(project.tenant, project.id, touched)
        return [outcome for outcome in stored if outcome is not None]

    def _merge(
        self, project: Project, images: Sequence[Image], twins: Mapping[int, int], touched: dict[str, set[int]]
    ) -> dict[int, Stored]:
        """Bring what duplicates say to the images that stand; twins: index of the duplicate, ordinal that stands."""
        if not twins:
            return {}
        tags = self._tags(project)
        rows = {row.ordinal: row for row in self._images.rows(project.tenant, project.id, sorted(set(twins.values())))}
        found: dict[int, Stored] = {}
        for index, ordinal in twins.items():  # in order: a batch may name the same content several times
            if ordinal not in rows:
                continue
            given = images[index]
            edited = self._images.edit(rows[ordinal], partial(self._merge_into, tags, given))
            if edited is None:
                continue
            before, after = edited
            problem = self._merged(before, given, tags)[1] if before == after else None
            found[index] = Stored(after, problem or "duplicate")
            rows[ordinal] = after
            _touch(touched, (before.terms ^ after.terms) or after.terms & given.terms, ordinal)
        return found

    def _merge_into(self, tags: Mapping[str, Tag], given: Image, row: Image) -> Image:
        return self._merged(row, given, tags)[0]

    def _merged(self, row: Image, given: Image, tags: Mapping[str, Tag]) -> tuple[Image, str | None]:
        """The image that stands with what a duplicate says, or as it is and why not."""
        known = {(region.tag_id, region.box) for region in row.regions}
        fresh = [region for region in given.regions if (region.tag_id, region.box) not in known]
        regions = (*row.regions, *(replace(region, id=self._region_id(row.ordinal)) for region in fresh))
        merged = replace(
            row,
            tags=dict(given.tags) | dict(row.tags),
            regions=regions,
            metadata=dict(row.metadata) | dict(given.metadata),
        )
        known_tags = [each for each in merged.all_tags if each in tags]  # not those that were deleted meanwhile
        problem = label_problem(tags, known_tags, len(merged.regions))
        if problem is None and len(merged.metadata) > MAX_METADATA:
            problem = "too_much_metadata"
        return (row, problem) if problem else (merged, None)

    def tag(self, project: Project, pairs: Sequence[Pair]) -> Tagged:
        """Give tags to images. exceeded: the image has as many tags as it may.

        Raises, before anything is written, NotFound(image), NotFound(tag), InvalidInput(mixed_negative).
        Cost: a read and a write of each image; the blocks of the tags.
        """
        wanted = _grouped((image_id, tag_id) for image_id, tag_id in pairs)
        tags, rows = self._known(project, wanted, {tag_id for _, tag_id in pairs})
        at = self._clock.text()

        def change(row: Image) -> Image:
            given = dict(row.tags)
            known = set(row.all_tags)
            for tag_id in wanted[row.id]:
                if tag_id in known or len(known) < MAX_TAGS_AN_IMAGE:
                    given.setdefault(tag_id, at)
                    known.add(tag_id)
            return _unmixed(replace(row, tags=given), tags)

        for row in rows:
            change(row)
        named = {tag_term(tag_id) for _, tag_id in pairs} | {TAGGED}
        outcome = Tagged([], [], [])
        for before, after in self._apply(project, rows, change, named):
            for tag_id in wanted[before.id]:
                place = outcome.duplicated if tag_id in before.tags else outcome.created
                (place if tag_id in after.tags else outcome.exceeded).append((before.id, tag_id))
        return outcome

    def untag(self, project: Project, image_ids: Sequence[str], tag_ids: Iterable[str]) -> list[str]:
        """Take tags, and the regions of these tags, from images; returns the ids of images that there are not.

        Cost: a read of each image, a write of each that had one; the blocks of the tags.
        """
        _check_count(image_ids)
        rows = self._images.get_many(project.tenant, project.id, image_ids)
        self._take_off(project, rows, set(tag_ids))
        return _missing(image_ids, rows)

    def _take_off(self, project: Project, rows: Sequence[Image], tag_ids: set[str]) -> None:
        def change(row: Image) -> Image:
            tags = {id: at for id, at in row.tags.items() if id not in tag_ids}
            return replace(row, tags=tags, regions=tuple(each for each in row.regions if each.tag_id not in tag_ids))

        self._apply(project, rows, change, {tag_term(each) for each in tag_ids} | {TAGGED})

    def forget_tag(self, project: Project, tag_id: str, limit: int = 1024) -> bool:
        """Take a deleted tag off up to `limit` images; True when no image has it any more.

        Cost: a read and a write of each image, the tag's blocks once per 256.
        """
        having = self._terms.bitmap(project.tenant, project.id, tag_term(tag_id))
        for start in range(0, min(limit, len(having)), MAX_IMAGES):
            ordinals = list(having[start : min(start + MAX_IMAGES, limit)])
            self._take_off(project, self._images.rows(project.tenant, project.id, ordinals), {tag_id})
        return len(having) <= limit

    def add_regions(self, project: Project, entries: Sequence[NewRegion]) -> AddedRegions:
        """Add boxes. duplicated: the image has the same box of the same tag; exceeded: it has as many as it may.

        Raises, before anything is written, InvalidInput(region), NotFound(image), NotFound(tag),
        InvalidInput(mixed_negative). Cost: a read and a write of each image; the blocks of the tags.
        """
        for index, entry in enumerate(entries):
            problem = box_problem(entry.box)
            if problem:
                raise InvalidInput("region", f"region {index} of image {entry.image_id}: {problem}", entry.box)
        wanted = _grouped((entry.image_id, entry) for entry in entries)
        tags, rows = self._known(project, wanted, {entry.tag_id for entry in entries})
        at = self._clock.text()

        def change(row: Image) -> Image:
            regions, known = list(row.regions), set(row.all_tags)
            boxes = {(region.tag_id, region.box) for region in regions}
            for entry in wanted[row.id]:
                has_room = entry.tag_id in known or len(known) < MAX_TAGS_AN_IMAGE
                if (entry.tag_id, entry.box) in boxes or len(regions) >= MAX_REGIONS_AN_IMAGE or not has_room:
                    continue
                regions.append(Region(self._region_id(row.ordinal), entry.tag_id, *entry.box, created_at=at))
                boxes.add((entry.tag_id, entry.box))
                known.add(entry.tag_id)
            return _unmixed(replace(row, regions=tuple(regions)), tags)

        for row in rows:
            change(row)
        named = {tag_term(entry.tag_id) for entry in entries} | {TAGGED}
        outcome = AddedRegions([], [], [])
        for before, after in self._apply(project, rows, change, named):
            _report_regions(outcome, before, after, wanted[before.id])
        for index, entry in enumerate(entries):
            if entry in entries[:index]:
                outcome.duplicated.append(entry)
        return outcome

    def delete_regions(self, project: Project, region_ids: Sequence[str]) -> list[str]:
        """Remove boxes by id; returns the ids that there are not. Cost: a read and a write of each image concerned."""
        ordinals = {id: ordinal for id in region_ids if (ordinal := ordinal_of(id)) is not None}
        wanted = list(dict.fromkeys(ordinals.values()))
        _check_count(wanted)
        rows = self._images.rows(project.tenant, project.id, wanted)
        there = {region.id for row in rows for region in row.regions}
        named = {tag_term(each.tag_id) for row in rows for each in row.regions if each.id in ordinals} | {TAGGED}

        def change(row: Image) -> Image:
            return replace(row, regions=tuple(region for region in row.regions if region.id not in ordinals))

        self._apply(project, rows, change, named)
        return [id for id in region_ids if id not in there]

    def set_metadata(
        self, project: Project, image_ids: Sequence[str], given: Mapping[str, str | None]
    ) -> list[MetadataSet]:
        """Set these keys on images; None takes a key away; other keys stay.

        Raises, before anything is written, LimitExceeded(metadata), InvalidInput(metadata key, metadata value).
        Cost: a read and a write of each image; two blocks per key.
        """
        _check_count(image_ids)
        check_metadata(given)

        def change(row: Image) -> Image:
            merged = {key: value for key, value in {**row.metadata, **given}.items() if value is not None}
            return row if len(merged) > MAX_METADATA else replace(row, metadata=merged)

        rows = self._images.get_many(project.tenant, project.id, image_ids)
        named = {has_term(key) for key in given}
        named |= {meta_term(key, value) for key, value in given.items() if value is not None}
        after = {row.id: row for _, row in self._apply(project, rows, change, named)}
        return [_metadata_set(id, after.get(id), given) for id in dict.fromkeys(image_ids)]

    def delete_images(self, project: Project, image_ids: Sequence[str]) -> list[str]:
        """Remove images from the workspace; returns the ids that there are not.

        The raw data stays, and so do iterations that learnt from it. Cost: 6 WRU per image; the blocks of its terms.
        """
        _check_count(image_ids)
        rows = self._images.get_many(project.tenant, project.id, image_ids)
        self.clear(project, rows)
        return _missing(image_ids, rows)

    def clear(self, project: Project, images: Sequence[Image], *, is_noted: bool = True) -> None:
        """Remove images that were read. Again is no error. is_noted: False when their project goes as a whole."""
        _check_count(images)
        if not images:
            return
        touched: dict[str, set[int]] = {}
        with ThreadPoolExecutor(min(WRITES_AT_ONCE, len(images))) as pool:
            gone = pool.map(lambda image: self._images.remove(image, is_noted=is_noted), images)
            for image, removed in zip(images, gone, strict=True):
                _touch(touched, (removed or image).terms, image.ordinal)
        self._terms.settle(project.tenant, project.id, touched)

    def _apply(
        self, project: Project, rows: Sequence[Image], change: Change, named: set[str]
    ) -> list[tuple[Image, Image]]:
        """Edit images side by side, then settle the terms that changed, once for all; (before, after) of each.

        named: the terms that the request speaks of. They are settled where nothing changed, too: the request may be the
        repeat of one that died behind the row.
        """
        if not rows:
            return []
        with ThreadPoolExecutor(min(WRITES_AT_ONCE, len(rows))) as pool:
            edited = [pair for pair in pool.map(lambda row: self._images.edit(row, change), rows) if pair is not None]
        touched: dict[str, set[int]] = {}
        for before, after in edited:
            _touch(touched, (before.terms ^ after.terms) or named, before.ordinal)
        self._terms.settle(project.tenant, project.id, touched)
        return edited

    def _known(
        self, project: Project, image_ids: Iterable[str], tag_ids: set[str]
    ) -> tuple[dict[str, Tag], list[Image]]:
        """The project's tags and the images. Raises NotFound."""
        wanted = list(image_ids)
        _check_count(wanted)
        tags = self._tags(project)
        for tag_id in sorted(tag_ids):
            if tag_id not in tags:
                raise NotFound("tag", tag_id)
        rows = self._images.get_many(project.tenant, project.id, wanted)
        for image_id in _missing(wanted, rows):
            raise NotFound("image", image_id)
        return tags, rows

    def _tags(self, project: Project) -> dict[str, Tag]:
        return {tag.id: tag for tag in self._projects.tags(project.tenant, project.id)}

    def _region_id(self, ordinal: int) -> str:
        return numbered_id(int(self._clock.now().timestamp() * 1000), ordinal, self._clock.random(6))


def _unmixed(row: Image, tags: Mapping[str, Tag]) -> Image:
    """The image, unless a negative tag met others on it. Tags that were deleted meanwhile do not count."""
    if label_problem(tags, [each for each in row.all_tags if each in tags]) == "mixed_negative":
        raise InvalidInput("mixed_negative", "a negative tag and other tags cannot be on one image", row.id)
    return row


def _metadata_set(image_id: str, row: Image | None, given: Mapping[str, str | None]) -> MetadataSet:
    if row is None:
        return MetadataSet(image_id, "not_found", {})
    is_set = all(row.metadata.get(key) == value for key, value in given.items())
    return MetadataSet(image_id, "ok" if is_set else "exceeded", row.metadata)


def _report_regions(outcome: AddedRegions, before: Image, after: Image, wanted: Iterable[NewRegion]) -> None:
    known = {(region.tag_id, region.box) for region in before.regions}
    there = {(region.tag_id, region.box): region for region in after.regions}
    for entry in wanted:
        found = there.get((entry.tag_id, entry.box))
        if found is None:
            outcome.exceeded.append(entry)
        elif (entry.tag_id, entry.box) in known:
            outcome.duplicated.append(entry)
        else:
            outcome.created.append((before.id, found))


def _check_count(images: Sequence[object]) -> None:
    if len(images) > MAX_IMAGES:
        raise LimitExceeded("images of a request", MAX_IMAGES, len(images))


def _missing(image_ids: Sequence[str], rows: Iterable[Image]) -> list[str]:
    there = {row.id for row in rows}
    return [id for id in dict.fromkeys(image_ids) if id not in there]


def _grouped(pairs: Iterable[tuple[str, Value]]) -> dict[str, list[Value]]:
    """Values by image, each once, in order."""
    found: dict[str, dict[Value, None]] = {}
    for image_id, value in pairs:
        found.setdefault(image_id, {})[value] = None
    return {image_id: list(values) for image_id, values in found.items()}


def _touch(touched: dict[str, set[int]], terms: Iterable[str], ordinal: int) -> None:
    for term in terms:
        touched.setdefault(term, set()).add(ordinal)
