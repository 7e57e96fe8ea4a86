"""Assets on real Dagster: what is selected is loaded, what fails is named, the page of each asset answers."""

import contextlib
import re
from dataclasses import replace

import dagster as dg
import pytest

from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.build import RESOURCES, build_mode_definitions
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.resources import ModeDuckDBResource
from mode_dagster.sandbox import Fault, serve
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import SMALL

ALL = {*BY_NAME, LEDGER}
asset_key = Workspace().table_key


@pytest.fixture
def materialize(tmp_path):
    assets = [build_assets(), build_ledger_check()]
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:

        def run(*tables: str, **config: object) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                assets,
                selection=[asset_key(table) for table in tables] or None,
                resources=RESOURCES,
                run_config={"ops": {"mode": {"config": config}}},
                instance=instance,
                raise_on_error=False,
            )

        yield run


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict]:
    """Metadata of each table that was materialized."""
    return {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    return failed.step_failure_data.user_failure_data.description


def test_everything_is_materialized_with_numbers_that_are_true_also_when_nothing_is_new(
    sandbox, reads, materialize, keys
):
    reads(sandbox)
    found = materialized(materialize())
    asked = len(sandbox.requests)
    again = materialized(materialize())
    assert set(found) == set(again) == ALL
    counted = [{table: metadata["dagster/row_count"] for table, metadata in each.items()} for each in (found, again)]
    assert counted[0] == counted[1]
    owners = len(sandbox.world.truth("reports")) + len(sandbox.world.truth("datasets"))
    assert again["queries"]["lists_unchanged"] == owners
    assert again["query_runs"]["requests"] == 0
    del found[LEDGER]
    for table, metadata in found.items():
        assert metadata["dagster/row_count"] == len(keys(table)), table
        assert metadata["rows_fetched"] == metadata["dagster/row_count"], table
        assert metadata["dagster/table_name"] == f"mode_analytics_data.{table}"
    assert found["queries"]["rows_by_mode_counter"] == found["queries"]["rows_of_counted_lists"]
    assert found["spaces"]["requests"] == 1
    assert found["runs"]["plan"].startswith("plan: 12 of 12 reports changed, ")
    assert sum(metadata["requests"] for metadata in found.values()) == asked
    assert found["report_stats"]["note"] == "only with listing = discovery"


def test_the_log_says_what_was_fetched_and_when_nothing_had_to_be(sandbox, reads, materialize, capfd):
    reads(sandbox)
    materialize("queries", "report_stats")
    first = capfd.readouterr().err
    assert re.search(r"queries: \d+ rows fetched, \d+ requests, ", first)
    assert "report_stats: only with listing = discovery" in first
    materialize("queries", "report_stats")
    assert re.search(r"queries: nothing to fetch, \d+ lists are as they were", capfd.readouterr().err)


def test_columns_show_with_their_meaning_undocumented_ones_too(sandbox, reads, materialize):
    body = '{"_embedded": {"definitions": [{"token": "a", "brand_new": "x"}]}}'
    sandbox.faults.append(Fault("/definitions", kind="body", body=body))
    reads(sandbox)
    schema = materialized(materialize("definitions"))["definitions"]["dagster/column_schema"]
    described = {column.name: column.description for column in schema.columns}
    assert described["source"] == "The SQL."
    assert described["brand_new"] == "Not documented by Mode."


@pytest.mark.parametrize("table", ["reports", "charts", "users", "audit_logs"])
def test_any_table_can_be_materialized_alone(sandbox, reads, materialize, keys, table):
    reads(sandbox)
    result = materialize(table)
    assert result.success
    assert set(materialized(result)) == {table}
    if table != "users":
        assert sorted(keys(table)) == sorted(sandbox.world.truth(table))


def test_the_same_definitions_run_again_in_one_process(sandbox, reads, materialize, keys):
    reads(sandbox)
    assert materialize("spaces", "reports").success
    assert materialize("spaces", "reports").success
    assert sorted(keys("reports")) == sorted(sandbox.world.truth("reports"))


def test_a_table_alone_is_materialized_when_nothing_of_it_is_due(sandbox, reads, materialize):
    reads(sandbox)
    first = materialized(materialize("spaces", "reports", "datasets", "queries", "charts"))
    sandbox.requests.clear()
    result = materialize("charts")
    assert result.success
    assert materialized(result)["charts"]["dagster/row_count"] == first["charts"]["dagster/row_count"]
    assert not sandbox.requests


def test_checkpoints_show_as_one_materialization_an_asset(reads, materialize, query):
    with serve(replace(SMALL, reports=2)) as sandbox:
        reads(sandbox, checkpoint_seconds=0)
        events = materialize("spaces", "reports", "queries").get_asset_materialization_events()
    ((loads,),) = query("SELECT count(*) FROM mode_analytics_data._dlt_loads")
    assert loads > 4
    assert sorted(event.asset_key.path[-1] for event in events) == ["queries", "reports", "spaces"]


def test_a_failing_table_is_named_and_all_others_are_materialized(sandbox, reads, materialize, keys):
    sandbox.faults.append(Fault(r"/definitions", status=500))
    reads(sandbox)
    result = materialize()
    assert not result.success
    assert set(materialized(result)) == ALL - {"definitions"}
    assert "Could not list definitions: HTTP 500 from GET /api/" in failure_of(result)
    for table in ("runs", "charts", "users"):
        assert sorted(keys(table)) == sorted(sandbox.world.truth(table)), table


@pytest.mark.parametrize("has_check", [False, True], ids=["not defined", "not selected"])
def test_without_the_check_of_the_ledger_a_failing_table_fails_the_step(sandbox, reads, tmp_path, has_check):
    sandbox.faults.append(Fault(r"/definitions", status=500))
    reads(sandbox)
    tables = dg.AssetSelection.assets(*map(asset_key, ("spaces", "definitions", LEDGER)))
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        result = dg.materialize(
            [build_assets(), *([build_ledger_check()] if has_check else [])],
            selection=tables.without_checks(),
            resources=RESOURCES,
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    assert "Could not list definitions" in failure_of(result)
    assert set(materialized(result)) == {"spaces", LEDGER}


def test_a_list_that_fails_leaves_its_table_materialized_and_the_run_red(sandbox, reads, materialize, keys):
    broken = sandbox.world.rows("queries")[0]["report_token"]
    sandbox.faults.append(Fault(rf"/reports/{broken}/queries$", status=418))
    reads(sandbox)
    result = materialize("spaces", "reports", "queries", LEDGER)
    assert not result.success
    assert "queries: Could not list queries of report" in failure_of(result)
    found = materialized(result)["queries"]
    assert found["lists_failed"] == 1
    assert found["note"].startswith(
        "1 list could not be read, and nothing changed there: Could not list queries of report"
    )
    assert "1 list could not be read" in found["completeness"]
    # the next sync has nothing else to read of this table
    again = materialized(materialize("spaces", "reports", "queries", LEDGER))["queries"]
    assert (again["lists_read"], again["lists_failed"]) == (0, 1)
    sandbox.faults.clear()
    result = materialize("spaces", "reports", "queries", LEDGER)
    assert result.success
    assert (materialized(result)["queries"]["lists_read"], materialized(result)["queries"]["lists_failed"]) == (1, 0)


def test_missing_settings_fail_the_step_with_advice(materialize):
    assert "username: not set" in failure_of(materialize("spaces"))


def test_wrong_credentials_fail_without_the_secret_in_any_event(sandbox, reads, materialize, monkeypatch):
    reads(sandbox)
    monkeypatch.setenv("SOURCES__MODE_ANALYTICS_SOURCE__PASSWORD", "sec-wrong-4711")
    result = materialize("spaces")
    assert "Check username (API token) and password (API secret)" in failure_of(result)
    assert not any("sec-wrong-4711" in str(event) for event in result.all_events)


def test_secrets_are_in_no_event_of_a_good_run(sandbox, reads, materialize):
    reads(sandbox)
    result = materialize("spaces", "reports")
    assert not any(sandbox.password in str(event) for event in result.all_events)


def test_lineage_is_modes_own():
    graph = build_mode_definitions().resolve_asset_graph()

    def parents(table: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(asset_key(table)).parent_keys}

    assert parents("spaces") == set()
    assert parents("reports") == {"mode/spaces"}
    assert parents("runs") == {"mode/reports"}
    assert parents("query_runs") == {"mode/runs", "mode/queries"}
    assert parents("queries") == {"mode/reports", "mode/data_sources"}
    assert parents("charts") == {"mode/queries"}
    tables = {key.to_user_string() for key in graph.get_all_asset_keys() if key.path[0] == "mode"}
    assert tables == {f"mode/{table}" for table in ALL}


def test_assets_say_what_they_are_before_any_load():
    for spec in build_assets().specs:
        if spec.key == asset_key(LEDGER):
            continue
        endpoint = BY_NAME[spec.key.path[-1]]
        assert spec.description.startswith(f"{endpoint.description}\n\nHow it is read:")
        assert spec.group_name == endpoint.family
        assert spec.kinds == {"dlt", "duckdb"}
        assert len(spec.metadata["dagster/column_schema"].columns) == len(endpoint.all_columns)


def test_the_duckdb_resource_lets_go_of_the_file_whatever_happens(tmp_path, query):
    warehouse = ModeDuckDBResource(database=str(tmp_path / "mode_analytics.duckdb"))
    with contextlib.suppress(ZeroDivisionError), warehouse.get_connection() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
        raise ZeroDivisionError
    assert query("SELECT x FROM t") == [(1,)]
