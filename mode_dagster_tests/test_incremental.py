"""Days of a workspace's life: each sync costs what changed, and ends with the tables that Mode has."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import duckdb
import pytest
import requests

from mode_dagster.extract import source
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing, text
from mode_dagster.extract.errors import ModeAuthError, ModeConfigError, ModeError, ModeListingError, ModeRequestError
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Fault, Sandbox, SandboxOptions, serve
from mode_dagster_tests.living import LIVELY, START, Clock, until_a_report_is_gone


@pytest.fixture
def many_reports(clock: Clock) -> Iterator[Sandbox]:
    """Enough of them for a listing to shrink."""
    with serve(replace(LIVELY, reports=26, clock=clock)) as served:
        yield served


def requests_of(world: Sandbox, action: Callable[[], object]) -> Counter[str]:
    """How often each kind of path was asked for during the action; fails where a URL was asked for twice."""
    world.requests.clear()
    action()
    asked = Counter((request.path, request.query) for request in world.requests)
    assert not [url for url, times in asked.items() if times > 1]
    return Counter(request.path.rsplit("/", 1)[-1] for request in world.requests)


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


def quiet_moment(world: Sandbox, clock: Clock) -> datetime:
    """A moment at which no run is under way."""
    for minute in range(24 * 60):
        clock.now = START + timedelta(minutes=minute)
        if all(run["ended_at"] <= clock.now for run in world.world.rows("runs")):
            return clock.now
    raise AssertionError("something always runs")


def test_days_of_life_end_with_the_tables_that_mode_has(world, clock, load_from, assert_true):
    load_from(world)
    assert_true(world)
    for hours in (1, 30, 24 * 12):
        clock.pass_by(hours=hours)
        load_from(world)
        assert_true(world)


def test_deleted_reports_are_marked_with_all_below_them_and_their_history_stays(
    world, clock, load_first, load_from, query
):
    load_first(world)
    gone = until_a_report_is_gone(world, clock)
    load_from(world)
    assert query(f"SELECT deleted_at FROM mode_analytics_data.reports WHERE token = '{gone}'") == [(clock.now,)]
    for table in ("queries", "charts", "report_filters", "report_schedules"):
        sql = f"SELECT count(*) FROM mode_analytics_data.{table} WHERE report_token = '{gone}' AND deleted_at IS NULL"
        assert query(sql) == [(0,)], table
    assert query(f"SELECT count(*) > 0 FROM mode_analytics_data.runs WHERE report_token = '{gone}'") == [(True,)]


def test_what_returns_is_not_deleted_any_more(world, clock, load_first, load_from, assert_true):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    gone = next(row["token"] for row in world.world.rows("reports") if queries_of(world, row["token"]))
    sandbox_without(world, gone)
    load_from(world)
    world.faults.clear()
    load_from(world)
    assert_true(world)


def queries_of(world: Sandbox, report: str) -> list[dict]:
    return [row for row in world.world.rows("queries") if row["report_token"] == report]


def sandbox_without(world: Sandbox, report: str) -> None:
    """Answers the report's collection without it."""
    space = next(row["space_token"] for row in world.world.rows("reports") if row["token"] == report)
    address = f"{world.base_url}/{world.workspace}/spaces/{space}/reports"
    for page in (1, 2):
        body = requests.get(address, {"filter": "all", "page": page}, auth=(world.username, world.password), timeout=9)
        rows = body.json().get("_embedded", {}).get("reports", [])
        kept = {"_embedded": {"reports": [row for row in rows if row["token"] != report]}}
        where = rf"/spaces/{space}/reports\?(?!.*page=2)" if page == 1 else rf"/spaces/{space}/reports\?.*page=2"
        world.faults.append(Fault(where, kind="body", body=json.dumps(kept)))


@pytest.mark.parametrize(
    ("table", "path", "selector"),
    [
        ("data_sources", "data_sources", "data_sources"),
        ("definitions", "definitions", "definitions"),
        ("memberships", "memberships", "memberships"),
        ("spaces", "spaces", "spaces"),
    ],
)
def test_whatever_leaves_its_listing_is_marked_until_it_returns(world, load_from, query, table, path, selector):
    load_from(world, table)
    params = {"filter": "all", "per_page": 30}
    whole = requests.get(
        f"{world.base_url}/{world.workspace}/{path}", params, auth=(world.username, world.password), timeout=9
    ).json()
    first, *others = whole["_embedded"][selector]
    whole["_embedded"][selector] = others
    world.faults.append(Fault(rf"/{path}(\?|$)", kind="body", body=json.dumps(whole)))
    key = BY_NAME[table].key[0]
    gone = f"SELECT {key} FROM mode_analytics_data.{table} WHERE deleted_at IS NOT NULL"
    load_from(world, table)
    assert query(gone) == [(first[key],)]
    world.faults.clear()
    load_from(world, table)
    assert query(gone) == []


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
    load_from(world)
    clock.pass_by(hours=2)
    load_from(world)
    states = dict(query("SELECT token, state FROM mode_analytics_data.runs"))
    finished = {r["token"] for r in world.world.rows("runs") if r["ended_at"] <= clock.now}
    assert all(states[token] in ("succeeded", "completed", "failed", "cancelled") for token in open_runs & finished)


def test_lists_without_a_version_are_read_again_once_a_day(world, clock, load_from):
    clock.now = quiet_moment(world, clock)
    load_from(world, "spaces", "space_permissions")
    clock.pass_by(hours=23)
    assert requests_of(world, lambda: load_from(world, "spaces", "space_permissions"))["permissions"] == 0
    clock.pass_by(hours=2)
    again = requests_of(world, lambda: load_from(world, "spaces", "space_permissions"))
    assert again["permissions"] == len(world.world.truth("spaces"))


def test_reconciling_reads_everything_and_counts_what_was_missed(world, clock, load_first, load_from, query, tmp_path):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("USE mode_analytics_data")
        connection.execute("DELETE FROM charts WHERE token IN (SELECT token FROM charts LIMIT 3)")
    load_from(world)
    lacking = len(world.world.truth("charts")) - 3
    assert query("SELECT count(*) FROM mode_analytics_data.charts WHERE deleted_at IS NULL") == [(lacking,)]
    sync = load_from(world, reconcile=True)
    assert sync.tallies["charts"].missed == 3
    assert query("SELECT count(*) FROM mode_analytics_data.charts WHERE deleted_at IS NULL") == [(lacking + 3,)]


def test_max_requests_bounds_a_sync_and_the_next_ones_go_on(world, clock, load_from, assert_true):
    clock.now = quiet_moment(world, clock)
    for _ in range(12):
        world.requests.clear()
        sync = load_from(world, max_requests=200)
        assert len(world.requests) <= 200 + 20
        if not any("max_requests" in tally.note for tally in sync.tallies.values()):
            break
    assert_true(world)


def test_a_listing_that_fails_marks_nothing(world, clock, load_first, load_from, query):
    load_first(world, "spaces", "reports")
    world.faults.append(Fault(r"/spaces/[0-9a-f]+/reports", status=500))
    sync = load_from(world, "spaces", "reports", isolate=True)
    assert "reports" in sync.failures
    assert query("SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL") == [(0,)]


def test_a_listing_that_shrinks_marks_nothing_and_fails_by_name_unless_accepted(many_reports, load_from, query):
    world = many_reports
    load_from(world, "spaces", "reports")
    world.faults.append(Fault(r"/spaces/[0-9a-f]+/reports", kind="body", body='{"_embedded": {"reports": []}}'))
    with pytest.raises(ModeListingError, match=r"Mode lists 0 reports, but 26 are stored.*accept_shrunk"):
        load_from(world, "spaces", "reports")
    gone = "SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL"
    assert query(gone) == [(0,)]
    load_from(world, "spaces", "reports", accept_shrunk=["reports"])
    assert query(gone) == [(26,)]


def test_a_collection_that_is_forbidden_now_fails_by_name_and_keeps_its_reports(
    world, clock, load_first, load_from, query
):
    load_first(world, "spaces", "reports")
    space = world.world.rows("reports")[0]["space_token"]
    world.faults.append(Fault(rf"/spaces/{space}/reports", status=403))
    sync = load_from(world, "spaces", "reports", isolate=True)
    assert isinstance(sync.failures["reports"], ModeListingError)
    assert space in str(sync.failures["reports"])
    assert query("SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL") == [(0,)]


def test_another_workspace_is_refused_where_one_is_loaded(world, clock, load_from, query, tmp_path):
    load_from(world, "spaces")
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("UPDATE mode_analytics_data.sync_ledger SET workspace = 'acme'")
    with pytest.raises(ModeConfigError, match="holds the workspace acme, and the settings name"):
        load_from(world, "spaces")


def test_discovery_picks_the_reports_whose_runs_are_fetched(world, clock, load_from, query):
    tables = ("reports", "runs")
    clock.now = quiet_moment(world, clock)
    load_from(world, *tables, listing=Listing.DISCOVERY)
    before = {row["token"] for row in world.world.rows("runs")}
    clock.pass_by(hours=1)
    ran = {row["report_token"] for row in world.world.rows("runs") if row["token"] not in before}
    asked = requests_of(world, lambda: load_from(world, *tables, listing=Listing.DISCOVERY))
    assert asked["runs"] == len(ran)


def test_another_listing_for_a_while_leaves_nothing_behind(world, clock, load_first, load_from, assert_true, query):
    clock.now = quiet_moment(world, clock)
    load_first(world)
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
    load_from(world, listing=Listing.DISCOVERY)
    assert query(f"SELECT count(*) {of_datasets} AND deleted_at IS NOT NULL") == [(0,)]
    assert query(columns) != before
    load_from(world)
    assert_true(world)
    assert query(columns) == before
    again = load_from(world)
    assert again.tallies["queries"].lists == again.tallies["charts"].lists == 0


def test_what_hangs_on_a_dataset_goes_with_it_in_the_same_sync(world, clock, load_first, load_from, query):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    owners = {row["report_token"] for row in world.world.rows("queries")}
    gone = min(owners & world.world.truth("datasets"))

    def without_it(body: dict) -> dict:
        rows = body.get("_embedded", {}).get("reports", [])
        return {**body, "_embedded": {"reports": [row for row in rows if row["token"] != gone]}}

    world.faults.append(Fault(r"/spaces/[0-9a-f]+/(datasets|reports)", kind="edit", edit=without_it))
    load_from(world, accept_shrunk=["datasets"])
    for table in ("datasets", "queries", "charts"):
        owner = "token" if table == "datasets" else "report_token"
        left = f"SELECT count(*) FROM mode_analytics_data.{table} WHERE {owner} = '{gone}' AND deleted_at IS NULL"
        assert query(left) == [(0,)], table


def test_the_ledger_tells_of_every_list_what_was_read_and_when(world, clock, load_first, query):
    clock.now = quiet_moment(world, clock)
    load_first(world)
    lists = dict(query("SELECT endpoint, count(*) FROM mode_analytics_data.sync_ledger GROUP BY 1"))
    assert lists["spaces"] == lists["groups"] == 1
    assert lists["reports"] == len(world.world.truth("spaces"))
    assert lists["queries"] == len(world.world.truth("reports")) + len(world.world.truth("datasets"))
    differing = """
        SELECT count(*) FROM mode_analytics_data.sync_ledger l
        WHERE endpoint = 'queries' AND outcome = 'complete' AND rows <>
            (SELECT count(*) FROM mode_analytics_data.queries q WHERE q.report_token = l.parent)
    """
    assert query(differing) == [(0,)]
    assert query("SELECT DISTINCT read_at FROM mode_analytics_data.sync_ledger") == [(clock.now,)]


def test_runs_that_were_refused_are_read_whole_once_they_are_allowed(world, clock, load_from, query, assert_true):
    report = world.world.rows("runs")[0]["report_token"]
    world.faults.append(Fault(rf"/reports/{report}/runs", status=403))
    load_from(world)
    count = f"SELECT count(*) FROM mode_analytics_data.runs WHERE report_token = '{report}'"
    assert query(count) == [(0,)]
    world.faults.clear()
    clock.pass_by(hours=25)
    load_from(world)
    assert query(count) == [(len([run for run in world.world.rows("runs") if run["report_token"] == report]),)]
    assert_true(world)


def test_checkpoints_cut_a_long_load_and_lose_nothing(clock, load_from, assert_true, query):
    tables = ("spaces", "reports", "queries", "charts")
    with serve(replace(LIVELY, reports=3, spaces=2, clock=clock)) as world:
        load_from(world, *tables, checkpoint_seconds=0)
        ((loads,),) = query("SELECT count(*) FROM mode_analytics_data._dlt_loads")
        assert loads > 5
        assert_true(world, *(set(BY_NAME) - set(tables)))


def test_an_audit_log_that_breaks_off_is_kept_as_far_as_it_came_and_asked_for_again(
    clock, load_from, assert_true, query
):
    count = "SELECT count(*) FROM mode_analytics_data.audit_logs"
    with serve(replace(LIVELY, reports=3, clock=clock, epoch=START - timedelta(days=40))) as world:
        events = len(world.world.truth("audit_logs"))
        assert events > 100, "two pages"
        world.faults.append(Fault(r"/audit_logs\?.*next_token=", status=418))
        with pytest.raises(ModeRequestError, match="list audit logs"):
            load_from(world)
        world.faults.clear()
        clock.pass_by(hours=1)
        load_from(world)
        assert_true(world)
        assert query(count)[0][0] >= events
        clock.pass_by(hours=1)
        asked = requests_of(world, lambda: load_from(world))
        assert asked["audit_logs"] == 1
        assert_true(world)


AUDIT = SandboxOptions(reports=3, spaces=3, rate_limit_requests=1_000_000, epoch=START - timedelta(days=40))


@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_audit_log_that_is_refused_on_a_later_page_is_asked_for_again(clock, load_from, assert_true, status):
    with serve(replace(AUDIT, clock=clock)) as world:
        world.faults.append(Fault(r"/audit_logs\?.*next_token=", status=status, times=1))
        sync = None
        with suppress(ModeAuthError):  # nobody can tell a revoked key from an expired cursor
            sync = load_from(world, "audit_logs", isolate=True)
        assert sync is None or "list audit logs" in str(sync.failures["audit_logs"])
        clock.pass_by(hours=1)
        load_from(world, "audit_logs")
        assert_true(world, *(set(BY_NAME) - {"audit_logs"}))


def test_a_key_that_could_not_read_the_audit_log_for_a_while_loses_no_event(clock, load_from, assert_true):
    with serve(replace(AUDIT, clock=clock)) as world:
        load_from(world, "audit_logs")
        world.faults.append(Fault("/audit_logs", status=403, times=1))
        clock.pass_by(hours=9)
        assert load_from(world, "audit_logs").tallies["audit_logs"].skipped == {403: 1}
        clock.pass_by(hours=9)
        asked = requests_of(world, lambda: load_from(world, "audit_logs"))
        assert asked["audit_logs"] == 1
        assert_true(world, *(set(BY_NAME) - {"audit_logs"}))


def test_more_days_of_history_bring_the_older_audit_events(clock, load_from, assert_true, query):
    with serve(replace(AUDIT, clock=clock)) as world:
        load_from(world, "audit_logs", history_days=3)
        ((some,),) = query("SELECT count(*) FROM mode_analytics_data.audit_logs")
        assert some < len(world.world.truth("audit_logs"))
        load_from(world, "audit_logs", history_days=0)
        assert_true(world, *(set(BY_NAME) - {"audit_logs"}))
        assert requests_of(world, lambda: load_from(world, "audit_logs"))["audit_logs"] == 1


def audit_pages(world: Sandbox, events: list[dict], size: int = 100) -> Callable[[dict], dict]:
    """Answers with these events, in their order, as far as the time asked for has them."""

    def answer(_: dict) -> dict:
        asked = dict(parse_qsl(world.requests[-1].query))
        start, end = (datetime.fromisoformat(asked[f"{name}_timestamp"]) for name in ("start", "end"))
        there = [
            {**event, "timestamp": event.get("said", event["timestamp"].isoformat())}
            for event in events
            if start <= event["timestamp"] <= end
        ]
        first = int(asked.get("next_token", 0))
        more = str(first + size) if first + size < len(there) else None
        return {"audit_logs": there[first : first + size], "pagination": {"next_token": more}}

    return answer


@pytest.mark.parametrize(("newest_first", "most"), [(True, 1), (False, 1)])
def test_max_requests_bounds_the_audit_log_and_the_next_syncs_go_on(clock, load_from, assert_true, newest_first, most):
    with serve(replace(AUDIT, clock=clock)) as world:
        syncs, note = 0, "never read"
        while note:
            rows = sorted(world.world.rows("audit_logs"), key=lambda row: row["timestamp"], reverse=newest_first)
            world.faults[:] = [Fault("/audit_logs", kind="edit", edit=audit_pages(world, rows))]
            world.requests.clear()
            note = load_from(world, "audit_logs", max_requests=most).tallies["audit_logs"].note
            assert len(world.requests) <= most
            syncs += 1
            clock.pass_by(hours=7)
        assert 2 <= syncs < 6
        clock.pass_by(hours=-7)
        assert_true(world, *(set(BY_NAME) - {"audit_logs"}))


@pytest.mark.parametrize("order", ["id", "none said"])
def test_an_audit_log_that_would_begin_anew_at_max_requests_says_so(clock, load_from, order):
    with serve(replace(AUDIT, clock=clock)) as world:
        rows = sorted(world.world.rows("audit_logs"), key=lambda row: row["id" if order == "id" else "timestamp"])
        rows = rows if order == "id" else [{**row, "said": None} for row in rows]
        world.faults.append(Fault("/audit_logs", kind="edit", edit=audit_pages(world, rows)))
        with pytest.raises(ModeError, match="max_requests = 1 was reached, and the events come in no order of time"):
            load_from(world, "audit_logs", max_requests=1)


def test_max_requests_that_the_listings_use_up_is_named(world, load_from):
    with pytest.raises(ModeConfigError, match=r"they use up max_requests = 6, and \d+ requests are due"):
        load_from(world, "spaces", "reports", "queries", max_requests=6)


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
    load_from(world, *tables)
    assert query(count)[0][0] > 0


@pytest.mark.parametrize("status", [404, 500])
def test_a_report_that_moved_into_a_list_that_could_not_be_read_is_not_gone(
    world, load_first, load_from, query, status
):
    load_first(world, "spaces", "reports")
    moved = min(world.world.truth("reports"))
    ((here,),) = query(f"SELECT space_token FROM mode_analytics_data.reports WHERE token = '{moved}'")
    there = next(row["space_token"] for row in world.world.rows("reports") if row["space_token"] != here)

    def without_it(body: dict) -> dict:
        rows = body.get("_embedded", {}).get("reports", [])
        return {**body, "_embedded": {"reports": [row for row in rows if row["token"] != moved]}}

    gone = "SELECT count(deleted_at) FROM mode_analytics_data.reports"
    world.faults += [
        Fault(rf"/spaces/{here}/reports", kind="edit", edit=without_it),
        Fault(rf"/spaces/{there}/reports", status=status),
    ]
    load_from(world, "spaces", "reports", isolate=True)
    assert query(gone) == [(0,)]
    del world.faults[1]
    load_from(world, "spaces", "reports")
    assert query(gone) == [(1,)]


def test_a_report_that_became_a_dataset_keeps_its_queries(world, load_first, load_from, query):
    load_first(world, "spaces", "reports", "datasets", "queries")
    turned = world.world.rows("queries")[0]["report_token"]
    assert turned in world.world.truth("reports")

    def as_dataset(body: dict) -> dict:
        rows = body.get("_embedded", {}).get("reports", [])
        named = [{**row, "type": "DatasetReport"} if row["token"] == turned else row for row in rows]
        return {**body, "_embedded": {"reports": named}}

    ((space,),) = query(f"SELECT space_token FROM mode_analytics_data.reports WHERE token = '{turned}'")
    listed = requests.get(
        f"{world.base_url}/{world.workspace}/spaces/{space}/reports", auth=(world.username, world.password), timeout=9
    ).json()
    world.faults += [
        Fault(rf"/spaces/{space}/reports", kind="edit", edit=as_dataset),
        Fault(rf"/spaces/{space}/datasets", kind="body", body=json.dumps(as_dataset(listed))),
    ]
    left = f"SELECT count(deleted_at), count(*) > 0 FROM mode_analytics_data.queries WHERE report_token = '{turned}'"
    load_from(world, "spaces", "reports", "datasets", "queries")
    assert query(f"SELECT deleted_at IS NULL FROM mode_analytics_data.datasets WHERE token = '{turned}'") == [(True,)]
    assert query(f"SELECT deleted_at IS NULL FROM mode_analytics_data.reports WHERE token = '{turned}'") == [(False,)]
    assert query(left) == [(0, True)]


@pytest.mark.parametrize(
    "listing",
    [
        Listing.COLLECTIONS,
        *(pytest.param(other, marks=pytest.mark.slow) for other in Listing if other != "collections"),
    ],
)
def test_a_long_listing_comes_in_several_loads_and_what_is_gone_is_marked_all_the_same(
    clock, load_from, assert_true, query, monkeypatch, listing
):
    monkeypatch.setattr("mode_dagster.extract.sync.MOST_ROWS", 10)
    deleted = "SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL"
    loads = "SELECT count(*) FROM mode_analytics_data._dlt_loads"
    with serve(replace(LIVELY, reports=26, clock=clock, flat=listing is Listing.WORKSPACE)) as world:
        unread = set(BY_NAME) - {"spaces", "reports"}
        load_from(world, "spaces", "reports", listing=listing)
        assert query(loads)[0][0] > 1
        assert_true(world, *unread)
        until_a_report_is_gone(world, clock)
        load_from(world, "spaces", "reports", listing=listing)
        assert query(deleted)[0][0] > 0
        assert_true(world, *unread)


def test_a_list_of_several_pages_that_is_whole_is_not_read_again(clock, load_from):
    with serve(replace(LIVELY, reports=100, spaces=2, clock=clock)) as world:
        load_from(world, "spaces", "reports")
        asked = requests_of(world, lambda: load_from(world, "spaces", "reports"))
        assert asked["reports"] > len(world.world.truth("spaces"))
