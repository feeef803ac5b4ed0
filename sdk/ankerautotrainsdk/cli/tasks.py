"""dataloop tasks …"""

from __future__ import annotations

from typing import Annotated

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, Timeout, use
from ankerautotrainsdk.cli.session import open_client

group = typer.Typer(help="Tasks: list, show, wait, stop, download.", no_args_is_help=True)


@group.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Option("--kind", help="build, train, evaluate, export, predict, select, release, loop, …")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Tasks, newest first."""
    use(as_json)
    with open_client() as client:
        page = client.list_tasks(kind, limit=limit, cursor=cursor)
    columns = ("task_id", "kind", "status", "phase", "created_at")
    output.table(page, page, columns, f"more: --cursor {page.cursor}" if page.cursor else "")


@group.command()
def show(task_id: str, as_json: Json = False) -> None:
    """One task."""
    use(as_json)
    with open_client() as client:
        output.emit(client.get_task(task_id))


@group.command()
def wait(task_id: str, timeout: Timeout = None, as_json: Json = False) -> None:
    """Wait until a task is over; exit code 1 when it failed, was stopped, or takes longer than --timeout."""
    use(as_json)
    with open_client() as client:
        output.emit(client.wait_for_task(task_id, timeout_s=timeout))


@group.command()
def stop(task_id: str, as_json: Json = False) -> None:
    """Ask a task to stop."""
    use(as_json)
    with open_client() as client:
        output.emit(client.stop_task(task_id))


@group.command()
def download(
    task_id: str,
    name: Annotated[str, typer.Argument(help="File name as `tasks show` has it, e.g. predictions.jsonl.")],
    directory: Annotated[str, typer.Option("--directory", "-d", help="Local folder.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Download one file that a task made."""
    use(as_json)
    with open_client() as client:
        done = client.download_task_file(task_id, name, directory, overwrite=overwrite)
    output.emit(done, done.path)
