"""The loaded tables as a check sees them, and what a check says.

Here: a check, its finding, and access to tables that may lack columns or not be there.
Not here: what is checked (the modules beside it), Dagster (`mode_dagster.checks`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mode_dagster.contents import showable
from mode_dagster.extract.endpoints import Endpoint, spoken
from mode_dagster.extract.errors import first_line
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS, completed
from mode_dagster.warehouse import Warehouse, WarehouseError
from mode_dagster.warehouse.interface import Excerpt
from mode_dagster.warehouse.sql import literal
from mode_dagster.wording import words

SHOWN = 20
"""Offending rows that are shown."""

Number = int | float | str | datetime


class Gravity(StrEnum):
    """What follows when a check fails."""

    WARNS = "warns"
    """Somebody should look: Mode may have its reasons."""
    FAILS = "fails"
    """The data is wrong; what is computed from it lacks rows."""
    BLOCKS = "blocks"
    """The data is wrong, and so would be every number computed from it: nothing below is computed."""


@dataclass(frozen=True)
class Finding:
    """What one look at the data found."""

    passed: bool
    says: str
    """The answer in one sentence."""
    numbers: Mapping[str, Number | None] = field(default_factory=dict)
    """Shown whether it passed or not; None is left out."""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    """The first offending rows."""
    gravity: Gravity = Gravity.WARNS
    """What follows if it did not pass; its check sets it."""


class NotLoadedError(Exception):
    """Something that a check needs was never loaded; the message says what."""


@dataclass(frozen=True)
class Check:
    """One claim about a table."""

    name: str
    description: str
    look: "Callable[[Loaded], Finding]"
    advice: str
    """What to do when it fails."""
    gravity: Gravity = Gravity.WARNS

    def find(self, loaded: "Loaded") -> Finding:
        """Looks at the data; what is not there is told, not held against it."""
        try:
            found = self.look(loaded)
        except NotLoadedError as missing:
            found = Finding(passed=True, says=f"Not checked: {missing}.")
        except WarehouseError as error:
            # tables that somebody has changed by hand: one check that can't look stops neither others nor models
            return Finding(passed=False, says=f"Could not check: {first_line(error)}")
        says = found.says if found.passed else f"{found.says} {self.advice}"
        return replace(found, says=says, gravity=self.gravity)


class Loaded:
    """The schema that the tables are in."""

    def __init__(self, warehouse: Warehouse, schema: str, now: datetime) -> None:
        self.now = now
        self._schema = schema
        self._warehouse = warehouse
        self._columns = {table: set(columns) for table, columns in warehouse.columns(schema).items()}

    def __contains__(self, table: str) -> bool:
        return table in self._columns

    def columns(self, table: str) -> set[str]:
        """The columns that a table really has."""
        return self._columns.get(table, set())

    def table(self, name: str, *columns: str) -> str:
        """The table as SQL names it.

        Raises:
            NotLoadedError: It was never loaded, or lacks one of the columns.
        """
        if name not in self:
            raise NotLoadedError(f"the table {name} was never loaded")
        if lacking := [column for column in columns if column not in self._columns[name]]:
            raise NotLoadedError(f"the table {name} has no column {', '.join(lacking)}")
        return f'"{self._schema}"."{name}"'

    def live(self, endpoint: Endpoint, alias: str = "t") -> str:
        """The condition that a row is not gone from Mode."""
        return f"{alias}.deleted_at IS NULL" if "deleted_at" in self.columns(endpoint.name) else "TRUE"

    def ledger(self) -> str:
        """The ledger's rows that count, as a table in SQL.

        Raises:
            NotLoadedError: There is no ledger.
        """
        ledger = self.table(LEDGER, "_dlt_load_id", *(column.name for column in LEDGER_COLUMNS))
        return f"({completed(ledger, self.table('_dlt_loads', 'load_id', 'status'))})"

    def read_at(self, *tables: str) -> datetime | None:
        """When any list of the tables was last read."""
        if LEDGER not in self:
            return None
        names = ", ".join(literal(table) for table in tables)
        (found,) = self.row(f"SELECT max(read_at) FROM {self.ledger()} WHERE endpoint IN ({names})")  # noqa: S608
        return found.astimezone(UTC) if found else None

    def row(self, sql: str) -> tuple[Any, ...]:
        """The first row of a query."""
        return self._warehouse.query(sql).first

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._warehouse.query(sql).rows

    def wrong(self, select: str, order: str = "") -> Excerpt:
        """The offending rows, the worst first."""
        return self._warehouse.excerpt(select, SHOWN, order)


def found_wrong(wrong: Excerpt, says: str, numbers: Mapping[str, Number | None]) -> Finding:
    """The finding of a check that fails where there is any wrong row."""
    return Finding(not wrong.count, says, numbers, wrong.columns, wrong.rows)


def label(owner: Endpoint, loaded: Loaded) -> str:
    """Columns of a SELECT by which people know a row `o` of a table: token, and name and address where they are."""
    known = loaded.columns(owner.name) & showable(owner.name)
    name, address = (f"o.{column}" if column in known else "NULL" for column in ("name", "web_url"))
    return f"o.token AS {owner.noun}, {name} AS name, {address} AS address"


def counted_words(count: int, endpoint: Endpoint) -> str:
    """`1,204 query runs`, `1 query run`."""
    return words(count, spoken(endpoint.noun), spoken(endpoint.name))
