"""The servers that can be a destination, and DuckDB's SQL in the words of each.

Here: pure; what differs between them, as facts in a table and rules for sqlglot.
Not here: connections (`server`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp


@dataclass(frozen=True)
class Engine:
    """One kind of server."""

    dialect: str
    """What sqlglot calls it."""
    session: Sequence[str]
    """Makes a session's times UTC."""
    transactional_ddl: bool
    """Whether a table can be made within a transaction; if not, `CREATE OR REPLACE TABLE` is one by itself."""
    comments: bool
    """Whether `COMMENT ON` is there for tables and columns."""


ENGINES = {
    "postgres": Engine("postgres", ["SET TIME ZONE 'UTC'"], transactional_ddl=True, comments=True),
    "redshift": Engine("redshift", ["SET timezone TO 'UTC'"], transactional_ddl=True, comments=True),
    "snowflake": Engine("snowflake", ["ALTER SESSION SET TIMEZONE = 'UTC'"], transactional_ddl=False, comments=True),
    "bigquery": Engine("bigquery", [], transactional_ddl=False, comments=False),
    "databricks": Engine("databricks", ["SET TIME ZONE 'UTC'"], transactional_ddl=False, comments=False),
}
"""By what dlt calls the destination."""

Naming = Callable[[str, str], Sequence[exp.Identifier]]
"""From schema and table to the parts of the full name."""


def translated(sql: str, engine: Engine, naming: Naming) -> str:
    """A statement of DuckDB's SQL as an engine understands it.

    Args:
        sql: One statement.
        engine: Who is to understand it.
        naming: What tables are called there.
    """
    statement = sqlglot.parse_one(sql, dialect="duckdb")
    for table in list(statement.find_all(exp.Table)):
        if table.db:
            parts = list(naming(table.db, table.name))
            for name, part in zip(("this", "db", "catalog"), reversed(parts), strict=False):
                table.set(name, part)
    return statement.sql(dialect=engine.dialect)
