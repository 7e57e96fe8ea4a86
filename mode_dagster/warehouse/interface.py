"""What can be done with the tables, whichever destination keeps them.

Here: the one interface that models, checks and answers are written against, and its errors.
Not here: how a destination does it (`duckdb_file`, `files`, `server`), writing SQL (`sql`).

SQL is DuckDB's everywhere; names of tables are `schema.table`.
"""

# ruff: noqa: S608 - names come from the catalogue and from heads of models that were checked

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from mode_dagster.warehouse.sql import literal, quoted

TYPES: Mapping[str, str] = {
    "text": "VARCHAR",
    "json": "JSON",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "time": "TIME",
    "decimal": "DECIMAL(38, 9)",
    "wei": "VARCHAR",
    "binary": "BLOB",
}
"""DuckDB's types for dlt's."""


class WarehouseError(Exception):
    """The destination refused a statement; the message is its own."""


class MissingError(WarehouseError):
    """A table or column is not there."""


class NoWarehouseError(WarehouseError):
    """The destination can't be opened now: it is not there, or another program holds it."""


@dataclass(frozen=True)
class Rows:
    """What a query gave."""

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]

    @property
    def first(self) -> tuple[Any, ...]:
        """The first row; an empty one where there is none."""
        return self.rows[0] if self.rows else ()

    def by_name(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Excerpt:
    """How many rows a query has, and the first of them."""

    count: int
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Warehouse(ABC):
    """The destination, opened. Times are UTC in its session."""

    @abstractmethod
    def query(self, sql: str) -> Rows:
        """Asks.

        Raises:
            MissingError: A table or column is not there.
            WarehouseError: The destination refused.
        """

    def excerpt(self, select: str, most: int, order: str = "") -> Excerpt:
        """How many rows a query has, and so many of them at the most.

        Args:
            order: ORDER BY of them.
        """
        by = f"ORDER BY {order}" if order else ""
        found = self.query(f"SELECT count(*) OVER () AS all_rows, * FROM ({select}) AS counted {by} LIMIT {most}")
        return Excerpt(found.first[0] if found.rows else 0, found.columns[1:], [row[1:] for row in found.rows])

    @abstractmethod
    def columns(self, schema: str) -> Mapping[str, Mapping[str, str]]:
        """The tables of a schema, their columns in order, and the columns' types as the destination calls them."""

    def tables(self, schema: str) -> Collection[str]:
        """The names of a schema's tables."""
        return self.columns(schema).keys()

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of one table that is there, and their types."""
        schema, _, name = table.partition(".")
        return self.columns(schema)[name]

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, where the destination can; else each statement for itself."""

    def update(self, table: str, assignments: Mapping[str, str], where: str) -> int:
        """Changes rows.

        Args:
            table: `schema.table`.
            assignments: Column to SQL expression.
            where: Condition; other tables in it by their full names.

        Returns:
            How many rows.
        """
        (count,) = self.query(f"SELECT count(*) FROM {table} WHERE {where}").first
        if count:
            values = ", ".join(f"{column} = {value}" for column, value in assignments.items())
            self.query(f"UPDATE {table} SET {values} WHERE {where}")
        return int(count)

    def delete(self, table: str, where: str) -> None:
        """Deletes rows."""
        self.query(f"DELETE FROM {table} WHERE {where}")

    @abstractmethod
    def replace(self, table: str, select: str) -> None:
        """Makes a table anew from a query; readers see the old or the new one."""

    def replace_rows(self, table: str, select: str, key: Sequence[str]) -> None:
        """Puts the rows of a query in the place of those with the same key; columns that are new are added."""
        schema, _, name = table.partition(".")
        if name not in self.tables(schema):
            self.replace(table, select)
            return
        new = f"{table}__new"
        self.replace(new, select)
        kinds, old = self.types(new), self.types(table)
        for column, kind in kinds.items():
            if column not in old:
                self.add_column(table, column, kind)
        same = " AND ".join(f"fresh.{quoted(column)} = {table}.{quoted(column)}" for column in key)
        self.query(f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM {new} AS fresh WHERE {same})")
        columns = ", ".join(map(quoted, kinds))
        self.query(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {new}")
        self.query(f"DROP TABLE {new}")

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Adds an empty column of a type as the destination calls it."""
        self.query(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {kind}")

    @abstractmethod
    def write(self, table: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes a table anew from rows.

        Args:
            table: `schema.table`.
            types: Each column's DuckDB type.
            rows: Values by column; a missing one is NULL.
        """

    def describe(self, table: str, meaning: str, columns: Mapping[str, str]) -> None:
        """Keeps descriptions of a table and its columns beside it, where the destination can."""
        self.query(f"COMMENT ON TABLE {table} IS {literal(meaning)}")
        for name, description in columns.items():
            self.query(f"COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(description)}")

    def tidy(self, schema: str) -> None:
        """Keeps what repeated loads leave behind in bounds, where the destination doesn't by itself."""
        del schema

    def column_names(self, select: str) -> Sequence[str]:
        """The columns of a query, which is not run."""
        return self.query(f"SELECT * FROM ({select}) AS described LIMIT 0").columns
