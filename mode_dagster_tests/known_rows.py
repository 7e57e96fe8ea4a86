"""Loaded tables with rows that a test knows: all tables of the catalogue, empty unless given.

Here: the tables as a load would leave them, in any DuckDB connection.
Not here: a whole made-up workspace (the sandbox), what is computed from the tables (`mode_dagster.models`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint
from mode_dagster.warehouse.interface import TYPES


def known_rows(
    connection: duckdb.DuckDBPyConnection, schema: str = DATASET, **rows: Sequence[Mapping[str, Any]]
) -> None:
    """Creates every table of the catalogue with its documented columns and puts rows in.

    A row names the columns that matter; the others are NULL. Points in time are text, UTC: "2026-06-17 12:20".
    Called again, it adds rows.

    Args:
        connection: Its session is set to UTC.
        schema: Where the tables are.
        rows: Table name → rows, as in `known_rows(connection, reports=[{"token": "r1"}], runs=[])`.
    """
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for table in ENDPOINTS:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {schema}.{table.name} ({_columns(table)})")
    for name, given in rows.items():
        for row in given:
            columns = ", ".join(f'"{column}"' for column in row)
            values = ", ".join("?" for _ in row)
            connection.execute(f"INSERT INTO {schema}.{name} ({columns}) VALUES ({values})", list(row.values()))


def found(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """The rows of a query by column name, intervals and times as Python has them."""
    result = connection.execute(sql)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _columns(table: Endpoint) -> str:
    return ", ".join(f'"{column.name}" {TYPES[column.data_type]}' for column in table.all_columns)
