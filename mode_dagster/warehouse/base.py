"""What can be done with the tables, whichever destination keeps them.

Here: the one interface that models, checks and answers are written against, and its errors.
Not here: how a destination does it (`duckdb`, `files`, `server`).

SQL is DuckDB's everywhere; names of tables are `schema.table`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


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


class Warehouse(ABC):
    """The destination, opened. Times are UTC in its session."""

    kind: str
    """What dlt calls the destination; the assets' kind."""

    @abstractmethod
    def query(self, sql: str) -> Rows:
        """Asks.

        Raises:
            MissingError: A table or column is not there.
            WarehouseError: The destination refused.
        """

    @abstractmethod
    def columns(self, schema: str) -> Mapping[str, Mapping[str, str]]:
        """The tables of a schema, their columns in order, and the columns' types as the destination calls them."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, where the destination can; else each statement for itself."""

    @abstractmethod
    def update(self, table: str, assignments: Mapping[str, str], where: str) -> int:
        """Changes rows.

        Args:
            table: `schema.table`.
            assignments: Column to SQL expression.
            where: Condition; other tables in it by their full names.

        Returns:
            How many rows.
        """

    @abstractmethod
    def delete(self, table: str, where: str) -> None:
        """Deletes rows."""

    @abstractmethod
    def replace(self, table: str, select: str) -> None:
        """Makes a table anew from a query; readers see the old or the new one."""

    @abstractmethod
    def replace_rows(self, table: str, select: str, key: Sequence[str]) -> None:
        """Puts the rows of a query in the place of those with the same key; columns that are new are added."""

    @abstractmethod
    def write(self, table: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes a table anew from rows.

        Args:
            table: `schema.table`.
            types: Each column's DuckDB type.
            rows: Values by column; a missing one is NULL.
        """

    @abstractmethod
    def describe(self, table: str, meaning: str, columns: Mapping[str, str]) -> None:
        """Keeps descriptions of a table and its columns beside it, where the destination can."""

    def tidy(self, schema: str) -> None:
        """Keeps what repeated loads leave behind in bounds, where the destination doesn't by itself."""
        del schema

    def column_names(self, select: str) -> Sequence[str]:
        """The columns of a query, which is not run."""
        return self.query(f"SELECT * FROM ({select}) AS described LIMIT 0").columns  # noqa: S608 - SQL of this package


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return f'"{name}"'
