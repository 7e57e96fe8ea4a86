"""Postgres as the destination: a real server ends with what Mode has, and answers what DuckDB answers."""

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import duckdb
import pytest

from mode_dagster.alerts.failing_reports import failing_reports
from mode_dagster.answers import three_answers
from mode_dagster.build import RESOURCES, build_mode_definitions
from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Loaded
from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS
from mode_dagster.extract.errors import ModeListingError
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.references.tables import DESCRIBED, answer_all, known_answers, loaded_queries, write_tables
from mode_dagster.sandbox import Fault
from mode_dagster.warehouse import DuckDBWarehouse, MissingError, Rows, Warehouse, WarehouseError, open_warehouse
from mode_dagster.warehouse.interface import TYPES as TYPES_OF_DUCKDB
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report.facts import read_facts
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.living import query_destination, until_a_report_is_gone
from mode_dagster_tests.loaded_file import file
from mode_dagster_tests.loaded_postgres import database, loaded, server
from mode_dagster_tests.random_rows import random_rows
from mode_dagster_tests.test_checks import BROKEN

__all__ = ["database", "file", "loaded", "server"]

ONLY = Workspace()
ALL = [*BY_NAME, LEDGER]
TYPES = {
    "BIGINT": {"bigint"},
    "VARCHAR": {"text", "character varying"},
    "DOUBLE": {"double precision"},
    "BOOLEAN": {"boolean"},
    "DATE": {"date"},
    "TIMESTAMP WITH TIME ZONE": {"timestamp with time zone"},
}
"""What a type of DuckDB is in Postgres."""


@pytest.fixture
def query() -> Callable[[str], list[tuple]]:
    """Rows of a query on the database that the environment names."""
    return query_destination


def build(warehouse: Warehouse, now=NOON) -> None:
    """What queries read, and all models."""
    queries = loaded_queries(warehouse, ONLY)
    write_tables(warehouse, ONLY, queries, answer_all(queries, known_answers(warehouse, ONLY, queries), now))
    for model in MODELS.values():
        run_model(warehouse, model, ONLY, now)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and other is not None:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return type(one) is type(other) and one == other


def assert_same_rows(one: Rows, other: Rows) -> None:
    """In any order; fractions may differ in their last digits."""
    ordered = [
        sorted(rows.rows, key=lambda row: [str(value) for value in row if not isinstance(value, float)])
        for rows in (one, other)
    ]
    assert len(ordered[0]) == len(ordered[1])
    for row, twin in zip(*ordered, strict=True):
        differing = [cell for cell in zip(one.columns, row, twin, strict=True) if not same(*cell[1:])]
        assert differing == []


def assert_same_models(here: Warehouse, there: Warehouse) -> None:
    """Every table has the same rows and columns, and no check of a head finds anything that it does not find here."""
    for name, model in MODELS.items():
        everything = f"SELECT * FROM mode_marts.{name}"
        found, twin = here.query(everything), there.query(everything)
        types, twins = here.columns("mode_marts")[name], there.columns("mode_marts")[name]
        assert list(types) == list(twins)
        assert not {column: kind for column, kind in twins.items() if kind not in TYPES[types[column]]}, name
        if name != "time_zones":  # each knows others
            assert_same_rows(found, twin)
        for check in (key_check(model), *model.checks):
            counts = [violations(warehouse, model, check, ONLY, NOON).count for warehouse in (here, there)]
            assert counts[0] == counts[1], (name, check)


def test_models_references_facts_and_answers_are_those_of_duckdb(file, loaded, monkeypatch):
    with open_warehouse(mode_pipeline()) as there:
        with duckdb.connect(str(file.path)) as connection:
            here = DuckDBWarehouse(connection)
            build(here)
            build(there)
            assert_same_models(here, there)
            for table, columns in DESCRIBED.items():
                wanted = ", ".join(column for column in columns if column not in ("seconds", "answer"))
                one, other = (each.query(f"SELECT {wanted} FROM mode_marts.{table}") for each in (here, there))
                assert_same_rows(one, other)
            facts = read_facts(here, ONLY)
        assert facts.days
        for name, answer in asdict(read_facts(there, ONLY)).items():
            if isinstance(answer, list):
                for row, twin in zip(getattr(facts, name), answer, strict=True):
                    assert not [cell for cell in row if not same(row[cell], twin[cell])], name
            else:
                assert answer == getattr(facts, name)
    told = [three_answers(ONLY), failing_reports(ONLY, told=["x"])]
    monkeypatch.setenv("DESTINATION_TYPE", "duckdb")
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(file.path))
    assert [three_answers(ONLY), failing_reports(ONLY, told=["x"])] == told


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_whatever_is_loaded_models_and_checks_are_those_of_duckdb(database, seed):
    rows = random_rows(seed)
    with duckdb.connect() as connection, open_warehouse(mode_pipeline()) as there:
        here = DuckDBWarehouse(connection)
        for warehouse in (here, there):
            for endpoint in ENDPOINTS:
                types = {column.name: TYPES_OF_DUCKDB[column.data_type] for column in endpoint.all_columns}
                warehouse.write(f"{DATASET}.{endpoint.name}", types, rows[endpoint.name])
            build(warehouse, NOON - timedelta(days=1))
            build(warehouse)  # snapshots are kept
        assert len(here.query("SELECT DISTINCT day FROM mode_marts.report_snapshots").rows) == 2
        assert_same_models(here, there)
        assert_same_findings(here, there)


DESTRUCTIVE = ("DELETE FROM reports", "DELETE FROM dataset_schedules", "UPDATE data_sources")


def test_checks_find_what_they_find_in_duckdb(file, loaded):
    loaded.copy(file)
    with duckdb.connect(str(file.path)) as connection, open_warehouse(mode_pipeline()) as there:
        found = assert_same_findings(DuckDBWarehouse(connection), there)
    assert all(found.values())
    file.change(*(statement for _, _, statement in BROKEN if not statement.startswith(DESTRUCTIVE)))
    loaded.copy(file)
    with duckdb.connect(str(file.path)) as connection, open_warehouse(mode_pipeline()) as there:
        found = assert_same_findings(DuckDBWarehouse(connection), there)
    failing = {check for check, passed in found.items() if not passed}
    assert len(failing & {(table, check) for table, check, _ in BROKEN}) >= 15, "some hide others"


def assert_same_findings(here: Warehouse, there: Warehouse) -> dict[tuple[str, str], bool]:
    """What passed, on both."""
    sides = [Loaded(warehouse, DATASET, NOON) for warehouse in (here, there)]
    passed = {}
    for table in ALL:
        for check in checks_of(table):
            one, other = (check.find(side) for side in sides)
            assert not one.says.startswith("Could not check"), one
            assert (one.passed, one.says, one.numbers) == (other.passed, other.says, other.numbers)
            assert len(one.rows) == len(other.rows)  # which are shown first is not said
            passed[table, check.name] = one.passed
    return passed


@pytest.mark.slow
def test_days_of_life_end_with_the_tables_that_mode_has(
    database, world, clock, load_from, assert_true, query, tmp_path, monkeypatch
):
    first = load_from(world)
    assert_true(world)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "another machine"))
    again = load_from(world)
    assert again.requests < first.requests / 3, "what is loaded is known from the database alone"
    assert again.tallies["queries"].lists == 0
    gone = until_a_report_is_gone(world, clock)
    load_from(world)
    assert_true(world)
    assert query(f"SELECT deleted_at FROM mode_analytics_data.reports WHERE token = '{gone}'") == [(clock.now,)]
    kept = f"SELECT count(*) FROM mode_analytics_data.sync_ledger WHERE parent = '{gone}' AND endpoint = 'queries'"
    assert query(kept) == [(0,)]


def test_a_listing_that_is_lost_marks_nothing(database, world, load_from, query):
    load_from(world, "spaces", "reports")
    space = world.world.rows("reports")[0]["space_token"]
    world.faults.append(Fault(rf"/spaces/{space}/reports", status=403))
    sync = load_from(world, "spaces", "reports", isolate=True)
    assert isinstance(sync.failures["reports"], ModeListingError)
    assert query("SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL") == [(0,)]


@pytest.mark.slow
def test_the_job_makes_every_model_and_check(database, sandbox, reads, query):
    reads(sandbox)
    job = build_mode_definitions().resolve_job_def("mode_sync")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, resources=RESOURCES)
    assert result.success
    evaluations = {(each.asset_key, each.check_name): each for each in result.get_asset_check_evaluations()}
    assert evaluations.keys() == {(key.asset_key, key.name) for key in job.asset_layer.asset_graph.asset_check_keys}
    assert not [each for each in evaluations.values() if "Could not check" in (each.description or "")]
    (snapshots,) = result.asset_materializations_for_node("mode_marts__report_snapshots")
    assert snapshots.metadata["dagster/column_schema"].schema.columns[1].type == "date"
    assert query("SELECT count(*) FROM mode_marts.report_catalogue") == [(len(sandbox.world.truth("reports")),)]


def test_what_the_server_refuses_is_said_in_its_words(database):
    with open_warehouse(mode_pipeline()) as warehouse:
        with pytest.raises(MissingError, match="nothing"):
            warehouse.query("SELECT 1 FROM mode_marts.nothing")
        with pytest.raises(WarehouseError, match="invalid input syntax"):
            warehouse.query("SELECT CAST('x' AS INTEGER)")
        with pytest.raises(WarehouseError, match="Could not say in the SQL of postgres"):
            warehouse.query("SELECT FROM WHERE")


def replace_and_fail(warehouse: Warehouse) -> None:
    with warehouse.transaction():
        warehouse.replace("mode_marts.words", "SELECT 'new' AS word")
        warehouse.query("SELECT CAST('x' AS INTEGER)")


def test_a_model_that_fails_leaves_its_table_as_it_was(database):
    with open_warehouse(mode_pipeline()) as warehouse:
        warehouse.replace("mode_marts.words", "SELECT 'old' AS word")
        with pytest.raises(WarehouseError, match="invalid input syntax"):
            replace_and_fail(warehouse)
        assert warehouse.query("SELECT word FROM mode_marts.words").rows == [("old",)]


def test_a_model_of_snapshots_keeps_the_rows_of_other_keys(database):
    with open_warehouse(mode_pipeline()) as warehouse:
        warehouse.replace_rows("mode_marts.days", "SELECT 1 AS day, 'old' AS word UNION ALL SELECT 2, 'old'", ["day"])
        warehouse.replace_rows("mode_marts.days", "SELECT 2 AS day, 'new' AS word, now() AS seen_at", ["day"])
        rows = warehouse.query("SELECT day, word, seen_at IS NOT NULL FROM mode_marts.days ORDER BY day").rows
        assert rows == [(1, "old", False), (2, "new", True)]
        assert warehouse.types("mode_marts.days")["seen_at"] == "timestamp with time zone"
        assert list(warehouse.tables("mode_marts")) == ["days"]
