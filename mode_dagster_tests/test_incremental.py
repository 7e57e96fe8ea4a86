"""Days of a workspace's life: each sync costs what changed, and ends with the tables that Mode has.

Not here: what is gone (`test_gone`), the audit log (`test_audit_log`).
"""

from collections import Counter
from dataclasses import replace
from urllib.parse import parse_qsl

import duckdb
import pytest

from mode_dagster.extract import source
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing, text
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.personal import PersonalData
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.stored import Stored
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Fault, serve
from mode_dagster_tests.living import LIVELY, quiet_moment, requests_of


def test_an_unchanged_workspace_costs_its_listings_and_no_child_request(
    world, clock, load_first, load_from, assert_true, query
):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    asked = requests_of(world, lambda: load_from(world))
    spaces, groups = len(world.world.truth("spaces")), len(world.world.truth("groups"))
    per_space = Counter(row["space_token"] for row in world.world.rows("reports"))
    # odd collections list their datasets among the reports, too
    per_space.update(row["space_token"] for row in world.world.rows("datasets"))
    listings = sum(-(-per_space[space] // 30) + 1 for space in world.world.truth("spaces"))
    assert asked["reports"] <= listings
    assert asked["datasets"] == spaces
    assert asked["memberships"] <= groups + 1
    children = ("queries", "charts", "runs", "query_runs", "filters", "schedules", "subscriptions", "fields")
    assert not {name: asked[name] for name in children if asked[name]}
    assert asked["permissions"] == 0
    assert sum(asked.values()) <= 10 + (-(-spaces // 30) + 1) + listings + groups + spaces
    assert_true(world)


def test_tables_without_rows_are_made_once_and_not_loaded_again(world, clock, reads):
    clock.now = quiet_moment(world, clock)
    settings, pipeline = reads(world), mode_pipeline()

    def loaded() -> set[str]:
        with Sync(settings, pipeline=pipeline, clock=clock) as sync:
            packages = [package for info in load(pipeline, sync) for package in info.load_packages]
        jobs = [job.job_file_info for package in packages for job in package.jobs["completed_jobs"]]
        return {job.table_name for job in jobs if not job.table_name.startswith("_dlt")}

    assert loaded() == {*BY_NAME, LEDGER}
    with_rows = {"spaces", "reports", "datasets", "data_sources", "definitions", "memberships", "groups"}
    again = loaded()
    assert with_rows <= again
    assert not again & {"queries", "charts", "runs", "query_runs", "report_filters", "report_stats", "members"}


def test_a_column_of_a_new_version_is_added_to_tables_without_new_rows(
    world, clock, load_first, load_from, query, monkeypatch
):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    wider = [replace(endpoint, columns=(*endpoint.columns, text("brand_new", "New."))) for endpoint in ENDPOINTS]
    monkeypatch.setattr(source, "ENDPOINTS", wider)
    load_from(world)
    in_schema = "FROM duckdb_columns() WHERE schema_name = 'mode_analytics_data'"
    having = query(f"SELECT table_name {in_schema} AND column_name = 'brand_new'")
    assert {table for (table,) in having} == set(BY_NAME)


def test_days_of_life_end_with_the_tables_that_mode_has(world, clock, load_from, assert_true):
    load_from(world)
    assert_true(world)
    for hours in (1, 24 * 12):
        clock.pass_by(hours=hours)
        load_from(world)
        assert_true(world)


def test_an_edit_costs_the_children_of_that_report_and_of_no_other(world, clock, load_from, query):
    tables = ("spaces", "reports", "queries", "charts", "report_filters")
    load_from(world, *tables)
    edited = "SELECT token, edited_at FROM mode_analytics_data.reports WHERE deleted_at IS NULL"
    before = set(query(edited))
    clock.pass_by(days=4)
    requests_of(world, lambda: load_from(world, *tables))
    changed = {token for token, _ in set(query(edited)) - before}
    children = ("queries", "charts", "filters")
    touched = {r.path.split("/")[4] for r in world.requests if r.path.rsplit("/", 1)[-1] in children}
    assert 0 < len(changed) < len(before) / 2
    assert touched == changed


def test_the_hourly_job_costs_a_page_a_report_that_ran_and_a_request_a_finished_run(world, clock, load_from, query):
    tables = ("reports", "runs", "query_runs")
    clock.now = quiet_moment(world, clock)
    load_from(world, *tables)
    before = {row["token"] for row in world.world.rows("runs")}
    clock.pass_by(hours=1)
    new = [row for row in world.world.rows("runs") if row["token"] not in before]
    finished = [row for row in new if row["ended_at"] <= clock.now]
    assert finished
    asked = requests_of(world, lambda: load_from(world, *tables))
    assert asked["runs"] == len({row["report_token"] for row in new})
    assert asked["query_runs"] == len(finished)
    assert set(asked) == {"spaces", "reports", "runs", "query_runs"}


def test_runs_alone_work_from_the_reports_already_loaded_and_say_how_old_they_are(
    world, clock, load_first, load_from, query
):
    load_first(world, "spaces", "reports")
    clock.pass_by(hours=3)
    asked = requests_of(world, lambda: load_from(world, "runs"))
    assert set(asked) == {"runs"}
    clock.pass_by(minutes=1)
    sync = load_from(world, "runs")
    assert sync.tallies["runs"].note == "from the reports as they were loaded 3 h ago" or not sync.tallies["runs"].lists


def test_unfinished_runs_are_completed_later(world, clock, load_from, query):
    while not (open_runs := {r["token"] for r in world.world.rows("runs") if r["ended_at"] > clock.now}):
        clock.pass_by(minutes=7)
    load_from(world, "reports", "runs", "query_runs")
    asked = {request.path.split("/")[-2] for request in world.requests if request.path.endswith("/query_runs")}
    assert open_runs <= asked, "some never end"
    clock.pass_by(hours=2)
    load_from(world, "reports", "runs")
    states = dict(query("SELECT token, state FROM mode_analytics_data.runs"))
    finished = {r["token"] for r in world.world.rows("runs") if r["ended_at"] <= clock.now}
    assert all(states[token] in ("succeeded", "completed", "failed", "cancelled") for token in open_runs & finished)


@pytest.mark.slow
def test_a_pending_run_that_mode_forgot_does_not_cost_the_whole_history(world, clock, load_first, load_from, query):
    load_first(world, "spaces", "reports", "runs")
    runs = "SELECT report_token, max(created_at), count(*) FROM mode_analytics_data.runs GROUP BY ALL"
    ((report, newest, count),) = query(f"{runs} ORDER BY 3 DESC LIMIT 1")
    assert count > 30, "more than a page"
    query(
        "INSERT INTO mode_analytics_data.runs (token, report_token, state, created_at, _dlt_id, _dlt_load_id) "
        f"VALUES ('forgotten', '{report}', 'pending', TIMESTAMPTZ '{newest.isoformat()}' - INTERVAL 1 HOUR, 'f', '')"
    )
    pages = requests_of(world, lambda: load_from(world, "spaces", "reports", "runs"))
    asked = [request for request in world.requests if request.path.endswith(f"/{report}/runs")]
    assert pages["runs"] >= len(asked) == 1


def test_lists_without_a_version_are_read_again_once_a_day(world, clock, load_from):
    clock.now = quiet_moment(world, clock)
    load_from(world, "spaces", "space_permissions")
    clock.pass_by(hours=19)
    assert requests_of(world, lambda: load_from(world, "spaces", "space_permissions"))["permissions"] == 0
    # a schedule's next day, where the last sync had noted them some minutes after its start
    clock.pass_by(hours=4.9)
    again = requests_of(world, lambda: load_from(world, "spaces", "space_permissions"))
    assert again["permissions"] == len(world.world.truth("spaces"))


def test_reconciling_reads_everything_and_counts_what_was_missed(world, clock, load_first, load_from, query, tmp_path):
    tables = ("spaces", "reports", "datasets", "queries", "charts", "definitions")
    clock.now = quiet_moment(world, clock)
    load_first(world, *tables)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("USE mode_analytics_data")
        connection.execute("DELETE FROM charts WHERE token IN (SELECT token FROM charts LIMIT 3)")
    load_from(world, *tables)
    lacking = len(world.world.truth("charts")) - 3
    assert query("SELECT count(*) FROM mode_analytics_data.charts WHERE deleted_at IS NULL") == [(lacking,)]
    query("DELETE FROM mode_analytics_data.definitions")
    sync = load_from(world, *tables, reconcile=True)
    assert sync.tallies["charts"].missed == 3
    assert sync.tallies["definitions"].missed == 0, "it is read in every sync"
    assert query("SELECT count(*) FROM mode_analytics_data.charts WHERE deleted_at IS NULL") == [(lacking + 3,)]


def test_max_requests_bounds_a_sync_and_the_next_ones_go_on(world, clock, load_from, assert_true):
    tables = ("spaces", "reports", "queries", "charts", "runs", "query_runs")
    clock.now = quiet_moment(world, clock)
    is_stopped, syncs = True, 0
    while is_stopped:
        world.requests.clear()
        sync = load_from(world, *tables, max_requests=50)
        assert len(world.requests) <= 50 + 20
        is_stopped, syncs = any("max_requests" in tally.note for tally in sync.tallies.values()), syncs + 1
    assert 2 <= syncs < 6
    assert_true(world, *(set(BY_NAME) - set(tables)))


def test_another_workspace_is_refused_where_one_is_loaded(world, clock, load_from, query, tmp_path):
    load_from(world, "spaces")
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("UPDATE mode_analytics_data.sync_ledger SET workspace = 'acme'")
    with pytest.raises(ModeConfigError, match="holds the workspace acme, and the settings name"):
        load_from(world, "spaces")


@pytest.mark.slow
def test_discovery_picks_the_reports_whose_runs_are_fetched(world, clock, load_from, query):
    tables = ("reports", "runs")
    clock.now = quiet_moment(world, clock)
    load_from(world, *tables, listing=Listing.DISCOVERY)
    before = {row["token"] for row in world.world.rows("runs")}
    clock.pass_by(hours=1)
    ran = {row["report_token"] for row in world.world.rows("runs") if row["token"] not in before}
    asked = requests_of(world, lambda: load_from(world, *tables, listing=Listing.DISCOVERY))
    assert asked["runs"] == len(ran)


@pytest.mark.slow
def test_another_listing_for_a_while_leaves_nothing_behind(world, clock, load_first, load_from, assert_true, query):
    tables = ("spaces", "reports", "datasets", "queries", "charts")
    clock.now = quiet_moment(world, clock)
    load_first(world, *tables)
    datasets = world.world.truth("datasets")
    of_datasets = (
        "FROM mode_analytics_data.queries WHERE report_token IN (SELECT token FROM mode_analytics_data.datasets)"
    )
    columns = "SELECT count(created_at), count(data_source_id) FROM mode_analytics_data.queries"
    before = query(columns)
    assert query(f"SELECT count(*) > 0 {of_datasets}") == [(True,)]

    def without_datasets(body: dict) -> dict:
        (name,) = body.keys() & {"queries", "charts"}
        return {**body, name: [row for row in body[name] if row.get("report_token") not in datasets]}

    world.faults.append(Fault(r"/batch/.*/(queries|charts)", kind="edit", edit=without_datasets))
    load_from(world, *tables, listing=Listing.DISCOVERY)
    assert query(f"SELECT count(*) {of_datasets} AND deleted_at IS NOT NULL") == [(0,)]
    assert query(columns) != before
    load_from(world, *tables)
    assert_true(world, *(set(BY_NAME) - set(tables)))
    assert query(columns) == before
    again = load_from(world, *tables)
    assert again.tallies["queries"].lists == again.tallies["charts"].lists == 0


def test_the_ledger_tells_of_every_list_what_was_read_and_when(world, clock, load_first, query):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    lists = dict(query("SELECT endpoint, count(*) FROM mode_analytics_data.sync_ledger GROUP BY 1"))
    assert lists["spaces"] == lists["groups"] == 1
    assert lists["reports"] == len(world.world.truth("spaces"))
    assert lists["queries"] == len(world.world.truth("reports")) + len(world.world.truth("datasets"))
    differing = """
        SELECT count(*) FROM mode_analytics_data.sync_ledger l
        WHERE endpoint = 'queries' AND outcome = 'complete' AND rows IS DISTINCT FROM
            (SELECT count(*) FROM mode_analytics_data.queries q WHERE q.report_token = l.parent)
    """
    assert query(differing) == [(0,)]
    assert query("SELECT DISTINCT read_at FROM mode_analytics_data.sync_ledger") == [(clock.now,)]


def test_runs_that_were_refused_are_read_whole_once_they_are_allowed(world, clock, load_from, query, assert_true):
    tables = ("spaces", "reports", "runs", "query_runs")
    report = world.world.rows("runs")[0]["report_token"]
    world.faults.append(Fault(rf"/reports/{report}/runs", status=403))
    load_from(world, *tables)
    count = f"SELECT count(*) FROM mode_analytics_data.runs WHERE report_token = '{report}'"
    assert query(count) == [(0,)]
    world.faults.clear()
    clock.pass_by(hours=25)
    load_from(world, *tables)
    assert query(count) == [(len([run for run in world.world.rows("runs") if run["report_token"] == report]),)]
    assert_true(world, *(set(BY_NAME) - set(tables)))


@pytest.mark.parametrize("privacy", [PersonalData.KEEP, PersonalData.HASH])
def test_people_met_by_a_sync_of_other_tables_are_looked_up_by_the_next_one(world, clock, load_from, query, privacy):
    clock.now = quiet_moment(world, clock)
    told = {"personal_data": privacy, "personal_data_key": "0123456789abcdef"}
    load_from(world, "spaces", "reports", "runs", **told)
    asked = requests_of(world, lambda: load_from(world, "users", **told))
    met = {name for (name,) in query("SELECT executed_by_username FROM mode_analytics_data.runs") if name}
    looked_up = {
        name for (name,) in query("SELECT parent FROM mode_analytics_data.sync_ledger WHERE endpoint = 'users'")
    }
    if privacy is PersonalData.KEEP:
        assert met <= looked_up
        again = requests_of(world, lambda: load_from(world, "users", **told))
        assert not met & again.keys()
    else:
        assert not met & asked.keys(), "Mode knows nothing of a hash"


def test_new_runs_are_found_where_a_server_has_the_oldest_first(world, clock, load_from, query):
    def runs() -> list[dict]:
        return sorted(world.world.rows("runs"), key=lambda run: run["created_at"])

    clock.now = quiet_moment(world, clock)
    ((report, count),) = Counter(run["report_token"] for run in runs()).most_common(1)
    assert count > 30

    def oldest_first(_: dict) -> dict:
        asked = next(request for request in reversed(world.requests) if report in request.path)
        first = 30 * int(dict(parse_qsl(asked.query)).get("page", 1)) - 30
        page = [run for run in runs() if run["report_token"] == report][first : first + 30]
        kept = ("token", "created_at")
        return {"runs": [{"state": "failed", **{name: str(run[name]) for name in kept}} for run in page]}

    world.faults.append(Fault(rf"/reports/{report}/runs", kind="edit", edit=oldest_first))
    for _ in range(2):
        load_from(world, "spaces", "reports", "runs")
        stored = query(f"SELECT token FROM mode_analytics_data.runs WHERE report_token = '{report}'")
        assert len(stored) == sum(run["report_token"] == report for run in runs())
        clock.pass_by(days=1)


@pytest.mark.slow
def test_checkpoints_cut_a_long_load_and_lose_nothing(clock, load_from, assert_true, query):
    tables = ("spaces", "reports", "queries", "charts")
    with serve(replace(LIVELY, reports=3, spaces=2, clock=clock)) as world:
        load_from(world, *tables, checkpoint_seconds=0)
        ((loads,),) = query("SELECT count(*) FROM mode_analytics_data._dlt_loads")
        assert loads > 5
        assert_true(world, *(set(BY_NAME) - set(tables)))


def test_max_requests_that_the_listings_use_up_is_named(world, load_from):
    with pytest.raises(ModeConfigError, match=r"they use up max_requests = 6, and \d+ requests are due"):
        load_from(world, "spaces", "reports", "queries", max_requests=6)


def test_a_token_may_have_braces(world, load_from):
    load_from(world, "spaces")
    assert Stored(mode_pipeline()).entries(BY_NAME["spaces"], ["{report}"]) == {}


@pytest.mark.slow
def test_query_runs_that_were_refused_once_are_asked_for_again(world, clock, load_from, query):
    clock.now = quiet_moment(world, clock)
    tables = ("spaces", "reports", "runs", "query_runs")
    run = world.world.rows("query_runs")[0]["run_token"]
    world.faults.append(Fault(rf"/runs/{run}/query_runs", status=404))
    load_from(world, *tables)
    count = f"SELECT count(*) FROM mode_analytics_data.query_runs WHERE run_token = '{run}'"
    assert query(count) == [(0,)]
    world.faults.clear()
    clock.pass_by(hours=25)
    load_from(world, "query_runs")
    assert query(count)[0][0] > 0


@pytest.mark.slow
def test_runs_that_are_stored_without_their_reports_are_looked_into(world, load_from):
    load_from(world, "runs")
    sync = load_from(world, "query_runs")
    assert sync.tallies["query_runs"].rows > 0


def test_a_table_that_somebody_dropped_is_loaded_again_whatever_the_ledger_says(sandbox, load_from, query, keys):
    load_from(sandbox)
    dropped = ("definitions", "queries")
    for table in dropped:
        query(f"DROP TABLE mode_analytics_data.{table}")
    load_from(sandbox)
    assert {table: set(keys(table)) for table in dropped} == {table: sandbox.world.truth(table) for table in dropped}
