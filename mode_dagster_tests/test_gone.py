"""What is gone from Mode is marked, and all below it; what could not be seen, moved or returned is not.

Not here: access that is lost (`test_lost_access`).
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests

from mode_dagster.extract.endpoints import BY_NAME, Listing
from mode_dagster.extract.errors import ModeListingError
from mode_dagster.sandbox import Fault, Sandbox, serve
from mode_dagster_tests.living import LIVELY, Clock, quiet_moment, requests_of, until_a_report_is_gone


@pytest.fixture
def many_reports(clock: Clock) -> Iterator[Sandbox]:
    """Enough of them for a listing to shrink."""
    with serve(replace(LIVELY, reports=26, clock=clock)) as served:
        yield served


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


@pytest.mark.slow
def test_runs_of_a_deleted_report_are_not_looked_into_again(world, clock, load_first, load_from, query):
    tables = ("spaces", "reports", "runs", "query_runs")
    load_first(world, *tables)
    gone = until_a_report_is_gone(world, clock)
    runs = query(f"SELECT count(*) > 0 FROM mode_analytics_data.runs WHERE report_token = '{gone}'")
    query("DELETE FROM mode_analytics_data.sync_ledger WHERE endpoint = 'query_runs'")
    world.requests.clear()
    for reconcile in (False, True):
        load_from(world, *tables, reconcile=reconcile)
    assert runs == [(True,)]
    assert not [request.path for request in world.requests if gone in request.path]


@pytest.mark.slow
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


def test_whatever_leaves_its_listing_is_marked_until_it_returns(world, load_from, query):
    tables = ("data_sources", "definitions", "memberships", "spaces")

    def gone() -> dict[str, list]:
        marked = "SELECT {} FROM mode_analytics_data.{} WHERE deleted_at IS NOT NULL"
        return {table: query(marked.format(BY_NAME[table].key[0], table)) for table in tables}

    load_from(world, *tables)
    left = {}
    for table in tables:
        url, params = f"{world.base_url}/{world.workspace}/{table}", {"filter": "all", "per_page": 30}
        whole = requests.get(url, params, auth=(world.username, world.password), timeout=9).json()
        first, *whole["_embedded"][table] = whole["_embedded"][table]
        world.faults.append(Fault(rf"/{table}(\?|$)", kind="body", body=json.dumps(whole)))
        left[table] = [(first[BY_NAME[table].key[0]],)]
    load_from(world, *tables)
    assert gone() == left
    world.faults.clear()
    load_from(world, *tables)
    assert not any(gone().values())


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
    with pytest.raises(ModeListingError, match=r"lists 0 reports, but 26 are stored.*accept_shrunk: \[reports\]\.$"):
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
    assert not sync.tallies["reports"].is_loaded
    assert space in str(sync.failures["reports"])
    assert query("SELECT count(*) FROM mode_analytics_data.reports WHERE deleted_at IS NOT NULL") == [(0,)]


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
