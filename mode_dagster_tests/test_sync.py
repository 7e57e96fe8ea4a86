"""One sync: every row once, no URL twice, failures kept where they belong."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.extract.errors import ModeAuthError, ModeConfigError, ModeUnavailable
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.extract.table import AHEAD
from mode_dagster.extract.tally import FAILED_LISTS
from mode_dagster.sandbox import Fault, SandboxOptions, serve
from mode_dagster_tests.conftest import NOON, SMALL

ALL = frozenset(BY_NAME)


def read(sync: Sync, *names: str) -> dict[str, list[dict]]:
    """What each table's reader brings, the readers taking turns from the last, as dlt lets them."""
    selected = frozenset(names) or ALL
    readers = {name: sync.pages(name, selected) for name in reversed(BY_NAME) if name in selected}
    rows: dict[str, list[dict]] = {name: [] for name in readers}
    while readers:
        for name, reader in list(readers.items()):
            try:
                rows[name] += next(reader) or []
            except StopIteration:
                del readers[name]
    return rows


def keys_of(name: str, rows: list[dict]) -> list:
    key = BY_NAME[name].key
    return [row[key[0]] if len(key) == 1 else tuple(row[part] for part in key) for row in rows]


def test_a_full_sync_brings_every_row_once_and_asks_nothing_twice(sandbox, reads):
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync)
    for endpoint in ENDPOINTS:
        if endpoint.rest is None:
            continue
        found = keys_of(endpoint.name, rows[endpoint.name])
        assert len(found) == len(set(found)), endpoint.name
        assert set(found) == sandbox.world.truth(endpoint.name), endpoint.name
        assert found, f"the sandbox has no {endpoint.name}"
    asked = Counter((request.path, request.query) for request in sandbox.requests)
    assert not [url for url, times in asked.items() if times > 1]
    assert all(request.status in (200, 400, 404) for request in sandbox.requests)


@pytest.mark.parametrize("name", ["reports", "queries", "charts", "report_stats", "members"])
def test_discovery_brings_the_same_reports_queries_and_charts(sandbox, reads, name):
    with Sync(reads(sandbox, Listing.DISCOVERY), clock=lambda: NOON) as sync:
        rows = read(sync, name)
    assert sorted(keys_of(name, rows[name])) == sorted(sandbox.world.truth(name))


def test_the_flat_listing_brings_the_same_tables(flat_sandbox, reads):
    with Sync(reads(flat_sandbox, Listing.WORKSPACE), clock=lambda: NOON) as sync:
        rows = read(sync)
    for name in ("reports", "queries", "charts", "runs", "query_runs", "data_sources", "report_filters"):
        assert sorted(keys_of(name, rows[name])) == sorted(flat_sandbox.world.truth(name)), name
    reports = flat_sandbox.world.truth("reports") | flat_sandbox.world.truth("datasets")
    assert {row["report_token"] for name in ("queries", "charts") for row in rows[name]} <= reports
    assert all(row["query_token"] for row in rows["charts"])


def test_a_child_alone_reads_its_parents_but_nothing_beside(sandbox, reads):
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync, "charts")
    assert set(keys_of("charts", rows["charts"])) == sandbox.world.truth("charts")
    assert {name for name, tally in sync.tallies.items() if tally.requests} == {
        "spaces",
        "reports",
        "datasets",
        "queries",
        "charts",
    }


@pytest.mark.parametrize("name", ["queries", "charts", "users"])
def test_a_table_far_above_keeps_its_rows_where_the_ones_between_are_not_wanted(sandbox, reads, name):
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync, "spaces", name)
    assert set(keys_of("spaces", rows["spaces"])) == sandbox.world.truth("spaces")
    assert rows[name]


def test_counters_that_say_zero_save_the_request_and_absent_ones_do_not(reads):
    options = replace(SMALL, reports=40, days=3)
    with serve(options) as sandbox, Sync(reads(sandbox), clock=lambda: NOON) as sync:
        reports = read(sync, "reports", "report_schedules")["reports"]
    asked = {r.path for r in sandbox.requests if r.path.endswith("/schedules")}
    known_empty = [report for report in reports if report.get("schedules_count") == 0]
    unknown = [report for report in reports if "schedules_count" not in report]
    assert known_empty
    assert unknown
    assert len(asked) == len(reports) - len(known_empty)
    assert sync.tallies["report_schedules"].empty == len(known_empty)


def test_mode_s_own_counters_agree_with_the_rows(sandbox, reads):
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        read(sync)
    for name in ("queries", "charts", "runs", "report_schedules", "groups", "spaces", "group_memberships"):
        tally = sync.tallies[name]
        assert tally.counted is not None
        assert tally.counted == tally.counted_rows, name


@pytest.mark.parametrize("after", [{"kind": "body", "body": "{}"}, {"status": 404}], ids=["nothing", "404"])
def test_another_table_s_rows_count_where_mode_counts_them_and_nowhere_else(sandbox, reads, after):
    space = sorted(sandbox.world.truth("spaces"))[0]
    rows = [{"token": f"r{number}", "type": "Report" if number < 37 else "DatasetReport"} for number in range(40)]
    list_of_space = rf"/spaces/{space}/reports\?"
    said = {"per_page": 30, "total_pages": 2, "total_count": 40}
    for which, page in {"(?!.*page=)": rows[:30], ".*page=2": rows[30:]}.items():
        body = json.dumps({"_embedded": {"reports": page}, "pagination": said})
        sandbox.faults.append(Fault(list_of_space + which, kind="body", body=body))
    sandbox.faults.append(Fault(list_of_space, **after))
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        reports = read(sync, "reports")["reports"]
    tally = sync.tallies["reports"]
    assert {f"r{number}" for number in range(37)} <= set(keys_of("reports", reports))
    assert tally.counted == tally.counted_rows == 37
    assert len([request for request in sandbox.requests if request.path.endswith(f"/spaces/{space}/reports")]) == 3


def test_windows_of_days_bound_runs_and_query_runs(sandbox, reads):
    settings = replace(reads(sandbox), history_days=10, query_run_days=5)
    with Sync(settings, clock=lambda: NOON) as sync:
        rows = read(sync, "runs", "query_runs")

    runs = {row["token"]: row["created_at"] for row in sandbox.world.rows("runs")}
    loaded = {token for token, at in runs.items() if at >= NOON - timedelta(days=10)}
    recent = {token for token, at in runs.items() if at >= NOON - timedelta(days=5)}
    assert set(keys_of("runs", rows["runs"])) == loaded
    assert {row["run_token"] for row in rows["query_runs"]} == recent


def test_members_keys_see_less_but_lose_nothing_silently(reads):
    with serve(replace(SMALL, admin=False)) as sandbox, Sync(reads(sandbox), isolate=True, clock=lambda: NOON) as sync:
        rows = read(sync)
    assert sync.failures == {}
    assert set(keys_of("memberships", rows["memberships"])) == sandbox.world.truth("memberships")
    assert rows["groups"] == rows["audit_logs"] == []
    assert sync.tallies["groups"].skipped == {403: 1}
    assert sync.tallies["audit_logs"].skipped == {401: 1}


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("size", [20, 30])
@pytest.mark.parametrize("path", ["", "/lite"], ids=["full", "short"])
def test_members_on_several_pages_are_all_read(sandbox, reads, path, size, is_counted):
    members = [{"member_token": f"m{number}", "member_username": f"u{number}"} for number in range(70)]
    total = -(-len(members) // size)
    for page in range(1, total + 2):
        body = {"_embedded": {"memberships": members[(page - 1) * size : page * size]}}
        if is_counted:
            body["pagination"] = {"total_pages": total, "total_count": len(members)}
        asked = rf"\?page={page}$" if page > 1 else "$"
        sandbox.faults.append(Fault(f"/memberships{path}{asked}", kind="body", body=json.dumps(body)))
    if path:
        sandbox.faults.append(Fault("/memberships$", status=404))
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync, "memberships")
    assert sorted(keys_of("memberships", rows["memberships"])) == sorted(row["member_token"] for row in members)


def test_one_failing_list_leaves_all_other_tables_whole(sandbox, reads):
    sandbox.faults.append(Fault(r"/groups\?", status=500))
    with Sync(reads(sandbox), isolate=True, clock=lambda: NOON) as sync:
        rows = read(sync)
    assert set(sync.failures) == {"groups"}
    assert "Could not list groups: HTTP 500" in str(sync.failures["groups"])
    assert set(keys_of("runs", rows["runs"])) == sandbox.world.truth("runs")
    assert sync.tallies["group_memberships"].note == "only for those groups that could be listed"


def test_one_failing_report_leaves_the_queries_of_the_others(sandbox, reads):
    broken = sandbox.world.rows("queries")[0]["report_token"]
    sandbox.faults.append(Fault(rf"/reports/{broken}/queries$", status=503))
    with Sync(reads(sandbox), isolate=True, clock=lambda: NOON) as sync:
        rows = read(sync, "queries")
    wanted = {q["token"] for q in sandbox.world.rows("queries") if q["report_token"] != broken}
    assert set(keys_of("queries", rows["queries"])) == wanted
    assert broken in str(sync.failures["queries"])


def test_a_server_that_is_down_is_given_up_soon(sandbox, reads):
    sandbox.faults.append(Fault("/queries$", status=503))
    with Sync(reads(sandbox), isolate=True, clock=lambda: NOON) as sync:
        read(sync, "queries")
    assert isinstance(sync.failures["queries"], ModeUnavailable)
    lists = len(sandbox.world.truth("reports")) + len(sandbox.world.truth("datasets"))
    assert len([r for r in sandbox.requests if r.path.endswith("/queries")]) <= 3 * lists


@pytest.mark.parametrize("status", [403, 404])
def test_a_report_that_went_away_meanwhile_is_skipped_and_noted(sandbox, reads, status):
    gone = sandbox.world.rows("queries")[0]["report_token"]
    sandbox.faults.append(Fault(rf"/reports/{gone}/queries$", status=status))
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        read(sync, "queries")
    assert sync.tallies["queries"].skipped == {status: 1}


def test_revoked_credentials_stop_everything_and_say_which_setting(sandbox, reads):
    sandbox.faults.append(Fault("/spaces", status=401))
    with Sync(reads(sandbox), isolate=True) as sync, pytest.raises(ModeAuthError, match="password"):
        read(sync)


def test_made_up_rows_are_loaded_into_nothing_but_a_duckdb_file(reads, sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
    settings = replace(reads(sandbox), base_url="sandbox")
    with (
        Sync(settings, pipeline=mode_pipeline()) as sync,
        pytest.raises(ModeConfigError, match=r"Refused to load the sandbox.* into filesystem.*delete the line"),
    ):
        sync.open()
    assert not (tmp_path / "bucket").exists()


def test_nothing_is_asked_of_mode_before_a_sync_is_opened(sandbox, reads):
    with Sync(reads(sandbox)) as sync:
        assert sync.requests == 0
        with pytest.raises(RuntimeError, match="must be opened"):
            sync.client.verify()
    assert sandbox.requests == []


def test_an_unknown_workspace_is_said_to_be_one(sandbox, reads):
    settings = replace(reads(sandbox), workspace="acmee")
    with Sync(settings, isolate=True) as sync, pytest.raises(ModeConfigError, match="'acmee' the workspace's name"):
        read(sync, "reports")


def test_the_flat_listing_of_a_server_without_one_is_explained(sandbox, reads):
    settings = reads(sandbox, Listing.WORKSPACE)
    with Sync(settings, isolate=True) as sync, pytest.raises(ModeConfigError, match='set listing to "collections"'):
        read(sync, "reports")


NO_SUCH_PATH = '{"id": "not_found", "message": "request path not recognized"}'


def test_a_path_that_mode_does_not_know_of_one_report_hides_no_other(sandbox, reads):
    sandbox.faults.append(Fault(r"/reports/[0-9a-f]+/queries", status=404, body=NO_SUCH_PATH, times=1))
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync, "spaces", "reports", "queries")["queries"]
    refused = next(request.path.split("/")[-2] for request in sandbox.requests if request.status == 404)
    wanted = {row["token"] for row in sandbox.world.rows("queries") if row["report_token"] != refused}
    assert {row["token"] for row in rows} >= {token for token in wanted if token in sandbox.world.truth("queries")}
    assert sync.tallies["queries"].note == ""


def test_a_route_that_does_not_exist_is_asked_for_a_few_lists_only_and_said(sandbox, reads):
    sandbox.faults.append(Fault("/permissions", status=404, body=NO_SUCH_PATH))
    with Sync(reads(sandbox), clock=lambda: NOON) as sync:
        read(sync, "spaces", "space_permissions")
    asked = [r for r in sandbox.requests if r.path.endswith("/permissions")]
    assert 1 <= len(asked) <= len(sandbox.world.truth("spaces"))
    assert sync.tallies["space_permissions"].rows == 0


def test_of_many_lists_without_a_route_most_are_not_asked_for(reads):
    with serve(replace(SMALL, reports=60)) as sandbox:
        sandbox.faults.append(Fault(r"/reports/[0-9a-f]+/filters", status=404, body=NO_SUCH_PATH))
        with Sync(reads(sandbox), clock=lambda: NOON) as sync:
            read(sync, "spaces", "reports", "report_filters")
        assert len([request for request in sandbox.requests if request.path.endswith("/filters")]) < 20
        assert "no such list" in sync.tallies["report_filters"].note


def test_max_requests_stops_a_sync_and_says_so(sandbox, reads):
    with Sync(replace(reads(sandbox), max_requests=30), clock=lambda: NOON) as sync:
        read(sync, "reports", "queries", "runs")
    assert len(sandbox.requests) < 30 + 25
    assert "max_requests" in sync.tallies["runs"].note + sync.tallies["queries"].note


def test_max_requests_leaves_the_audit_log_to_the_next_sync(sandbox, reads):
    with Sync(replace(reads(sandbox), max_requests=1), isolate=True, clock=lambda: NOON) as sync:
        read(sync, "groups")
        assert read(sync, "audit_logs")["audit_logs"] == sync.ledger_rows("audit_logs", "1") == []
    assert "stopped at max_requests" in sync.tallies["audit_logs"].note
    assert not [request for request in sandbox.requests if request.path.endswith("/audit_logs")]


def test_second_and_third_pages_are_read_in_a_large_workspace(reads):
    options = SandboxOptions(reports=120, spaces=3, days=2, rate_limit_requests=100_000, clock=lambda: NOON)
    with serve(options) as sandbox, Sync(reads(sandbox), clock=lambda: NOON) as sync:
        rows = read(sync, "reports")
        per_space = Counter(row["space_token"] for row in sandbox.world.rows("reports"))
        assert max(per_space.values()) > 60
        assert set(keys_of("reports", rows["reports"])) == sandbox.world.truth("reports")


@pytest.mark.parametrize("bad", [FAILED_LISTS - 1, None], ids=["some", "all"])
def test_some_lists_that_fail_leave_the_others_and_many_end_their_table(reads, bad):
    with serve(SandboxOptions(reports=150, spaces=2, days=1, rate_limit_requests=1_000_000)) as world:
        queries = world.world.rows("queries")
        reports = sorted({row["report_token"] for row in queries})
        failing = set(reports[:bad])
        world.faults += [Fault(f"/reports/{token}/queries", status=418) for token in failing]
        with Sync(reads(world), clock=world.world.now, isolate=True) as sync:
            rows = read(sync, "queries")["queries"]
        asked = [request for request in world.requests if request.path.endswith("/queries")]
        refused = sum(request.status == 418 for request in asked)
    assert "HTTP 418" in str(sync.failures["queries"])
    if bad:
        assert refused == bad
        assert {row["token"] for row in rows} == {row["token"] for row in queries if row["report_token"] not in failing}
    else:
        assert rows == []
        assert FAILED_LISTS <= refused < FAILED_LISTS + AHEAD < len(reports)
    tally = sync.tallies["queries"]
    assert tally.seconds > 0
    assert (tally.gave_up, tally.is_loaded) == (not bad, bool(bad))


def test_newest_lists_that_always_fail_do_not_keep_the_others_from_being_read(reads):
    with serve(SandboxOptions(reports=60, spaces=2, days=1, rate_limit_requests=1_000_000)) as world:
        settings = reads(world)
        with Sync(settings, clock=world.world.now) as sync:
            read(sync, "reports")
            due = [values["report_token"] for values in sync.table("queries").due]
        failing = due[: 2 * FAILED_LISTS]
        world.faults += [Fault(f"/reports/{token}/queries", status=418) for token in failing]
        with Sync(settings, clock=world.world.now, isolate=True) as sync:
            rows = read(sync, "queries")["queries"]
        queries = world.world.rows("queries")
    wanted = {row["token"] for row in queries if row["report_token"] not in failing}
    assert {row["token"] for row in rows} == wanted
    tally = sync.tallies["queries"]
    assert (tally.failed, tally.gave_up, tally.is_loaded) == (len(failing), False, True)
    assert tally.unread.startswith("20 lists could not be read, and nothing changed there: Could not list queries")
