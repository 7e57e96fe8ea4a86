"""A workspace that lives, and whether what is loaded is what Mode has.

Fixtures of this module are known to all tests (conftest names it as a plugin).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.warehouse import open_warehouse

START = datetime(2026, 6, 1, 9, 5, tzinfo=UTC)
LIVELY = SandboxOptions(reports=14, spaces=3, rate_limit_requests=1_000_000, epoch=datetime(2026, 5, 26, tzinfo=UTC))


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
        for endpoint in ENDPOINTS:
            if endpoint.rest is None or endpoint.name in but:
                continue
            live = "" if endpoint.history else "WHERE deleted_at IS NULL"
            rows = query(f"SELECT {', '.join(endpoint.key)} FROM mode_analytics_data.{endpoint.name} {live}")
            found = [row[0] if len(endpoint.key) == 1 else row for row in rows]
            truth = wanted(world, endpoint.name)
            assert len(found) == len(set(found)), endpoint.name
            assert truth <= set(found), f"{endpoint.name} lacks {len(truth - set(found))}"
            if not endpoint.history and endpoint.name != "users":
                assert set(found) == truth, f"{endpoint.name} keeps {len(set(found) - truth)} that are gone"

    return check


def wanted(world: Sandbox, table: str) -> set:
    """The truth; of query runs those of finished runs, the others are read when their run has finished."""
    if table != "query_runs":
        return world.world.truth(table)
    finished = {run["token"] for run in world.world.rows("runs") if run["ended_at"] <= world.world.now()}
    return {row["token"] for row in world.world.rows("query_runs") if row["run_token"] in finished}
