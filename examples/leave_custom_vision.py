"""Copy a Custom Vision project to another endpoint of the same protocol: Azure to Dataloop, or Dataloop to Dataloop.

Both ends are driven by Microsoft's own client (pip install azure-cognitiveservices-vision-customvision). Copied: the
project's kind, domain and description, its tags with their types, its images with tags, regions and metadata. Not copied:
iterations (train again) and stored predictions. Nothing is ever deleted or changed at the source.

    export SOURCE_TRAINING_KEY=… TARGET_TRAINING_KEY=…
    python leave_custom_vision.py --source https://westeurope.api.cognitive.microsoft.com --project "my project" \
        --target http://127.0.0.1:8000

It may be stopped and started again: finished images are listed in a file and skipped, and one that is sent twice is
answered as a duplicate. Exit status: 0 when both ends have the same numbers, 1 when they differ, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from azure.cognitiveservices.vision.customvision.training import models as wire
from msrest.authentication import ApiKeyCredentials

PAGE = 256  # the most that get_images gives
BATCH = 64  # the most that create_images_from_files takes
# Base64 makes four bytes of three, and Dataloop in AWS takes 6 MB a request: the images of one request together.
REQUEST_BYTES = 4 * 1024 * 1024
SECONDS = 60
ARRIVED = ("OK", "OKDuplicate")


@dataclass
class Copy:
    """One run: both ends, which tag became which, and what is done."""

    source: Any
    target: Any
    source_id: str
    target_id: str
    tags: Mapping[str, str]
    done_file: Path
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Copy every image that is not in the file yet, oldest first."""
        done = set(self.done_file.read_text("utf-8").split()) if self.done_file.exists() else set()
        waiting = (image for image in images_of(self.source, self.source_id) if image.id not in done)
        self.statuses["copied before"] = len(done)
        while chunk := list(islice(waiting, BATCH)):
            for metadata, images in _by_metadata(chunk):
                for batch in self.requests(images):
                    self.send(batch, metadata)
            print(f"{sum(self.statuses.values())} images: {dict(self.statuses)}", flush=True)

    def requests(self, images: Iterable[Any]) -> Iterator[list[tuple[Any, bytes]]]:
        """Images with their bytes, as many together as a request holds. One too large for any comes alone."""
        batch: list[tuple[Any, bytes]] = []
        size = 0
        for image in images:
            try:
                answer = requests.get(image.original_image_uri, timeout=SECONDS)
                answer.raise_for_status()
            except requests.RequestException as error:
                self.note(image, f"download failed ({type(error).__name__})")
                continue
            if batch and size + len(answer.content) > REQUEST_BYTES:
                yield batch
                batch, size = [], 0
            batch.append((image, answer.content))
            size += len(answer.content)
        if batch:
            yield batch

    def send(self, batch: Sequence[tuple[Any, bytes]], metadata: dict[str, str] | None) -> None:
        """One request. A failure of one image is reported and holds nothing up; the next run tries it again."""
        answered = self.from_url(batch[0][0], metadata) if _is_too_large(batch) else self.from_files(batch, metadata)
        for image, _ in batch:
            self.note(image, answered.get(image.id, "no answer"))

    def from_files(self, batch: Sequence[tuple[Any, bytes]], metadata: dict[str, str] | None) -> dict[str, str]:
        """Status by the source's id: the name of a file comes back with its status, in whatever order."""
        entries = [
            wire.ImageFileCreateEntry(name=image.id, contents=bytearray(content), **self.labels(image))
            for image, content in batch
        ]
        files = wire.ImageFileCreateBatch(images=entries, metadata=metadata)
        answer = self.target.create_images_from_files(self.target_id, files)
        return {result.source_url: result.status for result in answer.images}

    def from_url(self, image: Any, metadata: dict[str, str] | None) -> dict[str, str]:
        """Status by the source's id of one image, which the target fetches itself."""
        entry = wire.ImageUrlCreateEntry(url=image.original_image_uri, **self.labels(image))
        urls = wire.ImageUrlCreateBatch(images=[entry], metadata=metadata)
        answer = self.target.create_images_from_urls(self.target_id, urls)
        return {image.id: answer.images[0].status}

    def note(self, image: Any, status: str) -> None:
        """Count what became of an image, and remember it when it has arrived."""
        self.statuses[status] += 1
        if status not in ARRIVED:
            self.failures.append(f"{image.id}: {status}")
            return
        with self.done_file.open("a", encoding="utf-8") as done:
            done.write(f"{image.id}\n")

    def labels(self, image: Any) -> dict[str, Any]:
        """The tags and regions of an image, in the target's ids. A region brings its own tag."""
        regions = [
            wire.Region(tag_id=self.tags[each.tag_id], **_inside(each.left, each.top, each.width, each.height))
            for each in image.regions or []
        ]
        boxed = {each.tag_id for each in regions}
        tags = [self.tags[each.tag_id] for each in image.tags or []]
        return {"tag_ids": [tag for tag in tags if tag not in boxed], "regions": regions}


def images_of(client: Any, project_id: str) -> Iterator[Any]:
    """Every image of a project's workspace, oldest first."""
    skip = 0
    while page := client.get_images(project_id, order_by="Oldest", take=PAGE, skip=skip):
        yield from page
        skip += len(page)


def _is_too_large(batch: Sequence[tuple[Any, bytes]]) -> bool:
    return len(batch) == 1 and len(batch[0][1]) > REQUEST_BYTES


def _inside(left: float, top: float, width: float, height: float) -> dict[str, float]:
    """A box cut to the image: stored boxes may reach over its edge by a rounding."""
    left, top = min(max(left, 0.0), 1.0), min(max(top, 0.0), 1.0)
    return {"left": left, "top": top, "width": min(width, 1.0 - left), "height": min(height, 1.0 - top)}


def _by_metadata(images: Iterable[Any]) -> Iterator[tuple[dict[str, str] | None, Iterable[Any]]]:
    """Images that follow each other with the same metadata: a request has one for all of its images."""
    for key, found in groupby(images, lambda image: json.dumps(image.metadata or {}, sort_keys=True)):
        yield json.loads(key) or None, found


def find_project(client: Any, wanted: str) -> Any:
    """A project by id or name. Raises SystemExit."""
    found = [each for each in client.get_projects() if wanted in (each.id, each.name)]
    if len(found) != 1:
        raise SystemExit(f"the source has {len(found)} projects with the id or name {wanted!r}")
    return found[0]


def target_project(client: Any, source: Any, name: str) -> Any:
    """The project of that name, made like the source when there is none yet."""
    for each in client.get_projects():
        if each.name == name:
            return each
    known = {domain.id for domain in client.get_domains()}
    settings = source.settings
    if settings.domain_id not in known:
        raise SystemExit(f"the target does not know the domain {settings.domain_id}")
    return client.create_project(
        name,
        description=source.description or None,
        domain_id=settings.domain_id,
        classification_type=settings.classification_type,
    )


def copy_tags(source: Any, source_id: str, target: Any, target_id: str) -> dict[str, str]:
    """Make the tags that are missing; source id -> target id."""
    standing = {tag.name: tag.id for tag in target.get_tags(target_id)}
    found = {}
    for tag in source.get_tags(source_id):
        if tag.name not in standing:
            made = target.create_tag(target_id, tag.name, description=tag.description or None, type=tag.type)
            standing[tag.name] = made.id
        found[tag.id] = standing[tag.name]
    return found


def numbers(client: Any, project_id: str) -> dict[str, int]:
    """What a project holds, as its tags and counts say, and as its images do."""
    found = Counter({f"images with the tag {tag.name}": tag.image_count for tag in client.get_tags(project_id)})
    found["tagged images"] = client.get_tagged_image_count(project_id)
    found["untagged images"] = client.get_untagged_image_count(project_id)
    for image in images_of(client, project_id):
        found["images"] += 1
        found["images with metadata"] += bool(image.metadata)
        found.update(f"regions of the tag {region.tag_name}" for region in image.regions or [])
    return {name: count for name, count in found.items() if count}


def report(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Print both ends side by side; whether they are the same."""
    print(f"{'':50} {'source':>10} {'target':>10}")
    for name in sorted({*before, *after}):
        ours, theirs = before.get(name, 0), after.get(name, 0)
        print(f"{name:50} {ours:>10} {theirs:>10}{'' if ours == theirs else '   differs'}")
    return dict(before) == dict(after)


def client_of(endpoint: str, variable: str) -> Any:
    """Microsoft's training client. Raises SystemExit without a key."""
    key = os.environ.get(variable)
    if not key:
        raise SystemExit(f"{variable} is not set")
    return CustomVisionTrainingClient(
        endpoint,  # type: ignore[no-untyped-call]
        ApiKeyCredentials(in_headers={"Training-key": key}),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Copy a Custom Vision project to another endpoint.")
    parser.add_argument("--source", required=True, metavar="URL", help="endpoint that has the project")
    parser.add_argument("--project", required=True, help="its id or name")
    parser.add_argument("--target", required=True, metavar="URL", help="endpoint that gets it")
    parser.add_argument("--name", help="the project's name there (default: the same)")
    parser.add_argument("--done", type=Path, help="file with the ids of finished images (default: <project id>.done)")
    parser.add_argument("--compare", action="store_true", help="copy nothing, only compare both ends")
    given = parser.parse_args(arguments)
    for url in (given.source, given.target):
        if urlsplit(url).scheme not in ("http", "https"):
            parser.error(f"{url!r} is no http or https address")
    source, target = client_of(given.source, "SOURCE_TRAINING_KEY"), client_of(given.target, "TARGET_TRAINING_KEY")
    project = find_project(source, given.project)
    made = target_project(target, project, given.name or project.name)
    failures: list[str] = []
    if not given.compare:
        tags = copy_tags(source, project.id, target, made.id)
        copy = Copy(source, target, project.id, made.id, tags, given.done or Path(f"{project.id}.done"))
        copy.run()
        failures = copy.failures
    for line in failures:
        print(f"not copied: {line}", file=sys.stderr)
    is_same = report(numbers(source, project.id), numbers(target, made.id))
    return 0 if is_same and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
