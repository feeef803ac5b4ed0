"""dataloop release, rollback, releases …, loops …"""

from __future__ import annotations

from typing import Annotated

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import (
    Cursor,
    Json,
    Limit,
    MaxSecurityLevel,
    Regions,
    Timeout,
    Wait,
    object_argument,
    restriction,
    use,
)
from ankerautotrainsdk.cli.session import open_client

releases = typer.Typer(help="Releases: list, current, approve, reject.", no_args_is_help=True)
loops = typer.Typer(help="Retraining loops: list, show, create, start.", no_args_is_help=True)


def release(
    model_id: str,
    name: Annotated[str | None, typer.Option("--name", help="What devices ask for.")] = None,
    require_approval: Annotated[bool, typer.Option("--require-approval", help="Hold until somebody approves.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Publish although the gate says no.")] = False,
    gate: Annotated[
        str | None,
        typer.Option("--gate", help="JSON object, or @file, e.g. '{\"min_primary\": 0.5}'; docs/evaluation.md."),
    ] = None,
    region: Regions = None,
    max_security_level: MaxSecurityLevel = None,
    wait: Annotated[
        bool | None, typer.Option("--wait/--no-wait", help="By default waits, unless approval is required.")
    ] = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Publish a model, when it passes the gate; exit code 1 when it is refused."""
    use(as_json)
    wanted = object_argument(gate, "--gate")
    with open_client() as client:
        task = client.release(
            model_id,
            name,
            # Not given means: as the service is set up, not "no".
            require_approval=require_approval or None,
            force=force or None,
            gate=wanted,
            residency=restriction(region, max_security_level),
            wait=not require_approval if wait is None else wait,
            timeout_s=timeout,
        )
    output.emit(task)
    if (task.get("result") or {}).get("published") is False:
        if not as_json:
            typer.echo("dataloop: refused: the reasons are above", err=True)
        raise typer.Exit(1)


def rollback(name: str, as_json: Json = False) -> None:
    """Go back to the release before the current one."""
    use(as_json)
    with open_client() as client:
        output.emit(client.rollback(name))


@releases.command("list")
def list_releases(
    name: Annotated[str | None, typer.Option("--name")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Releases, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_releases(name, limit=limit, cursor=cursor)
    columns = ("release_id", "name", "model_id", "status", "created_at")
    output.table(page, page, columns, f"more: --cursor {page.cursor}" if page.cursor else "")


@releases.command()
def current(name: str, as_json: Json = False) -> None:
    """What is published under a name now."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_current_release(name))


@releases.command()
def approve(release_id: str, comment: Annotated[str | None, typer.Option()] = None, as_json: Json = False) -> None:
    """Approve a release that waits for it."""
    use(as_json)
    with open_client() as client:
        output.emit(client.approve(release_id, comment))


@releases.command()
def reject(release_id: str, comment: Annotated[str | None, typer.Option()] = None, as_json: Json = False) -> None:
    """Reject a release that waits for approval."""
    use(as_json)
    with open_client() as client:
        output.emit(client.reject(release_id, comment))


@loops.command("list")
def list_loops(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """The loops."""
    use(as_json)
    with open_client() as client:
        page = client.list_loops(limit=limit, cursor=cursor)
    output.table(page, page, ("loop_id", "name", "dataset_name", "release_name"))


@loops.command()
def show(loop_id: str, as_json: Json = False) -> None:
    """A loop with its last decisions."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_loop(loop_id))


@loops.command()
def create(
    definition: Annotated[str, typer.Argument(help="The loop as a JSON object, or @file; see docs/sdk.md.")],
    as_json: Json = False,
) -> None:
    """Set up retraining without a call."""
    use(as_json)
    fields = object_argument(definition, "DEFINITION")
    with open_client() as client:
        output.emit(client.create_loop(fields))


@loops.command()
def start(
    loop_id: str,
    force: Annotated[bool, typer.Option("--force", help="Even when there is not enough new.")] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Run a loop now."""
    use(as_json)
    with open_client() as client:
        output.emit(client.start_loop(loop_id, force=force, wait=wait, timeout_s=timeout))
