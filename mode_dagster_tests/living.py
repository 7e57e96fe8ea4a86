"""A workspace that lives, and whether what is loaded is what Mode has.

Fixtures of this module are known to all tests (conftest names it as a plugin).
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from filelock import FileLock, Timeout

from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.warehouse import open_warehouse

START = datetime(2026, 6, 1, 9, 5, tzinfo=UTC)
LIVELY = SandboxOptions(reports=10, spaces=3, rate_limit_requests=1_000_000, epoch=datetime(2026, 5, 26, tzinfo=UTC))


@dataclass
class Clock:
    """The sandbox's and the loader's time; tests move it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **length: float) -> None:
        self.now += timedelta(**length)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> Iterator[Sandbox]:
    with serve(replace(LIVELY, clock=clock)) as served:
        yield served


@pytest.fixture
def once(tmp_path, tmp_path_factory) -> Callable[[str, Callable[[], object]], None]:
    """Fills the test's folder, with the DuckDB file and dlt's, once a test run; other tests get a copy of it.

    Its arguments are what makes the content what it is, and what makes it.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def fill(content: str, make: Callable[[], object]) -> None:
        made = shared / f"made-{sha256(content.encode()).hexdigest()}"
        try:
            with FileLock(f"{made}.lock", timeout=0):
                if not made.exists():
                    make()
                    shutil.copytree(tmp_path, made)
                    return
        except Timeout:  # another worker is at it
            make()
        else:
            shutil.copytree(made, tmp_path, dirs_exist_ok=True)

    return fill


@pytest.fixture
def load_first(load_from, once) -> Callable[..., None]:
    """As `load_from`, into nothing, for tests of what comes after: the same of a world at the same time only once."""

    def load(world: Sandbox, *tables: str) -> None:
        wanted = (replace(world.options, clock=None), world.world.now(), tables)
        once(repr(wanted), lambda: load_from(world, *tables))

    return load


def until_a_report_is_gone(world: Sandbox, clock: Clock) -> str:
    """Days pass until a report is deleted; which one."""
    before = world.world.truth("reports")
    while before <= world.world.truth("reports"):
        clock.pass_by(days=1)
    (gone, *_) = before - world.world.truth("reports")
    return gone


def query_destination(sql: str) -> list[tuple]:
    """Rows of a query on the destination that the environment names."""
    with open_warehouse(mode_pipeline()) as warehouse:
        return warehouse.query(sql).rows


@pytest.fixture
def assert_true(query) -> Callable[..., None]:
    """Every table holds what Mode has: rows that are gone are marked, history stays."""

    def check(world: Sandbox, *but: str) -> None:
        wanted_tables = [table for table in ENDPOINTS if table.rest is not None and table.name not in but]
        found = stored_keys(query, wanted_tables)
        for endpoint in wanted_tables:
            keys, truth = found[endpoint.name], {as_text(key) for key in wanted(world, endpoint.name)}
            assert len(keys) == len(set(keys)), endpoint.name
            assert truth <= set(keys), f"{endpoint.name} lacks {len(truth - set(keys))}"
            if not endpoint.history and endpoint.name != "users":
                assert set(keys) == truth, f"{endpoint.name} keeps {len(set(keys) - truth)} that are gone"

    return check


def stored_keys(query: Callable[[str], list[tuple]], tables: list[Endpoint]) -> dict[str, list[tuple[str, ...]]]:
    """The keys of the rows that are not gone, by table, in one query: opening the destination takes longer."""
    width = max(len(table.key) for table in tables)
    selects = []
    for table in tables:
        texts = [f"CAST({column} AS VARCHAR)" for column in table.key] + ["NULL"] * (width - len(table.key))
        live = "" if table.history else "WHERE deleted_at IS NULL"
        selects.append(f"SELECT '{table.name}', {', '.join(texts)} FROM mode_analytics_data.{table.name} {live}")
    found: dict[str, list[tuple[str, ...]]] = {table.name: [] for table in tables}
    for name, *key in query(" UNION ALL ".join(selects)):
        found[name].append(tuple(text for text in key if text is not None))
    return found


def as_text(key: object) -> tuple[str, ...]:
    """A key of the truth: one value, or several."""
    return tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)


def wanted(world: Sandbox, table: str) -> set:
    """The truth; of query runs those of finished runs, the others are read when their run has finished."""
    if table != "query_runs":
        return world.world.truth(table)
    finished = {run["token"] for run in world.world.rows("runs") if run["ended_at"] <= world.world.now()}
    return {row["token"] for row in world.world.rows("query_runs") if row["run_token"] in finished}


def requests_of(world: Sandbox, action: Callable[[], object]) -> Counter[str]:
    """How often each kind of path was asked for during the action; fails where a URL was asked for twice."""
    world.requests.clear()
    action()
    asked = Counter((request.path, request.query) for request in world.requests)
    assert not [url for url, times in asked.items() if times > 1]
    return Counter(request.path.rsplit("/", 1)[-1] for request in world.requests)


def quiet_moment(world: Sandbox, clock: Clock) -> datetime:
    """A moment at which no run is under way."""
    for minute in range(24 * 60):
        clock.now = START + timedelta(minutes=minute)
        if all(run["ended_at"] <= clock.now for run in world.world.rows("runs")):
            return clock.now
    raise AssertionError("something always runs")
