"""The tables on a database server: Postgres, Redshift, Snowflake, BigQuery, Databricks.

Here: dlt's SQL client, and every statement translated on its way.
Not here: what the servers differ in (`engines`).
"""

# ruff: noqa: S608 - names come from the catalogue and from heads of models that were checked

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from typing import Any

from dlt.destinations.exceptions import DatabaseException, DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp
from sqlglot.errors import SqlglotError

from mode_dagster.warehouse.engines import ENGINES, named, translated, typed
from mode_dagster.warehouse.interface import MissingError, Rows, Warehouse, WarehouseError
from mode_dagster.warehouse.sql import literal, quoted

LONGEST = 200_000
"""Characters of the rows of one INSERT; BigQuery takes a million."""
TIMES = ("TIMESTAMP WITH TIME ZONE", "DATE")


class ServerWarehouse(Warehouse):
    """A server, through an open SQL client of dlt; whoever opened it closes it.

    Args:
        kind: What dlt calls the destination.
        client: Opened.
    """

    def __init__(self, kind: str, client: SqlClientBase[Any]) -> None:
        self._kind = kind
        self._client = client
        self._engine = ENGINES[kind]
        for statement in self._engine.session:
            self._run(statement)

    def query(self, sql: str) -> Rows:
        try:
            statement = translated(sql, self._engine, self._naming)
        except SqlglotError as error:
            raise WarehouseError(f"Could not say in the SQL of {self._kind}: {error}") from error
        return self._run(statement)

    def columns(self, schema: str) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = {}
        with self._client.with_alternative_dataset_name(schema) as client:
            # dlt has no public way to list what is in a schema
            table = client._qualify_info_schema_table_name("COLUMNS")
            _, name, _ = client._get_information_schema_components()
        rows = self._run(
            f"SELECT table_name, column_name, data_type FROM {table} WHERE table_schema = {literal(str(name))} "
            "ORDER BY ordinal_position"
        ).rows
        for table_name, column, kind in rows:
            found.setdefault(str(table_name).lower(), {})[str(column).lower()] = str(kind).lower()
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, where tables can be made within a transaction."""
        transaction = self._client.begin_transaction() if self._engine.transactional_ddl else nullcontext()
        with transaction:
            yield

    def replace(self, table: str, select: str) -> None:
        self._need_schema(table)
        self._create(table, f"AS {select}")

    def add_column(self, table: str, column: str, kind: str) -> None:
        # as it is: sqlglot would take the type for one of DuckDB's
        self._run(f"ALTER TABLE {self._full_name(table)} ADD COLUMN {named(column, self._engine)} {kind}")

    def write(self, table: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        self._need_schema(table)
        kept = {name: "VARCHAR" if kind == "JSON" else kind for name, kind in types.items()}  # as each server spells it
        self._create(table, f"({', '.join(f'{quoted(name)} {kind}' for name, kind in kept.items())})")
        for values in _batches(self._row(row, kept) for row in rows):
            # as it is: sqlglot would take longer for it than the server
            columns = ", ".join(named(name, self._engine) for name in kept)
            self._run(f"INSERT INTO {self._full_name(table)} ({columns}) VALUES {values}")

    def describe(self, table: str, meaning: str, columns: Mapping[str, str]) -> None:
        """Keeps descriptions as comments, where there are any."""
        if self._engine.comments:
            super().describe(table, meaning, columns)

    def _create(self, table: str, definition: str) -> None:
        if self._engine.transactional_ddl:
            self.query(f"DROP TABLE IF EXISTS {table}")
            self.query(f"CREATE TABLE {table} {definition}")
        else:
            self.query(f"CREATE OR REPLACE TABLE {table} {definition}")

    def _need_schema(self, table: str) -> None:
        with self._client.with_alternative_dataset_name(table.partition(".")[0]) as client:
            if not client.has_dataset():
                client.create_dataset()

    def _naming(self, schema: str, table: str) -> Sequence[exp.Identifier]:
        path = self._client.make_qualified_table_name_path(table, quote=False, dataset_name=schema)
        return [exp.to_identifier(part, quoted=True) for part in path]

    def _full_name(self, table: str) -> str:
        schema, _, name = table.partition(".")
        return ".".join(self._client.make_qualified_table_name_path(name, dataset_name=schema))

    def _row(self, row: Mapping[str, Any], types: Mapping[str, str]) -> str:
        return f"({', '.join(self._value(row.get(name), kind) for name, kind in types.items())})"

    def _value(self, value: Any, kind: str) -> str:
        if isinstance(value, dict | list):
            value = json.dumps(value)
        text = str(self._engine.escape(value))
        return f"CAST({text} AS {typed(kind, self._engine)})" if kind in TIMES and value is not None else text

    def _run(self, sql: str) -> Rows:
        try:
            with self._client.execute_query(sql) as cursor:
                if not cursor.description:
                    return Rows([], [])
                columns = [str(column[0]).lower() for column in cursor.description]
                return Rows(columns, [tuple(map(_plain, row)) for row in cursor.fetchall()])
        except DatabaseUndefinedRelation as error:
            raise MissingError(str(error)) from error
        except DatabaseException as error:
            raise WarehouseError(str(error)) from error


def _batches(rows: Iterable[str]) -> Iterator[str]:
    """Rows of an INSERT, as many together as a statement may be long."""
    batch: list[str] = []
    length = 0
    for row in rows:
        if batch and length + len(row) > LONGEST:
            yield ", ".join(batch)
            batch, length = [], 0
        batch.append(row)
        length += len(row)
    if batch:
        yield ", ".join(batch)


def _plain(value: Any) -> Any:
    """Sums of whole numbers come back as decimals."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
