"""The images of a workspace with their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dataloop.domain.errors import NotFound
from dataloop.domain.ids import uid_of
from dataloop.domain.projects import Image, Project
from dataloop.gateways.objects import Bucket
from dataloop.repositories.images import ImageRepository


class ProjectImages:
    """Reads are strongly consistent."""

    def __init__(self, images: ImageRepository, raw: Bucket) -> None:
        self._images = images
        self._raw = raw

    def existing(self, project: Project, image_ids: Sequence[str]) -> list[Image]:
        """Those that exist, in the order asked. 1 call per 100."""
        return self._images.get_many(project.tenant, project.id, image_ids)

    def get_many(self, project: Project, image_ids: Sequence[str]) -> list[Image]:
        """All of them, in the order asked. Raises NotFound(image). 1 call per 100."""
        found = self.existing(project, image_ids)
        known = {image.id for image in found}
        for image_id in image_ids:
            if image_id not in known:
                raise NotFound("image", image_id)
        return found

    def content(self, image: Image) -> bytes:
        """The bytes that came with the image. Raises NotFound(image) when they are gone, or are others by now. 1 GET."""
        try:
            content = self._raw.get(image.key, image.version_id)
        except NotFound as missing:
            raise NotFound("image", image.id) from missing
        if uid_of(hashlib.sha256(content).hexdigest()) != image.uid:
            raise NotFound("image", image.id)
        return content
