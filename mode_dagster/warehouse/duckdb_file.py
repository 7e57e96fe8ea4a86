"""The tables in a DuckDB file.

Here: DuckDB as it is, with nothing translated.
Not here: where the file is (`extract.destination`).
"""

# ruff: noqa: S608 - names come from the catalogue and from heads of models that were checked

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
from dlt.common.json import json

from mode_dagster.warehouse.interface import MissingError, Rows, Warehouse, WarehouseError
from mode_dagster.warehouse.sql import literal, quoted

BATCH = 10_000
"""Rows that are handed over at once."""


class DuckDBWarehouse(Warehouse):
    """A connection to a DuckDB file; whoever opened it closes it.

    Args:
        connection: Its session is set to UTC.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._connection.execute("SET TimeZone = 'UTC'")

    def query(self, sql: str) -> Rows:
        with duckdb_errors():
            result = self._connection.execute(sql)
            return Rows([column[0] for column in result.description or []], result.fetchall())

    def batches(self, sql: str, most: int) -> Iterator[Rows]:
        """Asks, and gives so many rows at a time; several such questions may be under way at once."""
        with duckdb_errors(), self._connection.cursor() as cursor:
            result = cursor.execute(f"SET TimeZone = 'UTC'; {sql}")
            names = [column[0] for column in result.description or []]
            while rows := result.fetchmany(most):
                yield Rows(names, rows)

    def columns(self, schema: str) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in self.query(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            f"WHERE schema_name = {literal(schema)} AND database_name = current_database() ORDER BY column_index"
        ).rows:
            found.setdefault(table, {})[column] = kind
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            with duckdb_errors():
                self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.TransactionException):  # a COMMIT that failed has ended it already
                self._connection.execute("ROLLBACK")
            raise

    def replace(self, table: str, select: str) -> None:
        self._need_schema(table)
        self.query(f"CREATE OR REPLACE TABLE {table} AS {select}")

    def write(self, table: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        self._need_schema(table)
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
        self.query(f"CREATE OR REPLACE TABLE {table} ({columns})")
        for start in range(0, len(rows), BATCH):
            # many rows as one JSON value: a hundred times faster than executemany
            values = [json.dumps(rows[start : start + BATCH]), json.dumps([dict(types)])]
            with duckdb_errors():
                self._connection.execute(
                    f"INSERT INTO {table} SELECT * FROM (SELECT unnest(from_json(?, ?), recursive := true))", values
                )

    def _need_schema(self, table: str) -> None:
        self.query(f"CREATE SCHEMA IF NOT EXISTS {table.partition('.')[0]}")


@contextmanager
def duckdb_errors() -> Iterator[None]:
    """DuckDB's errors as ours.

    Raises:
        MissingError: A table or column is not there.
        WarehouseError: Anything else that DuckDB refuses.
    """
    try:
        yield
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise MissingError(str(error)) from error
    except duckdb.Error as error:
        raise WarehouseError(str(error)) from error
