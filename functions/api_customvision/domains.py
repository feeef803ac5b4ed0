"""Custom Vision's published domains, and what each means here.

Ids and names are Microsoft's: the page "Select a domain for a Custom Vision project" (learn.microsoft.com) has thirteen
of them; Adult and the compact Food, Landmarks and Retail domains are as GetDomains answered, in public code that lists
its answer. The order is GetDomains' own.

A domain decides the kind of task; all of them start from the same network. What Microsoft's special domains know of food,
landmarks, logos or shelves is in weights that were never published (docs/surfaces/customvision-domains.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api_customvision.mapping_exports import PLATFORMS
from dataloop.catalog import architectures
from dataloop.domain.errors import NotFound

CLASSIFICATION, DETECTION = "Classification", "ObjectDetection"
TYPES = (CLASSIFICATION, DETECTION)
CLASSIFIERS = {"Multiclass": "classification", "Multilabel": "multilabel_classification"}
# What the service takes when a project is made without the choice.
DEFAULT_CLASSIFIER = "Multilabel"


@dataclass(frozen=True, slots=True)
class Domain:
    """id and name as published; type: Classification or ObjectDetection; architecture: ours."""

    id: str
    name: str
    type: str
    architecture: str = architectures.DEFAULT

    def task_type(self, classifier: str) -> str:
        """What a project of this domain learns; classifier: Multiclass or Multilabel."""
        return "detection" if self.type == DETECTION else CLASSIFIERS[classifier]


DOMAINS = (
    Domain("2e37d7fb-3a54-486a-b4d6-cfc369af0018", "General [A2]", CLASSIFICATION),
    Domain("a8e3c40f-fb4a-466f-832a-5e457ae4a344", "General [A1]", CLASSIFICATION),
    Domain("ee85a74c-405e-4adc-bb47-ffa8ca0c9f31", "General", CLASSIFICATION),
    Domain("c151d5b5-dd07-472a-acc8-15d29dea8518", "Food", CLASSIFICATION),
    Domain("ca455789-012d-4b50-9fec-5bb63841c793", "Landmarks", CLASSIFICATION),
    Domain("b30a91ae-e3c1-4f73-a81e-c270bff27c39", "Retail", CLASSIFICATION),
    Domain("45badf75-3591-4f26-a705-45678d3e9f5f", "Adult", CLASSIFICATION),
    Domain("a1db07ca-a19a-4830-bae8-e004a42dc863", "General (compact) [S1]", CLASSIFICATION),
    Domain("0732100f-1a38-4e49-a514-c9b44c697ab5", "General (compact)", CLASSIFICATION),
    Domain("8882951b-82cd-4c32-970b-d5f8cb8bf6d7", "Food (compact)", CLASSIFICATION),
    Domain("b5cfd229-2ac7-4b2b-8d0a-2b0661344894", "Landmarks (compact)", CLASSIFICATION),
    Domain("6b4faeda-8396-481b-9f8b-177b9fa3097f", "Retail (compact)", CLASSIFICATION),
    Domain("9c616dff-2e7d-ea11-af59-1866da359ce6", "General [A1]", DETECTION),
    Domain("da2e3a8a-40a5-4171-82f4-58522f70fbc1", "General", DETECTION),
    Domain("1d8ffafe-ec40-4fb2-8f90-72b3b6cecea4", "Logo", DETECTION),
    Domain("3780a898-81c3-4516-81ae-3a139614e1f3", "Products on Shelves", DETECTION),
    Domain("7ec2ac80-887b-48a6-8df9-8b1357765430", "General (compact) [S1]", DETECTION),
    Domain("a27d5ca5-bb19-49d8-a70a-fec086c47f5b", "General (compact)", DETECTION),
)
# The service's own default: "Defaults to General".
DEFAULT_ID = "ee85a74c-405e-4adc-bb47-ffa8ca0c9f31"
_BY_ID = {domain.id: domain for domain in DOMAINS}


def find(domain_id: str) -> Domain | None:
    """The domain of an id, or None."""
    return _BY_ID.get(domain_id)


def get(domain_id: str) -> Domain:
    """Raises NotFound(domain)."""
    found = find(domain_id)
    if found is None:
        raise NotFound("domain", domain_id)
    return found


def answer(domain: Domain) -> dict[str, Any]:
    """The wire's Domain. Every model here can be exported, so every domain says so, not the compact ones alone."""
    kind = "objects with boxes" if domain.type == DETECTION else "images"
    return {
        "id": domain.id,
        "name": domain.name,
        "type": domain.type,
        "exportable": True,
        "enabled": True,
        "exportablePlatforms": list(PLATFORMS),
        "modelInformation": {"description": f"{domain.architecture}, trained from ImageNet weights, for {kind}"},
    }
