"""Projects on the wire: what a request wants of one, and how one is answered.

`Project.info` keeps what only this surface knows: domain_id, classification_type (None where boxes are learnt),
target_export_platforms, use_negative_set, augmentation, notification_uri, container_uri.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from api_customvision import domains, requests
from api_customvision.faults import Refused
from api_customvision.mapping_exports import PLATFORMS, REFUSED_PLATFORMS
from dataloop.domain.projects import Project

if TYPE_CHECKING:
    from dataloop.services.copying import ProjectExport

Json = dict[str, Any]

STATUSES = {"ACTIVE": "Succeeded", "IMPORTING": "Importing", "FAILED": "Failed"}
UNKNOWN_CLASSIFIER = "BadRequestProjectUnknownClassification"
# A URI with a shared access signature has some 300 characters.
MAX_URI = 2_048
# The names of transforms are the service's; it has half a dozen.
MAX_TRANSFORMS = 32
MAX_TRANSFORM_NAME = 64


def project(found: Project, thumbnail: str | None) -> Json:
    info = found.info
    settings: Json = {
        "domainId": info.get("domain_id", domains.DEFAULT_ID),
        "targetExportPlatforms": list(info.get("target_export_platforms", [])),
        "useNegativeSet": bool(info.get("use_negative_set", True)),
        "imageProcessingSettings": {"augmentationMethods": dict(info.get("augmentation", {}))},
    }
    optional = {
        "classificationType": info.get("classification_type"),
        "exportModelContainerUri": info.get("container_uri"),
        "notificationQueueUri": info.get("notification_uri"),
    }
    answer: Json = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "settings": settings | {name: value for name, value in optional.items() if value},
        "created": found.created_at,
        "lastModified": found.updated_at,
        "drModeEnabled": False,
        "status": STATUSES[found.status],
    }
    return answer | ({"thumbnailUri": thumbnail} if thumbnail else {})


def export(found: ProjectExport) -> Json:
    return {
        "iterationCount": found.iterations,
        "imageCount": found.images,
        "tagCount": found.tags,
        "regionCount": found.regions,
        "estimatedImportTimeInMS": found.estimated_ms,
        "token": found.token,
    }


def new(
    domain_id: str | None, classifier: str | None, platforms: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of `ProjectService.create` that follow from a domain and the other choices.

    Raises Refused: BadRequestProjectUnknownDomain, …UnknownClassification, …UnsupportedExportPlatform, BadRequestInvalidUri.
    """
    domain = _domain(domain_id or domains.DEFAULT_ID)
    chosen = _classifier(classifier or domains.DEFAULT_CLASSIFIER)
    is_detection = domain.type == domains.DETECTION
    info: Json = {
        "surface": "customvision",
        "domain_id": domain.id,
        "target_export_platforms": _platforms(platforms),
        "use_negative_set": True,
        "augmentation": {},
        "container_uri": _uri(options, "exportModelContainerUri"),
        "notification_uri": _uri(options, "notificationQueueUri"),
    }
    return {
        "task_type": domain.task_type(chosen),
        "architecture": domain.architecture,
        "info": info | ({} if is_detection else {"classification_type": chosen}),
    }


def changes(found: Project, body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `ProjectService.update` for a Project as clients send it back; what it leaves out stays.

    Raises Refused as `new`, and BadRequestProjectUnsupportedDomainTypeChange, BadRequestProjectImagePreprocessingSettings.
    """
    wanted: Json = {"name": requests.body_text(body, "name"), "description": requests.body_text(body, "description")}
    settings = requests.an_object(body, "settings")
    if settings is None:
        return wanted
    before = domains.get(found.info.get("domain_id", domains.DEFAULT_ID))
    domain_id = settings.get("domainId")
    domain = before if domain_id is None else _domain(domain_id)
    if domain.type != before.type:
        raise Refused(
            "BadRequestProjectUnsupportedDomainTypeChange",
            f"settings.domainId: the project's domain is of type {before.type}, and {domain.name} is of {domain.type}",
        )
    info = dict(found.info) | {"domain_id": domain.id}
    classifier = info.get("classification_type") or domains.DEFAULT_CLASSIFIER
    if settings.get("classificationType") is not None:
        classifier = _classifier(settings["classificationType"])
    if domain.type == domains.CLASSIFICATION:
        info["classification_type"] = classifier
    if settings.get("targetExportPlatforms") is not None:
        info["target_export_platforms"] = _platforms(settings["targetExportPlatforms"])
    processing = requests.an_object(settings, "imageProcessingSettings")
    if processing is not None and processing.get("augmentationMethods") is not None:
        info["augmentation"] = _transforms(processing["augmentationMethods"])
    return wanted | {"info": info, "task_type": domain.task_type(classifier), "architecture": domain.architecture}


def _domain(domain_id: object) -> domains.Domain:
    found = domains.find(requests.guid(domain_id, "domainId"))
    if found is None:
        raise Refused("BadRequestProjectUnknownDomain", f"domainId: no domain has the id {str(domain_id)[:100]!r}")
    return found


def _classifier(value: object) -> str:
    found = next((each for each in domains.CLASSIFIERS if each.lower() == str(value).strip().lower()), None)
    if found is None:
        words = ", ".join(domains.CLASSIFIERS)
        raise Refused(UNKNOWN_CLASSIFIER, f"classificationType: must be one of {words} (got {str(value)[:100]!r})")
    return found


def _platforms(values: object) -> list[str]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise Refused("BadRequest", f"targetExportPlatforms: must be a list (got {str(values)[:100]!r})")
    found: list[str] = []
    for value in values:
        platform = next((each for each in PLATFORMS if each.lower() == str(value).strip().lower()), None)
        if platform is None:
            why = REFUSED_PLATFORMS.get(str(value).lower(), f"must be one of {', '.join(PLATFORMS)}")
            reason = f"targetExportPlatforms: {why} (got {str(value)[:100]!r})"
            raise Refused("BadRequestProjectUnsupportedExportPlatform", reason)
        found.append(platform)
    return list(dict.fromkeys(found))


def _transforms(value: object) -> dict[str, bool]:
    """Names of image transforms, each on or off."""
    found = value if isinstance(value, Mapping) and len(value) <= MAX_TRANSFORMS else None
    if found is None or not all(
        isinstance(found[name], bool) and 0 < len(name) <= MAX_TRANSFORM_NAME for name in found
    ):
        raise Refused(
            "BadRequestProjectImagePreprocessingSettings",
            "settings.imageProcessingSettings.augmentationMethods: must be an object of at most "
            f"{MAX_TRANSFORMS} names with true or false",
        )
    return dict(found)


def _uri(options: Mapping[str, Any], name: str) -> str | None:
    """A URI that events carry; nothing here ever calls it."""
    found = requests.body_text(options, name)
    if not found:
        return None
    try:
        parts = urlsplit(found)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and len(found) <= MAX_URI
    except ValueError:
        is_right = False
    if not is_right or any(ord(letter) <= 32 for letter in found):
        raise Refused("BadRequestInvalidUri", f"{name}: must be an http or https URI of at most {MAX_URI} characters")
    return found
