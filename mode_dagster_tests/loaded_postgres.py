"""Databases on a real Postgres server, empty or loaded with the small sandbox, to be broken in one way at a time.

Here: one server for all modules of a test run, and a database for each test.
Not here: what must be found in it; the same sandbox in a DuckDB file (`loaded_file`).
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import duckdb
import psycopg2
import pytest
from psycopg2.extras import execute_values

from mode_dagster.extract.destination import DATASET
from mode_dagster_tests.loaded_file import File, load_small
from mode_dagster_tests.processes import HOST, Postgres, postgres

TEMPLATE = "loaded"
"""The database that copies are made of."""
_numbers = itertools.count()


class Database:
    """A database of its own on the server."""

    def __init__(self, name: str, server: Postgres) -> None:
        self.address = f"postgresql://{server.username}:{server.password}@{HOST}:{server.port}/{name}"

    def copy(self, file: File) -> None:
        """Puts the rows of a DuckDB file in the place of those of all loaded tables."""
        with duckdb.connect(str(file.path)) as there, psycopg2.connect(self.address) as here, here.cursor() as cursor:
            there.execute(f"SET TimeZone = 'UTC'; SET schema = '{DATASET}'")
            cursor.execute(f"SET search_path = '{DATASET}'")
            for (table,) in there.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                rows = there.execute(f"SELECT * FROM {table}")
                names = [column[0] for column in rows.description]
                for name in names:
                    cursor.execute(f'ALTER TABLE {table} ADD COLUMN IF NOT EXISTS "{name}" TEXT')
                cursor.execute(
                    f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}__dlt_id_key; DELETE FROM {table}"
                )
                columns = ", ".join(f'"{name}"' for name in names)
                execute_values(cursor, f"INSERT INTO {table} ({columns}) VALUES %s", rows.fetchall())
        here.close()


class Server:
    """A Postgres server that gives databases away."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    def create(self, template: str = "template1") -> Database:
        """A new database, empty or like another one."""
        name = f"mode_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return Database(name, self._server)

    @cache  # noqa: B019 - there is one server
    def load_once(self) -> None:
        """Loads the small sandbox into the template."""
        self._run(f"CREATE DATABASE {TEMPLATE}")
        with pytest.MonkeyPatch.context() as patch:
            point(patch, Database(TEMPLATE, self._server))
            load_small(patch)

    def _run(self, statement: str) -> None:
        connection = psycopg2.connect(Database(self._server.database, self._server).address)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()


def point(patch: pytest.MonkeyPatch, database: Database) -> None:
    """Sets the environment as a user would."""
    patch.setenv("DESTINATION_TYPE", "postgres")
    patch.setenv("DESTINATION__POSTGRES__CREDENTIALS", database.address)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(stack.enter_context(postgres()))


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An empty database, which the environment names."""
    made = server.create()
    point(monkeypatch, made)
    return made


@pytest.fixture
def loaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with the small sandbox in it, which the environment names."""
    server.load_once()
    made = server.create(TEMPLATE)
    point(monkeypatch, made)
    return made
