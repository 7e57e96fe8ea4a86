"""Checks of the loaded tables: quiet on what a load leaves, and each finds what is broken in just its way."""

import dagster as dg
import duckdb
import pytest

from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.build import RESOURCES
from mode_dagster.checks import build_table_checks, checks_of
from mode_dagster.checks.loaded import Gravity, Loaded
from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.sandbox import Fault
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.known_rows import known_rows
from mode_dagster_tests.loaded_file import File, file
from mode_dagster_tests.test_freshness import BEHIND

__all__ = ["file"]

ALL = [*BY_NAME, LEDGER]
NOW = "TIMESTAMPTZ '2026-06-17 12:20:00+00'"
FIRST_REPORT = "(SELECT report_token FROM queries ORDER BY token LIMIT 1)"
ITS_QUERIES = f"{LEDGER} WHERE endpoint = 'queries' AND parent = {FIRST_REPORT}"


def first(table: str, where: str = "TRUE") -> str:
    """One row of a table, always the same; after the table's name may come what is to be SET."""
    return f"{table} WHERE token = (SELECT min(token) FROM {table.split()[0]} WHERE {where})"


def counted(counter: str) -> str:
    """Rows of reports of which Mode sends a counter."""
    return f"report_token IN (SELECT token FROM reports WHERE {counter} > 0)"


def copy_of(table: str, **changes: str) -> str:
    """A row like another one, with other values."""
    values = ", ".join(f"{value} AS {column}" for column, value in changes.items())
    return f"INSERT INTO {table} BY NAME SELECT * REPLACE ({values}) FROM {table} LIMIT 1"


def test_what_a_load_leaves_passes(file: File):
    found = {(table, name): finding for table in ALL for name, finding in file.look(table).items()}
    assert all(finding.passed for finding in found.values()), found
    blind = {table for (table, _), finding in found.items() if finding.says.startswith("Not checked")}
    assert blind == {"report_stats", "members"}, "only listing = discovery has them"


def test_every_table_has_the_checks_that_its_row_of_the_catalogue_calls_for():
    names = {table: {check.name for check in checks_of(table)} for table in ALL}
    assert all("key_is_unique" in found for found in names.values())
    assert {table for table, found in names.items() if "has_its_parent" in found} == {
        endpoint.name for endpoint in ENDPOINTS if endpoint.parent and endpoint.name != "users"
    }
    assert {table for table, found in names.items() if "rows_match_modes_counter" in found} == {
        endpoint.name for endpoint in ENDPOINTS if endpoint.counter
    }
    assert {table for table, found in names.items() if "states_are_known" in found} == {
        "runs",
        "query_runs",
        "dataset_runs",
    }


GROUPS = "groups WHERE token IN (SELECT token FROM groups ORDER BY token LIMIT 6)"


def old(table: str, owner: str) -> str:
    """Runs that are days old, but for the newest of each report (or dataset), which other checks look at."""
    newest = f"SELECT arg_max(token, created_at) FROM {table} GROUP BY {owner}_token"
    return f"created_at < (SELECT max(created_at) - INTERVAL 5 DAY FROM runs) AND token NOT IN ({newest})"


BROKEN = [
    ("runs", "key_is_unique", "INSERT INTO runs SELECT * FROM runs LIMIT 1"),
    ("dataset_fields", "key_is_unique", "INSERT INTO dataset_fields SELECT * FROM dataset_fields LIMIT 1"),
    (LEDGER, "key_is_unique", f"INSERT INTO {LEDGER} SELECT * FROM {LEDGER} LIMIT 1"),
    ("runs", "has_its_parent", copy_of("runs", token="'new'", report_token="'nobody'")),
    ("query_runs", "has_its_parent", copy_of("query_runs", token="'new'", run_token="'nobody'")),
    ("charts", "has_its_parent", f"UPDATE {first('charts SET query_token = NULL')}"),
    ("queries", "has_its_parent", f"UPDATE reports SET deleted_at = {NOW} WHERE token = {FIRST_REPORT}"),
    ("report_filters", "has_its_parent", "DELETE FROM reports"),
    ("queries", "points_to_what_exists", f"UPDATE {first('queries SET data_source_id = 0')}"),
    ("definitions", "points_to_what_exists", f"UPDATE data_sources SET deleted_at = {NOW}"),
    ("report_subscriptions", "points_to_what_exists", "UPDATE report_subscriptions SET schedule_token = 'nobody'"),
    ("queries", "rows_match_modes_counter", f"DELETE FROM {first('queries')}"),
    ("charts", "rows_match_modes_counter", f"DELETE FROM {first('charts', counted('chart_count'))}"),
    ("runs", "rows_match_modes_counter", f"DELETE FROM runs WHERE {counted('runs_count')} AND {old('runs', 'report')}"),
    ("dataset_runs", "rows_match_modes_counter", f"DELETE FROM dataset_runs WHERE {old('dataset_runs', 'dataset')}"),
    ("report_schedules", "rows_match_modes_counter", f"DELETE FROM {first('report_schedules')}"),
    ("dataset_schedules", "rows_match_modes_counter", "DELETE FROM dataset_schedules"),
    ("group_memberships", "rows_match_modes_counter", copy_of("group_memberships", token="'new'")),
    ("groups", "listing_did_not_shrink", f"UPDATE {GROUPS.replace('WHERE', f'SET deleted_at = {NOW} WHERE', 1)}"),
    ("reports", "no_time_in_the_future", f"UPDATE reports SET published_at = {NOW} + INTERVAL 6 MINUTE"),
    ("audit_logs", "no_time_in_the_future", f'UPDATE audit_logs SET "timestamp" = {NOW} + INTERVAL 1 DAY'),
    ("runs", "states_are_known", "UPDATE runs SET state = 'exploded' WHERE state = 'failed'"),
    ("query_runs", "states_are_known", "UPDATE query_runs SET state = 'FAILED' WHERE state = 'failed'"),
    (
        "spaces",
        "no_value_lost_to_a_type_change",
        "ALTER TABLE spaces ADD COLUMN restricted__v_text VARCHAR DEFAULT 'x'",
    ),
    (LEDGER, "lists_were_readable", f"UPDATE {LEDGER} SET outcome = 'refused' WHERE endpoint = 'groups'"),
]


@pytest.mark.parametrize(("table", "check", "statement"), BROKEN, ids=[f"{t}.{c}" for t, c, _ in BROKEN])
def test_a_check_finds_what_is_broken_in_its_way_and_no_other_does(file: File, table, check, statement):
    file.change(statement)
    found = file.look(table)
    assert [name for name, finding in found.items() if not finding.passed] == [check]
    assert found[check].rows
    assert len(found[check].rows) <= 20


def test_every_check_is_broken_by_some_data():
    broken = {check for _, check, _ in [*BROKEN, *BEHIND]}
    untried = {check.name for table in ALL for check in checks_of(table)} - broken
    assert not untried, "each check needs data that it fails on, in BROKEN here or in BEHIND of test_freshness.py"


FINE = {
    "due again": f"UPDATE reports SET edited_at = edited_at + INTERVAL 1 MINUTE WHERE token = {FIRST_REPORT}",
    "refused": f"UPDATE {ITS_QUERIES.replace('WHERE', 'SET outcome = $$refused$$ WHERE')}",
    "never read": f"DELETE FROM {ITS_QUERIES}",
    "without a counter": f"UPDATE reports SET query_count = NULL WHERE token = {FIRST_REPORT}",
}


@pytest.mark.parametrize("statement", FINE.values(), ids=FINE)
def test_a_list_that_says_nothing_is_not_held_against_modes_counter(file: File, statement):
    compared = file.look("queries")["rows_match_modes_counter"].numbers["compared"]
    file.change(statement, f"DELETE FROM queries WHERE report_token = {FIRST_REPORT}")
    after = file.look("queries")["rows_match_modes_counter"]
    assert after.passed, after
    assert after.numbers["compared"] == compared - 1


def test_a_list_whose_load_was_not_completed_says_nothing(file: File):
    file.change(
        f"UPDATE _dlt_loads SET status = 1 WHERE load_id IN (SELECT _dlt_load_id FROM {ITS_QUERIES})",
        f"DELETE FROM queries WHERE report_token = {FIRST_REPORT}",
    )
    after = file.look("queries")["rows_match_modes_counter"]
    assert after.passed, after
    assert after.numbers["compared"] == 0


def test_the_numbers_show_modes_ours_and_the_worst_reports_first(file: File):
    file.change(
        "UPDATE reports SET query_count = query_count + 5 WHERE query_count = (SELECT max(query_count) FROM reports)",
        f"UPDATE {LEDGER} SET version = '{{}}' WHERE endpoint = 'queries'",
        f"DELETE FROM queries WHERE report_token = {FIRST_REPORT}",
    )
    finding = file.look("queries")["rows_match_modes_counter"]
    differences = [row[finding.columns.index("difference")] for row in finding.rows]
    assert differences == sorted(differences)
    assert sum(differences) == finding.numbers["difference"]
    assert finding.numbers["rows_here"] - finding.numbers["rows_by_mode"] == finding.numbers["difference"]
    assert finding.rows[0][finding.columns.index("address")].startswith("https://app.mode.com/")


def test_runs_are_compared_only_where_all_of_them_are_wanted(file: File):
    file.change(
        f"UPDATE {LEDGER} SET version = json_merge_patch(version, '{{\"history_days\": 7}}') WHERE endpoint = 'runs'",
        "DELETE FROM runs WHERE created_at < TIMESTAMPTZ '2026-06-10 12:20:00+00'",
    )
    finding = file.look("runs")["rows_match_modes_counter"]
    assert finding.passed
    assert finding.numbers["compared"] == 0


def test_a_run_that_began_after_the_listing_was_read_is_not_one_too_many(file: File):
    file.change(copy_of("runs", token="'new'", created_at=NOW))
    assert file.look("runs")["rows_match_modes_counter"].passed


def test_a_query_of_a_dataset_has_its_parent(file: File):
    file.change(f"UPDATE {first('queries SET report_token = (SELECT min(token) FROM datasets)')}")
    assert file.look("queries")["has_its_parent"].passed


def test_a_row_that_lacks_both_of_its_parents_is_counted_as_two_names(file: File):
    file.change("DELETE FROM charts WHERE token <> (SELECT min(token) FROM charts)")
    file.change("UPDATE charts SET report_token = 'nobody', query_token = NULL")
    finding = file.look("charts")["has_its_parent"]
    assert finding.says.startswith("2 names in 1 row lead nowhere. ")
    assert finding.numbers == {"rows": 1, "names_wrong": 2}


def test_a_table_that_is_empty_because_mode_refuses_it_is_no_reproach_to_what_points_there(file: File):
    file.change("DELETE FROM data_sources")
    finding = file.look("queries")["points_to_what_exists"]
    assert finding.passed
    assert finding.says == "Not checked: there is nothing to compare with in data_sources."


def test_few_rows_and_rows_gone_in_an_earlier_sync_are_no_shrinking(file: File):
    file.change(
        "UPDATE definitions SET deleted_at = TIMESTAMPTZ '2026-06-17 12:20:00+00'",
        "UPDATE groups SET deleted_at = TIMESTAMPTZ '2026-06-16 12:20:00+00'",
    )
    for table, gone in (("definitions", 4), ("groups", 0)):
        finding = file.look(table)["listing_did_not_shrink"]
        assert finding.passed
        assert finding.numbers["rows_gone"] == gone


@pytest.mark.parametrize("table", ["memberships", "users", "spaces"])
def test_people_and_collections_that_left_a_list_are_shown_by_token_and_not_by_name(file: File, table):
    file.change(f"UPDATE {table} SET deleted_at = {NOW}")
    shown = file.look(table)["listing_did_not_shrink"]
    assert shown.columns == [*BY_NAME[table].key, "deleted_at"]
    assert shown.rows


def test_what_is_gone_is_shown_by_its_name(file: File):
    file.change(f"UPDATE groups SET deleted_at = {NOW}")
    assert file.look("groups")["listing_did_not_shrink"].columns == ["token", "name", "deleted_at"]


def test_what_is_to_come_may_be_in_the_future_and_clocks_may_differ_by_minutes(file: File):
    file.change(
        "UPDATE report_schedules SET next_scheduled_run = TIMESTAMPTZ '2027-01-01 00:00:00+00'",
        "UPDATE report_schedules SET updated_at = TIMESTAMPTZ '2026-06-17 12:24:00+00'",
    )
    assert file.look("report_schedules")["no_time_in_the_future"].passed


def test_a_column_for_another_type_without_values_is_fine_and_values_are_shown(file: File):
    file.change("ALTER TABLE spaces ADD COLUMN id__v_json JSON")
    assert file.look("spaces")["no_value_lost_to_a_type_change"].passed
    file.change("UPDATE spaces SET id__v_json = '{\"n\": 1}'")
    finding = file.look("spaces")["no_value_lost_to_a_type_change"]
    assert finding.rows == [("id__v_json", 4, '{"n": 1}')]


def test_single_refused_lists_are_counted_and_shown(file: File):
    before = file.look(LEDGER)["lists_were_readable"].numbers["lists_refused"]
    one = f"endpoint = 'runs' AND parent = {FIRST_REPORT}"
    file.change(f"UPDATE {LEDGER} SET outcome = 'refused', http_status = 404 WHERE {one}")
    finding = file.look(LEDGER)["lists_were_readable"]
    assert finding.passed
    assert finding.numbers["lists_refused"] == before + 1
    assert ("runs", 12, 1, "HTTP 404") in finding.rows


@pytest.mark.parametrize("listing", [Listing.DISCOVERY, Listing.WORKSPACE])
def test_lists_of_the_whole_workspace_are_compared_too(flat_sandbox, load_from, tmp_path, listing):
    load_from(flat_sandbox, "spaces", "reports", "queries", listing=listing)
    file = File(tmp_path / "mode_analytics.duckdb")
    file.change(
        "UPDATE reports SET query_count = (SELECT count(*) FROM queries q WHERE q.report_token = reports.token)"
    )
    assert file.look("queries")["rows_match_modes_counter"].numbers["compared"] == 12
    file.change("DELETE FROM queries WHERE token = (SELECT min(token) FROM queries)")
    found = file.look("queries")
    assert [name for name, finding in found.items() if not finding.passed] == ["rows_match_modes_counter"]
    file.change(f"UPDATE {LEDGER} SET _dlt_load_id = 'another' WHERE endpoint = 'reports'")
    assert file.look("queries")["rows_match_modes_counter"].passed, "the counters are not of the same sync"


def test_tables_that_were_never_loaded_are_said_not_to_be_checked(tmp_path):
    file = File(tmp_path / "empty.duckdb")
    for table in ALL:
        for name, finding in file.look(table).items():
            assert finding.passed, (table, name)
            assert finding.says == f"Not checked: the table {finding.says.split()[4]} was never loaded.", (table, name)


def test_empty_tables_and_no_ledger_are_no_failure():
    with duckdb.connect() as connection:
        known_rows(connection)
        loaded = Loaded(DuckDBWarehouse(connection), DATASET, NOON)
        assert all(check.find(loaded).passed for table in BY_NAME for check in checks_of(table))


def test_a_file_from_before_a_column_was_known_is_checked_as_far_as_it_goes(file: File):
    known = {
        endpoint.name: [c.name for c in endpoint.all_columns if c.name not in endpoint.key] for endpoint in ENDPOINTS
    }
    file.change(*(f'ALTER TABLE {table} DROP COLUMN "{name}"' for table, names in known.items() for name in names))
    for table in ALL:
        assert all(finding.passed for finding in file.look(table).values()), table


@pytest.mark.parametrize(
    ("table", "column"), [("memberships", "email"), ("query_runs", "error_message"), ("spaces", "nobody_knows_it")]
)
def test_values_for_another_type_are_not_shown_of_people_of_errors_and_of_what_nobody_documents(
    file: File, table, column
):
    if column not in {known.name for known in BY_NAME[table].all_columns}:
        file.change(f"ALTER TABLE {table} ADD COLUMN {column} VARCHAR")
    value = '{"of": "jane.doe@acme.example"}'
    file.change(f"ALTER TABLE {table} ADD COLUMN {column}__v_json JSON DEFAULT '{value}'")
    finding = file.look(table)["no_value_lost_to_a_type_change"]
    (row,) = finding.rows
    assert row[1] > 0
    assert "jane.doe" not in str(finding)


@pytest.mark.parametrize("column", ["version", "read_at", "outcome"])
def test_a_ledger_from_before_a_column_was_known_is_no_failure(file: File, column):
    file.change(f"ALTER TABLE {LEDGER} DROP COLUMN {column}")
    for table in ("reports", "queries", "runs", "report_schedules", "audit_logs", LEDGER):
        assert all(finding.passed for finding in file.look(table).values()), table


def test_a_check_that_can_not_look_says_so_and_stops_neither_others_nor_models(file: File):
    file.change("ALTER TABLE reports ALTER last_run_at TYPE VARCHAR")
    found = file.look("runs")
    blind = {name: finding for name, finding in found.items() if not finding.passed}
    assert set(blind) == {"rows_match_modes_counter", "newest_run_is_loaded"}
    assert all(finding.says.startswith("Could not check: Binder Error: ") for finding in blind.values())
    assert all(finding.gravity is Gravity.WARNS for finding in blind.values())


asset_key = Workspace().table_key
TINY = Workspace().model_key("tiny")


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


def definitions() -> dg.Definitions:
    @dg.asset(
        key=TINY,
        deps=[asset_key("runs")],
        automation_condition=dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed(),
    )
    def tiny() -> None: ...

    return dg.Definitions(
        assets=[build_assets(), tiny],
        asset_checks=[build_ledger_check(), *build_table_checks(Workspace(), lambda: NOON)],
        resources=RESOURCES,
    )


def execute(defs: dg.Definitions, instance: dg.DagsterInstance, selection: dg.AssetSelection):
    job = dg.define_asset_job("some", selection, executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    return defs.resolve_job_def("some").execute_in_process(instance=instance, raise_on_error=False)


def evaluations(result) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(e.asset_key.path[-1], e.check_name): e for e in result.get_asset_check_evaluations()}


def test_a_blocking_check_keeps_models_from_running_in_the_same_run_and_by_automation(
    sandbox, reads, instance, tmp_path
):
    reads(sandbox)
    defs, file = definitions(), File(tmp_path / "mode_analytics.duckdb")
    runs = dg.AssetSelection.assets(asset_key("runs"), asset_key("reports"))
    assert execute(defs, instance, runs | dg.AssetSelection.assets(TINY)).success
    asked = dg.evaluate_automation_conditions(defs, instance, dg.AssetSelection.assets(TINY))
    assert asked.total_requested == 0

    file.change("INSERT INTO runs SELECT * FROM runs LIMIT 1")
    result = execute(defs, instance, runs | dg.AssetSelection.assets(TINY))
    assert not result.success
    assert not evaluations(result)["runs", "key_is_unique"].passed
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {
        asset_key("runs"),
        asset_key("reports"),
    }
    asked = dg.evaluate_automation_conditions(defs, instance, dg.AssetSelection.assets(TINY), cursor=asked.cursor)
    assert asked.get_num_requested(TINY) == 0

    file.change("DELETE FROM runs WHERE rowid = (SELECT max(rowid) FROM runs)")
    assert execute(defs, instance, runs).success
    asked = dg.evaluate_automation_conditions(defs, instance, dg.AssetSelection.assets(TINY), cursor=asked.cursor)
    assert asked.get_num_requested(TINY) == 1


def test_a_table_that_is_not_read_takes_only_its_own_checks_along(sandbox, reads, instance):
    sandbox.faults.append(Fault(r"/definitions", status=500))
    reads(sandbox)
    tables = ["definitions", "data_sources", "spaces"]
    result = execute(definitions(), instance, dg.AssetSelection.assets(*map(asset_key, tables), asset_key(LEDGER)))
    assert {table for table, _ in evaluations(result)} == {"data_sources", "spaces", LEDGER}


def test_a_result_tells_numbers_gravity_and_rows_that_can_not_break_the_page(file: File, instance):
    name = "a|b\n<script>`x`"
    file.change(f"UPDATE reports SET created_at = TIMESTAMPTZ '2030-01-01 00:00:00+00', name = '{name}'")
    file.change("UPDATE reports SET query_count = 99", f"DELETE FROM {LEDGER} WHERE endpoint = 'charts'")
    file.change(f"UPDATE {LEDGER} SET version = '{{}}' WHERE endpoint = 'queries'")
    wanted = [dg.AssetCheckKey(asset_key("queries"), "rows_match_modes_counter")]
    wanted += [dg.AssetCheckKey(asset_key("queries"), "key_is_unique")]
    found = evaluations(execute(definitions(), instance, dg.AssetSelection.checks(*wanted)))
    assert set(found) == {("queries", key.name) for key in wanted}

    differs = found["queries", "rows_match_modes_counter"]
    assert differs.severity is dg.AssetCheckSeverity.WARN
    assert differs.description.startswith("12 of 12 reports compared")
    assert differs.description.endswith("this API token can't see all of them.")
    assert differs.metadata["rows_by_mode"].value == 12 * 99
    table = differs.metadata["rows_shown"].value.splitlines()
    assert len(table) == 2 + 12
    assert all(line.count("|") == 7 for line in table)
    assert not {"<", "`"} & set("".join(table))

    unique = found["queries", "key_is_unique"]
    assert unique.passed
    assert unique.severity is dg.AssetCheckSeverity.ERROR
    assert unique.metadata["rows"].value > 12


def test_a_named_workspace_has_its_own_checks_on_its_own_schema(instance, tmp_path):
    acme = Workspace("acme")
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        known_rows(connection, acme.dataset, spaces=[{"token": "a"}, {"token": "a"}])
    defs = dg.Definitions(
        assets=[build_assets(acme)], asset_checks=build_table_checks(acme), resources=RESOURCES, jobs=[]
    )
    key = dg.AssetCheckKey(acme.table_key("spaces"), "key_is_unique")
    (found,) = execute(defs, instance, dg.AssetSelection.checks(key)).get_asset_check_evaluations()
    assert found.asset_key == dg.AssetKey(["acme", "mode", "spaces"])
    assert not found.passed
    assert found.description.startswith("1 key of 2 rows empty or not unique.")
