"""SQL over the rows of a dataset version, in DuckDB on this machine (extra `analytics`).

A version's files are read into a database once. It is opened read-only, without access to files, network or
extensions, and its configuration is locked: a query can read the tables and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ankerautotrainsdk.errors import ConfigurationError, InvalidInput

# Raised with each change of the tables, so that databases of earlier versions are made again.
_LAYOUT = 1
_ROW_BYTES = 1 << 28  # the largest row: an image with all its polygons
_LABEL = "STRUCT(label VARCHAR, box DOUBLE[], score DOUBLE, polygons DOUBLE[][], mask JSON, crowd BOOLEAN)"
_ROW_COLUMNS = {
    "uid": "VARCHAR",
    "sha256": "VARCHAR",
    "width": "INTEGER",
    "height": "INTEGER",
    "group": "VARCHAR",
    "attributes": "JSON",
    "annotations": f'STRUCT(id VARCHAR, "method" VARCHAR, labels {_LABEL}[])[]',
}
_PLACE_COLUMNS = {"uid": "VARCHAR", "bucket": "VARCHAR", "key": "VARCHAR", "size_bytes": "BIGINT", "phash": "VARCHAR"}
_ATTRIBUTES = ("region", "security_level", "source", "device", "bg")


class Answer:
    """The rows of a query as they come. columns: their names."""

    def __init__(self, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
        self.columns = tuple(columns)
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows


def prepare(folder: Path) -> Path:
    """The database of a version whose files are in folder; made at the first time. Raises ConfigurationError without DuckDB."""
    duckdb = _duckdb()
    path = folder / f"tables-{_LAYOUT}.duckdb"
    if path.exists():
        return path
    # Made under another name: what a killed run leaves is never taken for a whole one.
    partial = folder / f".tables-{os.getpid()}.part"
    partial.unlink(missing_ok=True)
    with duckdb.connect(str(partial)) as base:
        base.execute("SET preserve_insertion_order = true")
        rows = " UNION ALL ".join(
            f"SELECT '{split}' AS split, * FROM {_json(folder / f'{split}.jsonl', _ROW_COLUMNS)}"  # noqa: S608 - ours
            for split in ("train", "val", "test")
        )
        base.execute(f"CREATE TEMP TABLE rows AS {rows}")
        places = _json(folder / "objects.jsonl", _PLACE_COLUMNS)
        base.execute(f"CREATE TEMP TABLE places AS SELECT * FROM {places}")  # noqa: S608 - all words are ours
        attributes = ", ".join(f"attributes->>'{name}' AS {name}" for name in _ATTRIBUTES)
        base.execute(
            f"""CREATE TABLE images AS
            SELECT uid, split, width, height, "group", {attributes}, len(annotations) AS annotations,
                   list_sum(list_transform(annotations, lambda said: len(said.labels)))::BIGINT AS labels,
                   bucket, key AS object_key, size_bytes, sha256, phash
            FROM rows JOIN places USING (uid) ORDER BY uid"""  # noqa: S608 - all words are ours
        )
        base.execute(
            """CREATE TABLE labels AS
            SELECT uid, split, said.id AS annotation_id, said.method AS "method", found.label AS label,
                   found.score AS score, found.box[1] AS "left", found.box[2] AS top, found.box[3] AS width,
                   found.box[4] AS height, found.box[3] * found.box[4] AS area,
                   found.polygons IS NOT NULL OR found.mask IS NOT NULL AS has_mask, coalesce(found.crowd, false) AS crowd
            FROM (SELECT uid, split, said, unnest(said.labels) AS found
                  FROM (SELECT uid, split, unnest(annotations) AS said FROM rows)) ORDER BY uid, annotation_id"""
        )
        base.execute(
            """CREATE TABLE splits AS
            SELECT split, count(*) AS images, sum(annotations)::BIGINT AS annotations, sum(labels)::BIGINT AS labels
            FROM images GROUP BY split ORDER BY split"""
        )
    partial.replace(path)
    return path


def query(database: Path, sql: str) -> Answer:
    """Run one statement. Raises InvalidInput with DuckDB's own words, ConfigurationError without DuckDB."""
    duckdb = _duckdb()
    base = duckdb.connect(
        str(database),
        read_only=True,
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "lock_configuration": "true",
        },
    )
    try:
        statements = base.extract_statements(sql)
        if len(statements) != 1:
            raise InvalidInput(f"give one statement, not {len(statements)}", details={"field": "sql"})
        cursor = base.execute(statements[0])
    except duckdb.Error as error:
        base.close()
        raise InvalidInput(str(error), details={"field": "sql"}) from error
    if cursor.description is None:
        return Answer((), iter(()))
    return Answer([column[0] for column in cursor.description], _rows(base, cursor))


def _rows(base: Any, cursor: Any) -> Iterator[tuple[Any, ...]]:
    try:
        while rows := cursor.fetchmany(1000):
            yield from rows
    finally:
        base.close()


def _json(path: Path, columns: dict[str, str]) -> str:
    """The lines of a file as rows. The path is ours, and quoted all the same."""
    quoted = str(path).replace("'", "''")
    spelt = ", ".join(f"\"{name}\": '{kind}'" for name, kind in columns.items())
    return (
        f"read_json('{quoted}', format = 'newline_delimited', columns = {{{spelt}}}, "
        f"maximum_object_size = {_ROW_BYTES})"
    )


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError("SQL needs DuckDB: pip install 'ankerautotrainsdk[analytics]'") from error
    return duckdb
