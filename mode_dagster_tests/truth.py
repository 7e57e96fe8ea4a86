"""What a loaded file lacks, or has too much, against the sandbox's truth or against another loaded file.

Here: comparing.
Not here: loading; what may differ on the way (tests say that).
"""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.sandbox import Sandbox

WORDED = frozenset({"name", "email", "archived"})
"""Facts that Mode words otherwise in some lists, or leaves out."""
NOT_A_KEY = frozenset({"memberships"})
"""Tables of which the sandbox's facts name another token."""


def differences(database: Path, world: Sandbox) -> dict[str, tuple[int, int]]:
    """By table, how many rows are lacking or say other than the truth, and how many too many.

    Query runs of unfinished runs may be there or not: they are read when their run has finished.
    """
    found = {}
    with duckdb.connect(str(database)) as connection:
        for endpoint in ENDPOINTS:
            if endpoint.rest is None or endpoint.name == "users":
                continue
            rows, truth = stored_rows(connection, endpoint), true_rows(world, endpoint)
            wrong = [key for key, facts in truth.items() if not facts.items() <= rows.get(key, {}).items()]
            more = 0 if endpoint.history else len(rows.keys() - truth.keys())
            if wrong or more:
                found[endpoint.name] = (len(wrong), more)
    return found


def true_rows(world: Sandbox, endpoint: Endpoint) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The facts that tables have columns for, by key."""
    rows = world.world.rows(endpoint.name)
    if endpoint.name == "query_runs":
        finished = {run["token"] for run in world.world.rows("runs") if run["ended_at"] <= world.world.now()}
        rows = [row for row in rows if row["run_token"] in finished]
    known = {column.name for column in endpoint.all_columns} - (WORDED if endpoint.name != "reports" else set())
    if endpoint.name in NOT_A_KEY:
        known -= {"token"}
    facts = [{name: plain(name, value) for name, value in row.items() if name in known} for row in rows]
    return {tuple(plain(name, row[name]) for name in endpoint.key): fact for row, fact in zip(rows, facts, strict=True)}


def stored_rows(connection: duckdb.DuckDBPyConnection, endpoint: Endpoint) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows that are not marked as deleted, by key; fails where a key is there twice."""
    live = "" if endpoint.history else "WHERE deleted_at IS NULL"
    result = connection.execute(f"SELECT * FROM {DATASET}.{endpoint.name} {live}")
    names = [column[0] for column in result.description]
    rows = [{name: plain(name, value) for name, value in zip(names, row, strict=True)} for row in result.fetchall()]
    by_key = {tuple(row[name] for name in endpoint.key): row for row in rows}
    assert len(rows) == len(by_key), f"{endpoint.name} has a key twice"
    return by_key


def plain(name: str, value: Any) -> Any:
    """Ids are text, and the API has times in milliseconds."""
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return str(value) if name == "id" else value


def keys(database: Path) -> Counter[tuple[Any, ...]]:
    """Every row of every table as (table, key …), with how often it is there; nothing where there is no file yet."""
    found: Counter[tuple[Any, ...]] = Counter()
    if not database.exists():
        return found
    with duckdb.connect(str(database)) as connection:
        tables = columns_of(connection, connection.execute("SELECT current_database()").fetchall()[0][0])
        for endpoint in ENDPOINTS:
            if endpoint.name in tables:
                rows = connection.execute(f"SELECT {', '.join(endpoint.key)} FROM {DATASET}.{endpoint.name}").fetchall()
                found.update((endpoint.name, *row) for row in rows)
    return found


def unlike(database: Path, twin: Path, tables: Collection[str] = BY_NAME.keys()) -> dict[str, list[tuple[Any, ...]]]:
    """By table, rows of these tables and of their ledger that only one of two files has, in any column but dlt's own.

    Not compared: how many rows a list brought (of what is history that is only what was new to the file), and in which
    load a listing began.
    """
    wanted = ", ".join(f"'{table}'" for table in tables)
    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{database}' AS one (READ_ONLY); ATTACH '{twin}' AS two (READ_ONLY)")
        columns, others = (columns_of(connection, name) for name in ("one", "two"))
        for table in (*tables, LEDGER):
            names = columns[table]
            assert names == others[table]
            where = f"WHERE endpoint IN ({wanted})" if table == LEDGER else ""
            one, two = (f"SELECT {names} FROM {name}.{DATASET}.{table} {where}" for name in ("one", "two"))
            more, less = f"{one} EXCEPT ALL {two}", f"{two} EXCEPT ALL {one}"
            sql = f"SELECT 'more', * FROM ({more}) UNION ALL SELECT 'less', * FROM ({less})"
            if rows := connection.execute(sql).fetchall():
                found[table] = rows
    return found


def columns_of(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, str]:
    sql = f"""
        SELECT table_name, string_agg(format('"{{}}"', column_name), ', ' ORDER BY column_name) FROM duckdb_columns()
        WHERE database_name = '{database}' AND schema_name = '{DATASET}'
            AND NOT starts_with(column_name, '_dlt') AND NOT starts_with(table_name, '_dlt')
            AND NOT (table_name = '{LEDGER}' AND column_name IN ('rows', 'first_load_id'))
        GROUP BY table_name
    """
    return dict(connection.execute(sql).fetchall())
