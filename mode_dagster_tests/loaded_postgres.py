"""Databases on a real Postgres server, empty or loaded with the small sandbox, to be broken in one way at a time.

Here: one server for all modules of a test run, and a database for each test.
Not here: what must be found in it; the same sandbox in a DuckDB file (`loaded_file`).
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import psycopg2
import pytest

from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Finding, Loaded
from mode_dagster.extract.pipeline import DATASET, mode_pipeline
from mode_dagster.warehouse import Warehouse, open_warehouse
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.loaded_file import load_small
from mode_dagster_tests.processes import HOST, Postgres, postgres

TEMPLATE = "loaded"
"""The database that copies are made of."""
_numbers = itertools.count()


class Database:
    """A database of its own on the server."""

    def __init__(self, name: str, server: Postgres) -> None:
        self.address = f"postgresql://{server.username}:{server.password}@{HOST}:{server.port}/{name}"

    def change(self, *statements: str) -> None:
        """Runs Postgres' statements on the loaded tables; each must change something."""
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET TIME ZONE 'UTC'; SET search_path = '{DATASET}'")
            for statement in statements:
                cursor.execute(statement)
                assert cursor.rowcount, statement
        connection.close()

    def query(self, sql: str) -> list[tuple]:
        """Rows of a query in Postgres' SQL."""
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.execute(sql)
            rows = cursor.fetchall()
        connection.close()
        return rows

    @contextmanager
    def open(self) -> Iterator[Warehouse]:
        """As the package opens it: the environment must name it."""
        with open_warehouse(mode_pipeline()) as warehouse:
            yield warehouse

    def look(self, table: str) -> dict[str, Finding]:
        """What every check of a table finds."""
        with self.open() as warehouse:
            loaded = Loaded(warehouse, DATASET, NOON)
            return {check.name: check.find(loaded) for check in checks_of(table)}


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
