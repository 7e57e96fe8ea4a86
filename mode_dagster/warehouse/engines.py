"""The servers that can be a destination, and DuckDB's SQL in the words of each.

Here: pure; what differs between them, as facts in a table, and the translation of a statement.
Not here: how single expressions are written (`rules`), connections (`server`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from dlt.common.data_writers import escape
from sqlglot import ErrorLevel, exp

from mode_dagster.warehouse import rules
from mode_dagster.warehouse.rules import Rule


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
    escape: Callable[[Any], Any]
    """A value as its SQL writes it."""
    rules: Mapping[type[exp.Expr], Rule]
    """What sqlglot writes otherwise than that server means it, by kind of expression."""
    upper_case: bool = False
    """Whether it keeps names in upper case; else they are in lower case."""


ENGINES = {
    "postgres": Engine(
        "postgres",
        session=["SET TIME ZONE 'UTC'"],
        transactional_ddl=True,
        comments=True,
        escape=escape.escape_postgres_literal,
        rules=rules.POSTGRES,
    ),
    "redshift": Engine(
        "redshift",
        session=["SET timezone TO 'UTC'"],
        transactional_ddl=True,
        comments=True,
        escape=escape.escape_redshift_literal,
        rules=rules.REDSHIFT,
    ),
    "snowflake": Engine(
        "snowflake",
        session=["ALTER SESSION SET TIMEZONE = 'UTC'", "ALTER SESSION SET WEEK_START = 1"],
        transactional_ddl=False,
        comments=True,
        escape=escape.escape_snowflake_literal,
        rules=rules.SNOWFLAKE,
        upper_case=True,
    ),
    "bigquery": Engine(
        "bigquery",
        session=[],
        transactional_ddl=False,
        comments=False,
        escape=escape.escape_bigquery_literal,
        rules=rules.BIGQUERY,
    ),
    "databricks": Engine(
        "databricks",
        session=["SET TIME ZONE 'UTC'"],
        transactional_ddl=False,
        comments=False,
        escape=escape.escape_databricks_literal,
        rules=rules.DATABRICKS,
    ),
}
"""By what dlt calls the destination."""

Naming = Callable[[str, str], Sequence[exp.Identifier]]
"""From schema and table to the parts of the full name."""


def translated(sql: str, engine: Engine, naming: Naming) -> str:
    """A statement of DuckDB's SQL as an engine understands it.

    All names are quoted: each engine reserves other words.

    Args:
        sql: One statement.
        naming: What tables are called there.

    Raises:
        sqlglot.errors.SqlglotError: The statement can't be parsed, or the engine has nothing like it.
    """
    statement = sqlglot.parse_one(sql, dialect="duckdb")
    for node in reversed(list(statement.walk())):  # the innermost first
        if rule := engine.rules.get(type(node)):
            node.replace(rule(node))
    for name in statement.find_all(exp.Identifier):  # DuckDB finds one whatever its case
        name.set("this", _cased(name.this, engine))
    _name_tables(statement, naming)
    return statement.sql(dialect=engine.dialect, identify=True, unsupported_level=ErrorLevel.RAISE)


def named(name: str, engine: Engine) -> str:
    """The name of a column as an engine writes it."""
    return exp.to_identifier(_cased(name, engine), quoted=True).sql(dialect=engine.dialect)


def typed(kind: str, engine: Engine) -> str:
    """A type of DuckDB as an engine calls it."""
    return exp.DataType.build(kind, dialect="duckdb").sql(dialect=engine.dialect)


def _cased(name: str, engine: Engine) -> str:
    return name.upper() if engine.upper_case else name.lower()


def _name_tables(statement: exp.Expr, naming: Naming) -> None:
    for column in statement.find_all(exp.Column):
        if isinstance(column.parent, exp.Comment):
            _rename(column, ("table", "db", "catalog"), naming(column.db, column.table))
        elif column.db:  # BigQuery knows a table in its own statement only by its last name
            column.set("db", None)
    for table in list(statement.find_all(exp.Table)):
        if table.db:
            _rename(table, ("this", "db", "catalog"), naming(table.db, table.name))


def _rename(node: exp.Expr, arguments: Sequence[str], parts: Sequence[exp.Identifier]) -> None:
    for argument, part in zip(arguments, reversed(parts), strict=False):
        node.set(argument, part)
