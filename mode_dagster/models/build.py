"""One model in DuckDB: from its SELECT to a table that is what its head says, or to none at all.

Here: DuckDB only; what is here works without Dagster.
Not here: reading the files (`header`), assets and checks (`mode_dagster.models`).
"""

# ruff: noqa: S608 - names come from heads that were checked, SQL from the files of this package

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from mode_dagster.models.header import Model
from mode_dagster.models.statement import reads, render
from mode_dagster.workspace import Workspace


class ModelError(Exception):
    """A model can't be built; the message says what was found and what to do. Trying again doesn't help."""


@dataclass(frozen=True)
class Built:
    """The table that a model became."""

    rows: int
    columns: Sequence[tuple[str, str]]
    """Name and DuckDB type."""
    sample: Sequence[Sequence[Any]]
    """A few rows."""


@dataclass(frozen=True)
class Violations:
    """The rows that break one check."""

    count: int
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """The first of them."""


SAMPLE_ROWS = 5
VIOLATIONS_SHOWN = 20


def run_model(connection: duckdb.DuckDBPyConnection, model: Model, workspace: Workspace, now: datetime) -> Built:
    """Makes a model's table anew; when anything fails, the table is as it was before.

    Args:
        connection: To the file with the loaded tables; its session is set to UTC.
        model: What to build.
        workspace: Whose tables.
        now: What `current_timestamp` is.

    Raises:
        ModelError: A table that it reads is missing, its columns are not the documented ones, or DuckDB refuses it.
    """
    connection.execute("SET TimeZone = 'UTC'")
    _need_sources(connection, model, workspace)
    table = table_name(model, workspace)
    connection.execute("BEGIN")
    try:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {workspace.marts}")
        select = render(model.sql, workspace, now)
        _need_documented_columns(model, _columns(connection, select))
        _replace_rows(connection, model, table, select) if model.kept else _replace(connection, table, select)
        _comment(connection, model, table)
        connection.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(duckdb.TransactionException):  # a COMMIT that failed has ended it already
            connection.execute("ROLLBACK")
        if isinstance(error, duckdb.Error):
            raise ModelError(f"Could not build {table} ({model.path.name}): {error}") from error
        raise
    return _built(connection, table)


def violations(
    connection: duckdb.DuckDBPyConnection, model: Model, check: str, workspace: Workspace, now: datetime
) -> Violations:
    """The rows of a built model that break one of its checks, or its key where `check` is `key_check(model)`.

    Raises:
        ModelError: The table is missing, or DuckDB refuses the condition.
    """
    connection.execute("SET TimeZone = 'UTC'")
    table = table_name(model, workspace)
    if check == key_check(model):
        key = ", ".join(map(_quoted, model.key))
        missing = " OR ".join(f"{_quoted(column)} IS NULL" for column in model.key)
        wrong = f"SELECT {key}, count(*) AS times FROM {table} GROUP BY {key} HAVING count(*) > 1 OR {missing}"
    else:
        wrong = f"SELECT * FROM {table} WHERE NOT ({render(model.checks[check], workspace, now)})"
    try:
        result = connection.execute(f"SELECT count(*) OVER () AS violations, * FROM ({wrong}) LIMIT {VIOLATIONS_SHOWN}")
    except duckdb.Error as error:
        raise ModelError(f"Could not check {check} of {table}: {error}") from error
    columns = [column[0] for column in result.description or []]
    rows = result.fetchall()
    return Violations(
        count=rows[0][0] if rows else 0,
        columns=columns[1:],
        rows=[row[1:] for row in rows],
    )


def key_check(model: Model) -> str:
    """What the check of a model's key is called: `report_token_is_the_key`."""
    return f"{'_and_'.join(model.key)}_is_the_key"


def table_name(model: Model, workspace: Workspace) -> str:
    """Schema and name of a model's table."""
    return f"{workspace.marts}.{model.name}"


def _need_sources(connection: duckdb.DuckDBPyConnection, model: Model, workspace: Workspace) -> None:
    found = set(connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall())
    needed = {
        **{(workspace.dataset, name): workspace.table_key(name) for name in reads(model).tables},
        **{(workspace.marts, name): workspace.model_key(name) for name in reads(model).models},
    }
    lacking = {".".join(table): key.to_user_string() for table, key in needed.items() if table not in found}
    if lacking:
        raise ModelError(
            f"Could not build {table_name(model, workspace)}: there is no table {', '.join(lacking)}. "
            f"Materialize first: {', '.join(lacking.values())}."
        )


def _columns(connection: duckdb.DuckDBPyConnection, select: str) -> Sequence[tuple[str, str]]:
    return [(name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE {select}").fetchall()]


def _need_documented_columns(model: Model, real: Sequence[tuple[str, str]]) -> None:
    names = [name for name, _ in real]
    documented = list(model.columns)
    if names == documented:
        return
    undocumented = [name for name in names if name not in documented]
    lacking = [name for name in documented if name not in names]
    faults = [
        f"documented, but not in the result: {', '.join(lacking)}" if lacking else "",
        f"in the result, but not documented: {', '.join(undocumented)}" if undocumented else "",
        "" if lacking or undocumented else f"the result has them in this order: {', '.join(names)}",
    ]
    raise ModelError(f"{model.path.name}: `columns:` and the SELECT differ; {'; '.join(filter(None, faults))}")


def _replace(connection: duckdb.DuckDBPyConnection, table: str, select: str) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS {select}")


def _replace_rows(connection: duckdb.DuckDBPyConnection, model: Model, table: str, select: str) -> None:
    """Puts the new rows in the place of those with the same key; columns that the model gained are added."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE new_rows AS {select}")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM new_rows LIMIT 0")
    for name, kind in _columns(connection, "SELECT * FROM new_rows"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_quoted(name)} {kind}")
    key = [_quoted(column) for column in model.key]
    same = " AND ".join(f"old.{column} IS NOT DISTINCT FROM new_rows.{column}" for column in key)
    connection.execute(f"DELETE FROM {table} AS old USING new_rows WHERE {same}")
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM new_rows")
    connection.execute("DROP TABLE new_rows")


def _comment(connection: duckdb.DuckDBPyConnection, model: Model, table: str) -> None:
    connection.execute(f"COMMENT ON TABLE {table} IS {_literal(model.description)}")
    for name, description in model.columns.items():
        connection.execute(f"COMMENT ON COLUMN {table}.{_quoted(name)} IS {_literal(description)}")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _built(connection: duckdb.DuckDBPyConnection, table: str) -> Built:
    counted = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return Built(
        rows=counted[0] if counted else 0,
        columns=_columns(connection, f"SELECT * FROM {table}"),
        sample=connection.execute(f"SELECT * FROM {table} LIMIT {SAMPLE_ROWS}").fetchall(),
    )
