"""A key that suddenly sees less marks nothing as deleted, in no table, and the sync fails by name each time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mode_dagster.extract.errors import ModeListingError
from mode_dagster.extract.tally import FAILED_LISTS
from mode_dagster.sandbox import Fault, Sandbox, serve
from mode_dagster_tests.conftest import SMALL

TABLES = ("spaces", "reports", "queries", "space_permissions")
NO_REPORTS = '{"_embedded": {"reports": []}}'


@pytest.fixture
def world() -> Iterator[Sandbox]:
    """Enough reports for a listing to shrink, in fewer collections."""
    with serve(replace(SMALL, reports=60, spaces=5)) as served:
        yield served


@pytest.fixture
def marked(query):
    def count() -> dict[str, int]:
        tables = {t: query(f"SELECT count(deleted_at) FROM mode_analytics_data.{t}")[0][0] for t in TABLES}
        return {table: rows for table, rows in tables.items() if rows}

    return count


def only(number: int):
    """Leaves a listing of collections with the last but one of them; most reports are in the first."""

    def edit(body):
        spaces = body["_embedded"]["spaces"][1 : 1 + number]
        pagination = {**body["pagination"], "total_count": number, "total_pages": 1}
        return {**body, "_embedded": {"spaces": spaces}, "pagination": pagination}

    return Fault(r"/spaces\?", kind="edit", edit=edit)


@pytest.mark.slow
def test_no_collection_at_all(world, load_first, load_from, marked):
    load_first(world, *TABLES)
    world.faults.append(only(0))
    for _ in range(2):
        sync = load_from(world, *TABLES, isolate=True)
        assert "Mode lists 0 spaces, but 5 are stored: nothing was" in str(sync.failures["spaces"])
        assert "Mode lists 0 reports, but 60 are stored: nothing was" in str(sync.failures["reports"])
        assert marked() == {}


def test_collections_that_are_gone_take_most_reports_along_only_if_accepted(world, load_first, load_from, marked):
    load_first(world, *TABLES)
    world.faults.append(only(2))
    for _ in range(2):
        sync = load_from(world, *TABLES, isolate=True)
        assert isinstance(sync.failures["reports"], ModeListingError)
        assert "reports" not in marked()
        assert "queries" not in marked()
    # a sync of other tables does not make up for it
    load_from(world, "space_permissions")
    assert "reports" not in marked()
    load_from(world, *TABLES, accept_shrunk=["reports"])
    assert marked()["reports"] > 0
    assert marked()["queries"] > 0
    world.faults.clear()
    load_from(world, *TABLES)
    assert marked() == {}


def test_lists_that_are_empty_against_mode_s_own_counter_mark_nothing_as_deleted(sandbox, load_from, marked):
    load_from(sandbox, *TABLES)
    (first, *others) = [row["token"] for row in sandbox.world.rows("reports") if row.get("query_count")]
    assert len(others) >= FAILED_LISTS

    def without_queries(report):
        return Fault(f"/{report}/queries", kind="body", body='{"_embedded": {"queries": []}}')

    # the counter of a report whose last query was deleted may lag behind
    sandbox.faults.append(without_queries(first))
    sync = load_from(sandbox, *TABLES, reconcile=True, isolate=True)
    assert not sync.failures
    assert f"queries of report {first}: Mode counts" in sync.tallies["queries"].note
    sandbox.faults += map(without_queries, others)
    sync = load_from(sandbox, *TABLES, reconcile=True, isolate=True)
    assert "Mode counts" in str(sync.failures["queries"])
    assert marked() == {}
    load_from(sandbox, *TABLES, reconcile=True, accept_shrunk=["queries"])
    assert set(marked()) == {"queries"}


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_collection_that_can_not_be_read_does_not_hide_that_the_others_are_empty(world, load_from, marked, status):
    (first, *_) = sorted({row["space_token"] for row in world.world.rows("reports")})
    world.faults.append(Fault(rf"/spaces/{first}/reports", status=403))
    load_from(world, *TABLES)
    world.faults[:] = [
        Fault(rf"/spaces/{first}/reports", status=status),
        Fault(r"/spaces/[0-9a-f]+/reports", kind="body", body=NO_REPORTS),
    ]
    sync = load_from(world, *TABLES, isolate=True)
    assert "nothing was marked as deleted" in str(sync.failures["reports"])
    assert marked() == {}


def test_a_collection_that_can_not_be_read_is_no_listing_that_shrank(world, load_first, load_from, marked):
    load_first(world, *TABLES)
    per_space = Counter(row["space_token"] for row in world.world.rows("reports"))
    ((most, reports),) = per_space.most_common(1)
    assert reports > 30, "without them, too few would be left"
    world.faults.append(Fault(rf"/spaces/{most}/reports", status=403))
    sync = load_from(world, *TABLES, isolate=True)
    assert set(sync.failures) == {"reports"}
    assert "Mode lists" not in str(sync.failures["reports"])
    assert marked() == {}


def test_a_page_that_is_not_there_any_more_is_no_end_of_a_list_that_was_longer(world, load_first, load_from, marked):
    load_first(world, *TABLES)
    world.faults.append(Fault(r"/spaces/[0-9a-f]+/reports\?.*page=2", status=404))
    sync = load_from(world, *TABLES, isolate=True)
    assert "page 2 is HTTP 404, and rows are lacking that were there before" in str(sync.failures["reports"])
    assert marked() == {}
    load_from(world, *TABLES, accept_shrunk=["reports"])
    assert marked()["reports"] > 0
    world.faults.clear()
    load_from(world, *TABLES)
    assert marked() == {}


def test_members_that_may_not_be_listed_any_more_are_missed_where_the_short_list_is_refused_too(sandbox, load_from):
    load_from(sandbox, "memberships")
    members = f"/{sandbox.workspace}/memberships"
    sandbox.faults.append(Fault(rf"{members}$", status=403))
    assert not load_from(sandbox, "memberships", isolate=True).failures
    sandbox.faults.append(Fault(rf"{members}/lite$", status=403))
    sync = load_from(sandbox, "memberships", isolate=True)
    assert "were not marked as deleted" in str(sync.failures["memberships"])


def test_the_last_of_a_table_that_nothing_hangs_on_may_go(world, load_from, query):
    load_from(world, "definitions")
    world.faults.append(Fault("/definitions", kind="body", body='{"_embedded": {"definitions": []}}'))
    load_from(world, "definitions")
    assert query("SELECT count(*) FROM mode_analytics_data.definitions WHERE deleted_at IS NULL") == [(0,)]
