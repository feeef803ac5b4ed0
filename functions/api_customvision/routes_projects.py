"""Routes of domains and projects: make, change, delete, copy by token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import domains, mapping_projects, requests
from api_customvision.context import principal, project, services
from dataloop.domain.projects import Project
from dataloop.domain.terms import ImageQuery

router = APIGatewayHttpRouter()

# Two reads a project, sixteen projects at a time.
THREADS = 16


@router.get("/training/domains")
def get_domains() -> list[dict[str, Any]]:
    """Every published domain. Scope: read."""
    principal(router, "read")
    return [domains.answer(domain) for domain in domains.DOMAINS]


@router.get("/training/domains/<domain_id>")
def get_domain(domain_id: str) -> dict[str, Any]:
    """One domain. Scope: read."""
    principal(router, "read")
    return domains.answer(domains.get(requests.guid(domain_id, "domainId")))


@router.get("/training/projects")
def get_projects() -> list[dict[str, Any]]:
    """All projects, newest first. Scope: read."""
    caller = principal(router, "read")
    found = services().projects.list(caller.tenant)
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_answer, found))


@router.post("/training/projects")
def create_project() -> dict[str, Any]:
    """A new, empty project; its domain decides what it learns. Scope: write."""
    caller = principal(router, "write")
    wish = mapping_projects.new(
        requests.text(router, "domainId"),
        requests.text(router, "classificationType"),
        requests.texts(router, "targetExportPlatforms"),
        requests.body(router),
    )
    name = requests.required(router, "name")
    description = requests.text(router, "description") or ""
    return mapping_projects.project(
        services().projects.create(caller.tenant, name, description=description, **wish), None
    )


@router.post("/training/projects/import")
def import_project() -> dict[str, Any]:
    """A copy of the project that a token names; images follow while its status is Importing. Scope: write."""
    caller = principal(router, "write")
    token, name = requests.required(router, "token"), requests.text(router, "name")
    return mapping_projects.project(services().copying.start(caller.tenant, token, name), None)


@router.get("/training/projects/<project_id>")
def get_project(project_id: str) -> dict[str, Any]:
    """One project with its settings. Scope: read."""
    _, found = project(router, "read", project_id)
    return _answer(found)


@router.patch("/training/projects/<project_id>")
def update_project(project_id: str) -> dict[str, Any]:
    """Name, description and settings; a domain of the other type is refused. Scope: write."""
    _, found = project(router, "write", project_id)
    return _answer(services().projects.update(found, **mapping_projects.changes(found, requests.body(router))))


@router.delete("/training/projects/<project_id>")
def delete_project(project_id: str) -> Response[str]:
    """Gone at once; what was in it is removed by a task. Scope: write."""
    _, found = project(router, "write", project_id)
    services().projects.delete(found)
    return Response(status_code=204, body="")


@router.get("/training/projects/<project_id>/export")
def export_project(project_id: str) -> dict[str, Any]:
    """How much there is to copy, and the token that copies it. Scope: read."""
    _, found = project(router, "read", project_id)
    return mapping_projects.export(services().copying.export(found))


def _answer(found: Project) -> dict[str, Any]:
    """With the thumbnail of the image that came first."""
    browsing, renditions = services().browsing, services().renditions
    first = browsing.page(browsing.workspace(found), ImageQuery(newest_first=False, take=1))
    return mapping_projects.project(found, renditions.links_of(first[0]).thumbnail if first else None)
