"""What became of new images, in Custom Vision's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api_customvision import mapping
from dataloop.domain.projects import Image

if TYPE_CHECKING:
    from dataloop.services.adding import Added
    from dataloop.services.renditions import Links

Json = dict[str, Any]

# ImageCreateStatus has no word for content that a restriction of residency keeps out.
STATUSES = {
    "ok": "OK",
    "duplicate": "OKDuplicate",
    "source_failed": "ErrorSource",
    "bad_format": "ErrorImageFormat",
    "too_large": "ErrorImageSize",
    "bad_size": "ErrorImageDimensions",
    "bad_tag": "ErrorInvalidTag",
    "too_many_tags": "ErrorTagLimitExceed",
    "too_many_regions": "ErrorRegionLimitExceed",
    "mixed_negative": "ErrorNegativeAndRegularTagOnSameImage",
    "too_much_metadata": "ErrorLimitExceed",
    "restricted": "ErrorUnknown",
    "storage": "ErrorStorage",
}


def summary(added: Sequence[Added], names: Mapping[str, str], links: Mapping[str, Links]) -> tuple[Json, int]:
    """(ImageCreateSummary, status code). A duplicate was not created, so a batch with one is no success: 207.

    links: by image id.
    """
    is_success = all(each.status == "ok" for each in added)
    answer = {"isBatchSuccessful": is_success, "images": [_result(each, names, links) for each in added]}
    return answer, 200 if is_success else 207


def _result(added: Added, names: Mapping[str, str], links: Mapping[str, Links]) -> Json:
    answer: Json = {"sourceUrl": added.source, "status": STATUSES[added.status], "image": None}
    if added.image is not None:
        answer["image"] = _image(added.image, names, links)
    if added.reason:
        answer["message"] = added.reason
    return answer


def _image(image: Image, names: Mapping[str, str], links: Mapping[str, Links]) -> Json:
    return mapping.image(image, names, links[image.id])
