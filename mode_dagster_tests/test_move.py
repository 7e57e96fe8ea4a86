"""From a DuckDB file to a server or to files: nothing is lost that only the file has, and nothing is fetched twice."""

from collections.abc import Callable

import duckdb
import pytest

from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.pipeline import BLOCK_SIZE, mode_pipeline
from mode_dagster.models import MODELS, run_model
from mode_dagster.move import move
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.living import query_destination, until_a_report_is_gone
from mode_dagster_tests.loaded_postgres import Server, point, server

__all__ = ["server"]

ONLY = Workspace()


@pytest.fixture
def query() -> Callable[[str], list[tuple]]:
    """Rows of a query on the destination that is set."""
    return query_destination


@pytest.fixture
def file(tmp_path, world, clock, load_from, once):
    """A file with days of history: deleted things, and snapshots of two days."""
    path = tmp_path / "mode_analytics.duckdb"
    began = clock.now

    def days() -> None:
        load_from(world)
        snapshot(path, clock.now)
        until_a_report_is_gone(world, clock)
        load_from(world)
        snapshot(path, clock.now)

    once("days of history", days)
    if clock.now == began:
        until_a_report_is_gone(world, clock)
    return path


@pytest.fixture
def few_tables(tmp_path, world, load_first):
    """A file with one load of some tables."""
    load_first(world, "spaces", "reports", "runs")
    return tmp_path / "mode_analytics.duckdb"


@pytest.fixture(params=["postgres", *(pytest.param(each, marks=pytest.mark.slow) for each in ("parquet", "delta"))])
def empty(request, server: Server, tmp_path, monkeypatch) -> Callable[[], None]:
    """Points the destination at an empty one of each kind."""

    def point_at_it() -> None:
        if request.param == "postgres":
            point(monkeypatch, server.create())
        else:
            monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
            monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
        if request.param == "delta":
            monkeypatch.setenv("DESTINATION__FILESYSTEM__TABLE_FORMAT", "delta")

    return point_at_it


def snapshot(path, now) -> None:
    with duckdb.connect(str(path)) as connection:
        for name in ("run_facts", "report_owners", "people_activity", "report_catalogue", "report_snapshots"):
            run_model(DuckDBWarehouse(connection), MODELS[name], ONLY, now)


@pytest.mark.slow
def test_history_moves_and_the_next_sync_asks_for_what_changed_since(
    file, empty, world, clock, load_from, assert_true, query
):
    gone = query("SELECT token, deleted_at FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL")
    snapshots = query("SELECT day, report_token, view_count FROM mode_marts.report_snapshots ORDER BY ALL")
    rows = {name: query(f"SELECT count(*) FROM mode_analytics_data.{name}")[0][0] for name in ("runs", "sync_ledger")}
    empty()
    copied = move(file, ONLY)
    assert {name: copied[name] for name in rows} == rows
    assert query("SELECT token, deleted_at FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL") == gone
    kept = (
        "SELECT day, report_token, view_count FROM mode_marts.report_snapshots ORDER BY day, report_token, view_count"
    )
    assert query(kept) == snapshots
    again = load_from(world)
    assert again.tallies["queries"].lists == 0
    assert_true(world)
    clock.pass_by(days=2)
    load_from(world)
    assert_true(world)


def test_a_file_is_not_moved_into_itself_nor_onto_what_is_loaded(few_tables, empty):
    with pytest.raises(ModeConfigError, match="into itself"):
        move(few_tables, ONLY)
    empty()
    move(few_tables, ONLY)
    with pytest.raises(ModeConfigError, match="already loaded"):
        move(few_tables, ONLY)


def test_what_the_last_sync_could_not_load_is_asked_for_again(few_tables, server: Server, monkeypatch, query):
    pipeline = mode_pipeline()
    pipeline.extract([{"token": "fetched"}], table_name="spaces", schema=pipeline.default_schema)
    point(monkeypatch, server.create())
    assert move(few_tables, ONLY)["runs"] > 0
    assert query("SELECT count(*) FROM mode_analytics_data.spaces WHERE token = 'fetched'") == [(0,)]
    assert not mode_pipeline().has_pending_data


def test_another_duckdb_file_is_made_as_a_first_load_makes_it(few_tables, tmp_path, monkeypatch):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "other.duckdb"))
    move(few_tables, ONLY)
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        assert connection.sql("SELECT block_size FROM pragma_database_size()").fetchall() == [(BLOCK_SIZE,)]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModeConfigError, match="there is no file"):
        move(tmp_path / "other.duckdb", ONLY)


def test_a_file_of_something_else_is_named_before_the_destination_is_touched(tmp_path, monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(ModeConfigError, match="has nothing that was loaded into mode_analytics_data"):
        move(tmp_path / "other.duckdb", ONLY)
    assert not (tmp_path / "bucket").exists()
