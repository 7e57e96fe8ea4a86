"""The tables as files in a folder or bucket: Parquet, or Delta tables.

Here: views of DuckDB over dlt's files, and what dlt can't do on files: changing rows, SQL models.
Not here: dlt's own loading.

Where files are plain Parquet, dlt adds rows and never changes any: a table's files then hold every version of a row,
and its view shows the newest of each key, out of completed loads. A row is changed by loading it again; one that is
deleted is loaded again with `_is_gone`. A SQL model is one Parquet file, replaced at once.
Files of a bucket are copied to this machine when they are first asked for, beside dlt's working folder: those of loaded
tables never change, and DuckDB then needs none of its extensions. Copies go when their table is read from other files.
"""

# ruff: noqa: S608 - names come from dlt's schema and from heads of models that were checked

import os
import posixpath
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import sqlglot
from dlt.common.schema import Schema
from dlt.common.schema.utils import get_columns_names_with_prop
from dlt.common.utils import uniq_id
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.pipeline.pipeline import Pipeline
from sqlglot import exp

from mode_dagster.warehouse.duckdb_file import DuckDBWarehouse
from mode_dagster.warehouse.interface import TYPES, Rows
from mode_dagster.warehouse.reload import loadable
from mode_dagster.warehouse.sql import literal, quoted

GONE = "_is_gone"
"""Marks a row that was deleted; the view leaves it out."""
LOADS = "_dlt_loads"
MANY_FILES = 100
"""A table with more of them is read slowly."""
LOAD_ID = "_dlt_load_id"
IN_USE = 3_600
"""Seconds for which a copy that was asked for is kept, though the table has other files by now: a query may read it."""


class FilesWarehouse(DuckDBWarehouse):
    """dlt's files, read by DuckDB in memory.

    Args:
        pipeline: What loads the files; rows are changed through it.
        client: Opened.
        connection: An empty database in memory.
    """

    def __init__(self, pipeline: Pipeline, client: FilesystemClient, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(connection)
        self._pipeline = pipeline
        self._client = client
        self._files: dict[str, dict[str, list[str]]] = {}
        self._viewed: set[tuple[str, str]] = set()
        self._copies = Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}_files"

    def query(self, sql: str) -> Rows:
        """Asks; tables that are named get their views first."""
        for table in sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Table):
            if table.db:
                self._view(table.db, table.name)
        return super().query(sql)

    def columns(self, schema: str) -> Mapping[str, Mapping[str, str]]:
        """The tables of a schema and their columns."""
        for table in self._tables(schema):
            self._view(schema, table)
        return super().columns(schema)

    def tables(self, schema: str) -> Collection[str]:
        """The names of a schema's tables; no file is read for them."""
        return self._tables(schema).keys()

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of one table, whose files alone are read."""
        schema, _, name = table.partition(".")
        self._view(schema, name)
        return super().columns(schema)[name]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Each file for itself: files have no transactions."""
        yield

    def update(self, table: str, assignments: Mapping[str, str], where: str) -> int:
        """Loads changed rows again."""
        values = ", ".join(f"{value} AS {column}" for column, value in assignments.items())
        return self._load(table, self.query(f"SELECT * REPLACE ({values}) FROM {table} WHERE {where}").by_name())

    def delete(self, table: str, where: str) -> None:
        """Loads rows again as gone."""
        rows = self.query(f"SELECT * FROM {table} WHERE {where}").by_name()
        self._load(table, [{**row, GONE: True} for row in rows])

    def replace(self, table: str, select: str) -> None:
        """Writes the model's file; whoever reads it sees the old or the new one."""
        self.query(f"SELECT * FROM ({select}) AS described LIMIT 0")  # makes the views
        rows = self._connection.execute(select).to_arrow_table()
        schema, name = table.split(".")
        self._write(posixpath.join(self._client.bucket_path, schema, f"{name}.parquet"), rows)
        self._files.pop(schema, None)
        self._viewed.discard((schema, name))

    def replace_rows(self, table: str, select: str, key: Sequence[str]) -> None:
        """Writes the model's file with the new rows in the place of those with the same key."""
        schema, name = table.split(".")
        if name in self._tables(schema):
            same = " AND ".join(f"fresh.{quoted(column)} = old.{quoted(column)}" for column in key)
            select = (
                f"SELECT * FROM ({select}) AS new_rows UNION ALL BY NAME SELECT * FROM {table} AS old "
                f"WHERE NOT EXISTS (SELECT 1 FROM ({select}) AS fresh WHERE {same})"
            )
        self.replace(table, select)

    def write(self, table: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the table's file from rows."""
        staged = f"staged.{table.partition('.')[2]}"
        super().write(staged, types, rows)
        self.replace(table, f"SELECT * FROM {staged}")

    def describe(self, table: str, meaning: str, columns: Mapping[str, str]) -> None:
        """Files have no descriptions."""

    def tidy(self, schema: str) -> None:
        """Puts the files of a table that has many into one; a reader finds the same rows at any moment of it."""
        for table, files in list(self._tables(schema).items()):
            if table in self._schema.data_table_names() and len(files) > MANY_FILES:
                if self._client.is_open_table("delta", table):
                    delta = self._client.load_open_table("delta", table)
                    delta.optimize.compact()
                    delta.vacuum(dry_run=False)
                else:
                    self._join(schema, table, files)

    def _join(self, schema: str, table: str, files: Sequence[str]) -> None:
        complete = {load for (load,) in self.query(f"SELECT load_id FROM {schema}.{LOADS} WHERE status = 0").rows}
        # dlt names a file after its load; one of a load under way is left alone
        joined = [path for path in files if posixpath.basename(path).rpartition(".")[0].rpartition(".")[0] in complete]
        if not joined:
            return
        self._view(schema, table)
        rows = self._connection.execute(f"SELECT * FROM {schema}.{quoted(table)}").to_arrow_table()
        self._write(posixpath.join(posixpath.dirname(joined[-1]), f"{max(complete)}.{uniq_id(5)}.parquet"), rows)
        self._client.fs_client.rm(joined)
        self._files.clear()
        self._viewed.clear()

    def _write(self, path: str, rows: Any) -> None:
        fs = self._client.fs_client
        fs.makedirs(posixpath.dirname(path), exist_ok=True)
        # a bucket shows a file when it is whole; a disk needs a name that nobody reads meanwhile
        unfinished = f"{path}.unfinished" if self._client.config.protocol == "file" else path
        with fs.open(unfinished, "wb") as file:
            parquet.write_table(rows, file)
        if unfinished != path:
            fs.mv(unfinished, path)

    @property
    def _schema(self) -> Schema:
        return self._client.schema

    def _load(self, table: str, rows: list[dict[str, Any]]) -> int:
        """Loads rows again through dlt, which gives them the newest load."""
        name = table.partition(".")[2]
        columns = self._schema.get_table_columns(name)
        documents = {column for column, hints in columns.items() if hints.get("data_type") == "json"}
        fresh = [loadable(row, documents) for row in rows]
        if fresh:
            self._pipeline.run(
                fresh, table_name=name, write_disposition="merge", primary_key=self._key(name), schema=self._schema
            )
            self._files.clear()
            self._viewed.clear()
        return len(fresh)

    def _key(self, table: str) -> list[str]:
        return list(get_columns_names_with_prop(self._schema.get_table(table), "primary_key"))

    def _tables(self, schema: str) -> Mapping[str, list[str]]:
        """The files of each table of a schema, by one look into its folder; none of a table that has no rows yet."""
        if schema not in self._files:
            known = self._schema.data_table_names() if schema == self._client.dataset_name else []
            found: dict[str, list[str]] = {table: [] for table in known}
            folder = posixpath.join(self._client.bucket_path, schema)
            for path in sorted(self._client.fs_client.find(folder)):
                name, _, below = posixpath.relpath(path, folder).partition("/")
                if below and name != "init":
                    found.setdefault(name, []).append(path)
                elif name.endswith(".parquet"):
                    found[name.removesuffix(".parquet")] = [path]
            self._files[schema] = found
        return self._files[schema]

    def _view(self, schema: str, table: str) -> None:
        if (schema, table) in self._viewed or table not in self._tables(schema):
            return
        self._viewed.add((schema, table))
        select = self._loaded(schema, table) if schema == self._client.dataset_name else self._model(schema, table)
        if select:
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            self._connection.execute(f"CREATE OR REPLACE VIEW {schema}.{quoted(table)} AS {select}")

    def _model(self, schema: str, table: str) -> str:
        return f"SELECT * FROM read_parquet({self._local(self._tables(schema)[table], may_change=True)})"

    def _loaded(self, schema: str, table: str) -> str:
        """A SELECT of a loaded table as it is now."""
        files = self._tables(schema)[table]
        if table in self._schema.dlt_table_names():
            return f"SELECT * FROM read_json_auto({self._local(files)}, union_by_name = true)" if table == LOADS else ""
        if table not in self._schema.tables:
            return ""
        if not files:
            return self._empty(table)
        is_delta = self._client.is_open_table("delta", table)
        if is_delta:
            files = self._client.load_open_table("delta", table).file_uris()
        rows = f"SELECT * FROM read_parquet({self._local(files)}, union_by_name = true)"
        if not is_delta:
            rows += self._newest(schema, table)
        # files that are older than a column lack it
        rows = f"({rows}) UNION ALL BY NAME ({self._empty(table)})"
        if GONE not in self._schema.get_table_columns(table):
            return rows
        return f"SELECT * EXCLUDE ({GONE}) FROM ({rows}) WHERE {GONE} IS NOT TRUE"

    def _newest(self, schema: str, table: str) -> str:
        """The condition that a row is the newest of its key, out of completed loads."""
        self._view(schema, LOADS)
        complete = f"SELECT load_id FROM {schema}.{LOADS} WHERE status = 0"
        key = ", ".join(map(quoted, self._key(table)))
        place = f"row_number() OVER (PARTITION BY {key} ORDER BY {LOAD_ID} DESC)"
        return f" WHERE {LOAD_ID} IN ({complete}) QUALIFY {place} = 1"

    def _empty(self, table: str) -> str:
        columns: Mapping[str, Any] = {LOAD_ID: {"data_type": "text"}, **self._schema.get_table_columns(table)}
        typed = (f"CAST(NULL AS {TYPES[hints['data_type']]}) AS {quoted(name)}" for name, hints in columns.items())
        return f"SELECT {', '.join(typed)} LIMIT 0"

    def _local(self, paths: Sequence[str], *, may_change: bool = False) -> str:
        """The files as DuckDB lists them, on this machine."""
        if self._client.config.protocol != "file":
            paths = self._copied([path.rpartition("://")[2] for path in paths], may_change)
        return f"[{', '.join(map(literal, paths))}]"

    def _copied(self, paths: Sequence[str], may_change: bool) -> Sequence[str]:
        copies = {path: self._copies / path for path in paths}
        lacking = {path: copy for path, copy in copies.items() if may_change or not _is_there(copy)}
        if lacking:
            # under another name until they are whole: a copy that was cut short must not be taken for the file
            parts = {path: copy.with_name(f"{copy.name}.{os.getpid()}") for path, copy in lacking.items()}
            for part in parts.values():
                part.parent.mkdir(parents=True, exist_ok=True)
            self._client.fs_client.get(list(parts), [str(part) for part in parts.values()])
            for path, part in parts.items():
                part.replace(lacking[path])
            if not may_change:
                _delete_others(set(copies.values()))
        return [str(copy) for copy in copies.values()]


def _is_there(copy: Path) -> bool:
    """Whether a file has been copied; if so, notes that it was asked for now."""
    try:
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True


def _delete_others(copies: Collection[Path]) -> None:
    """Deletes what is beside a table's copies and was not asked for lately: its files of before, and broken copies."""
    for folder in {copy.parent for copy in copies}:
        for other in folder.iterdir():
            with suppress(FileNotFoundError):  # another program does the same
                if other not in copies and other.is_file() and other.stat().st_mtime < time.time() - IN_USE:
                    other.unlink()
