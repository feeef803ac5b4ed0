"""The command tree: options before the sub-command, the groups, and errors as exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ankerautotrainsdk._version import __version__
from ankerautotrainsdk.cli import (
    analyses,
    data,
    deletions,
    imports,
    inference,
    keys,
    lineage,
    local,
    manifests,
    models,
    output,
    releases,
    search,
    session,
    tasks,
    versions,
)
from ankerautotrainsdk.errors import DataloopError

app = typer.Typer(
    name="dataloop",
    help="Upload, label, build datasets, train, release; and run the whole service on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"dataloop {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    url: Annotated[str | None, typer.Option("--url", help="Address of the service.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="API key.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options for every command, given before it: dataloop --url http://… datasets list."""
    session.given.url = url
    session.given.api_key = key


app.add_typer(local.group, name="local")
app.add_typer(versions.group, name="datasets")
app.add_typer(tasks.group, name="tasks")
app.add_typer(models.group, name="models")
app.add_typer(releases.releases, name="releases")
app.add_typer(releases.loops, name="loops")
app.add_typer(search.queries, name="queries")
app.add_typer(deletions.group, name="deletions")
app.add_typer(deletions.retention, name="retention")
app.add_typer(keys.group, name="keys")
app.command()(data.upload)
app.command("import")(imports.import_)
app.command()(imports.formats)
app.command()(models.train)
app.command()(models.recommend)
app.command()(models.evaluate)
app.command()(models.export)
app.command()(lineage.why)
app.command()(analyses.predict)
app.command()(analyses.auto_annotate)
app.command()(analyses.select)
app.command()(analyses.sensitivity)
app.command()(inference.infer)
app.command()(manifests.sql)
app.command()(search.search)
app.command()(releases.release)
app.command()(releases.rollback)
app.command()(deletions.delete)


def run(arguments: list[str] | None = None) -> None:
    """Run the command. Raises SystemExit: 0 done, 1 an error (one line on standard error), 2 wrong usage."""
    # Errors that come before the command itself runs must know it too.
    output.mode.as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=arguments, prog_name="dataloop")
    except DataloopError as error:
        output.fail(error)
        raise SystemExit(1) from None
    except BrokenPipeError:
        # `dataloop … | head` went away: nothing more to say, and nowhere to say it.
        sys.stderr.close()
        raise SystemExit(1) from None
    except Exception as error:
        output.fail(error)
        raise SystemExit(1) from None
