"""dataloop datasets files, dataloop sql."""

from __future__ import annotations

import csv
import json
import sys
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.data import datasets
from ankerautotrainsdk.cli.options import Json, use
from ankerautotrainsdk.cli.session import open_client

# Rows that a table on the screen shows; --json and --csv give all.
SHOWN = 1_000


@datasets.command()
def files(
    dataset_id: str,
    directory: Annotated[str, typer.Option("--directory", "-d", help="Local folder.")] = ".",
    as_json: Json = False,
) -> None:
    """Download all files of a built version, and check them against its digest."""
    use(as_json)
    with open_client() as client:
        paths = client.download_dataset_files(dataset_id, directory)
    output.emit({"paths": paths}, "\n".join(paths))


def sql(
    dataset_id: str,
    statement: Annotated[str, typer.Argument(help="One SELECT over the tables images, labels and splits.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a built dataset version in SQL (DuckDB; pip install 'ankerautotrainsdk\\[analytics]')."""
    use(as_json)
    with open_client() as client:
        answer = client.query_dataset(dataset_id, statement)
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer)
    elif as_json:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer]
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, default=str) + "\n")
    else:
        _table(answer.columns, list(answer))


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    shown = [dict(zip(columns, row, strict=True)) for row in rows[:SHOWN]]
    note = f"{len(rows)} rows" if len(rows) <= SHOWN else f"{SHOWN} of {len(rows)} rows; --csv gives all"
    output.table(shown, shown, columns, note)
