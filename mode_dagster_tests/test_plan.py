"""The plan: what is due is said in numbers that are true, before it is asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import ModeAuthError
from mode_dagster.extract.ledger import Entry, Kept, canonical, has_moved, is_due, is_known_empty, version_of
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.plan import Plan, PlannedTable, duration
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Fault, Sandbox, serve
from mode_dagster.settings import Listing
from mode_dagster_tests.conftest import NOON, SMALL

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_version_has_the_fields_that_mode_sent_and_no_others():
    report = {"edited_at": "2026-05-01T00:00:00.000Z", "query_count": "3", "updated_at": "2026-05-02T00:00:00.000Z"}
    assert version_of(BY_NAME["queries"], report) == {"edited_at": "2026-05-01T00:00:00.000+00:00", "query_count": 3}


def test_updated_at_stands_in_where_a_report_says_nothing_of_its_edits():
    report = {"query_count": 3, "updated_at": "2026-05-02T00:00:00.000Z"}
    assert version_of(BY_NAME["queries"], report)["updated_at"] == "2026-05-02T00:00:00.000+00:00"
    assert "updated_at" in version_of(BY_NAME["queries"], {"edited_at": None, "last_saved_at": None, **report})
    assert "updated_at" not in version_of(BY_NAME["queries"], {"edited_at": None, "last_saved_at": NOW, **report})


def test_a_time_is_the_same_from_mode_and_from_the_destination():
    stored = datetime(2026, 5, 1, 2, tzinfo=UTC).astimezone()
    assert canonical("2026-05-01T02:00:00.000Z") == canonical(stored) == canonical(stored.replace(microsecond=0))


def test_what_is_kept_of_a_row_is_used_like_a_dict():
    row = {"report_token": "a", "runs_count": 3}
    kept = Kept(row)
    assert (kept, {**kept}, len(kept)) == (row, row, 2)
    assert kept.get("query_count") is None


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ({"edited_at": "a", "query_count": 3}, {"edited_at": "a", "query_count": 3}, False),
        ({"edited_at": "a", "query_count": 3}, {"edited_at": "b", "query_count": 3}, True),
        ({"edited_at": "a", "query_count": 3}, {"edited_at": "a", "query_count": 4}, True),
        ({"edited_at": "a", "query_count": 3}, {"edited_at": "a"}, False),
        ({"edited_at": None}, {"edited_at": None}, False),
        ({"edited_at": None}, {"edited_at": None, "updated_at": "a"}, True),
        ({"edited_at": None, "updated_at": "a"}, {"edited_at": None, "updated_at": "a"}, False),
        ({"edited_at": None, "updated_at": "a"}, {"edited_at": None, "updated_at": "b"}, True),
        ({"query_count": 3}, {"query_count": 3}, True),
        ({}, {}, True),
        ({"edited_at": "a"}, {"updated_at": "a"}, True),
        ({"last_run_at": "a", "history_days": 30}, {"last_run_at": "a", "history_days": 0}, True),
    ],
    ids=[
        "same",
        "time",
        "counter",
        "counter gone",
        "never",
        "never, as noted by versions before",
        "never, same",
        "never, but something",
        "only counters",
        "nothing",
        "other fields",
        "more history",
    ],
)
def test_a_list_has_moved_unless_what_both_say_is_equal_and_more_than_counters(old, new, moved):
    assert has_moved(old, new) is moved


@pytest.mark.parametrize(
    ("table", "entry", "due"),
    [
        ("queries", None, True),
        ("queries", Entry({"edited_at": "a"}, "complete", NOW - 9 * DAY), False),
        ("queries", Entry({"edited_at": "b"}, "complete", NOW), True),
        ("queries", Entry({"edited_at": "a"}, "refused", NOW - DAY / 2), False),
        ("queries", Entry({"edited_at": "a"}, "refused", NOW - DAY), True),
        ("space_permissions", Entry({}, "complete", NOW - DAY / 2), False),
        ("space_permissions", Entry({}, "complete", NOW - DAY), True),
    ],
)
def test_what_is_due(table, entry, due):
    assert is_due(BY_NAME[table], entry, {"edited_at": "a"}, DAY, NOW) is due


def test_only_a_counter_that_is_present_and_zero_proves_a_list_empty():
    assert is_known_empty(BY_NAME["charts"], {"chart_count": 0})
    assert is_known_empty(BY_NAME["charts"], {"chart_count": "0"})
    assert not is_known_empty(BY_NAME["charts"], {"chart_count": None})
    assert not is_known_empty(BY_NAME["charts"], {})
    assert is_known_empty(BY_NAME["report_subscriptions"], {"schedules_count": 0})
    assert not is_known_empty(BY_NAME["report_filters"], {"query_count": 0})


def test_the_plan_is_a_sentence():
    tables = [PlannedTable("queries", 2756, 1204, 3611, 0)]
    plan = Plan(tables, reports=2756, reports_changed=1204, per_second=4.0, max_requests=0)
    assert str(plan) == "plan: 1,204 of 2,756 reports changed, 3,611 requests, about 15 min"
    one = replace(plan, tables=[PlannedTable("queries", 1, 1, 1, 0)], reports=1, reports_changed=1)
    assert str(one) == "plan: 1 of 1 report changed, 1 request, about 0 s"
    assert plan.progress(900, 225.0) == "progress: 900 of 4,511 requests, 4.0 a second, about 15 min left"
    assert [duration(seconds) for seconds in (5, 600, 7200)] == ["about 5 s", "about 10 min", "about 2.0 h"]


def test_the_plan_is_said_before_the_first_child_request_and_is_true(sandbox, reads):
    pipeline, said = mode_pipeline(), []
    settings = reads(sandbox)

    def say(sentence: str) -> None:
        said.append((sentence, len(sandbox.requests)))

    with Sync(settings, pipeline=pipeline, clock=sandbox.world.now, say=say) as sync:
        list(load(pipeline, sync))
        (sentence, before), *_ = said
        assert sync.plan is not None
        planned = {table.table: table.requests for table in sync.plan.tables}
    children = sandbox.requests[before:]
    assert sentence.startswith("plan: 12 of 12 reports changed, ")
    assert not [r for r in sandbox.requests[:before] if r.path.endswith(("/queries", "/runs", "/charts"))]
    assert planned["queries"] == len([r for r in children if r.path.endswith("/queries")])
    assert planned["report_filters"] == len([r for r in children if r.path.endswith("/filters")])
    assert abs(sync.plan.requests - len(children)) <= len(children) / 10


@pytest.fixture
def busy() -> Iterator[Sandbox]:
    """One report that has run twice a day for 900 days."""
    runs = [
        {"token": f"run{number}", "state": "succeeded", "created_at": (NOON - (number + 0.1) * DAY / 2).isoformat()}
        for number in range(1800)
    ]

    def listed(body: dict) -> dict:
        said = {"runs_count": len(runs), "created_at": (NOON - 900 * DAY).isoformat()}
        return {"_embedded": {"reports": [{**row, **said} for row in body.get("_embedded", {}).get("reports", ())]}}

    def page(_: dict) -> dict:
        number = int(dict(parse_qsl(served.requests[-1].query)).get("page", 1))
        said = {"total_count": len(runs), "total_pages": len(runs) // 30}
        return {"_embedded": {"report_runs": runs[30 * number - 30 : 30 * number]}, "pagination": said}

    with serve(replace(SMALL, reports=1, spaces=1)) as served:
        served.faults += [
            Fault(r"/spaces/\w+/reports", kind="edit", edit=listed),
            Fault(r"/runs\?", kind="edit", edit=page),
            Fault("/query_runs", kind="body", body='{"_embedded": {"query_runs": []}}'),
        ]
        yield served


@pytest.mark.parametrize(
    ("history_days", "query_run_days"), [(7, 3), (30, 3), (0, 3), (7, 30), (7, 0)], ids=lambda days: f"{days} days"
)
def test_the_plan_counts_no_runs_that_are_too_old_to_be_read(busy, reads, history_days, query_run_days):
    settings = reads(busy, history_days=history_days, query_run_days=query_run_days)
    pipeline = mode_pipeline()
    with Sync(settings, pipeline=pipeline, clock=busy.world.now) as sync:
        list(load(pipeline, sync, ["runs", "query_runs"]))
        planned = {table.table: table.requests for table in sync.plan.tables}
        asked = {name: sync.client.adapter.sent[name] for name in planned}
    assert set(planned) == {"runs", "query_runs"}
    assert planned == asked


@pytest.mark.parametrize(
    ("history_days", "query_run_days", "recent"),
    [(0, 5, 10), (0, 30, 60), (7, 30, 14), (0, 3000, 1800), (0, 0, 1800)],
    ids=["on the page", "at its pace", "of those that are read", "no more than there are", "all"],
)
def test_a_page_of_runs_tells_how_many_are_recent(busy, reads, history_days, query_run_days, recent):
    settings = reads(busy, history_days=history_days, query_run_days=query_run_days)
    with Sync(settings, clock=busy.world.now) as sync:
        plan = sync.make_plan(frozenset({"runs", "query_runs"}), looks_ahead=True)
    planned = {table.table: table.requests for table in plan.tables}["query_runs"]
    assert abs(planned - recent) <= recent / 20


def test_a_plan_looks_ahead_at_those_reports_alone_whose_runs_were_never_read(sandbox, load_from, reads, query):
    load_from(sandbox)
    finished = sandbox.world.rows("query_runs")
    report = finished[0]["report_token"]
    other = next(run["run_token"] for run in finished if run["report_token"] != report)
    query(f"DELETE FROM mode_analytics_data.sync_ledger WHERE endpoint = 'runs' AND parent = '{report}'")
    query(f"UPDATE mode_analytics_data.runs SET state = 'pending' WHERE token = '{other}'")
    with Sync(reads(sandbox), pipeline=mode_pipeline(), clock=sandbox.world.now) as sync:
        plan = sync.make_plan(frozenset({"runs", "query_runs"}), looks_ahead=True)
        assert sync.client.adapter.sent["runs"] == 1
    runs = [row for row in sandbox.world.rows("runs") if row["report_token"] == report]
    assert {table.table: table.requests for table in plan.tables} == {"runs": 2, "query_runs": len(runs)}


def test_a_plan_alone_fetches_no_children(sandbox, reads):
    settings = reads(sandbox)
    with Sync(settings, pipeline=mode_pipeline(), clock=sandbox.world.now) as sync:
        plan = sync.make_plan(frozenset(BY_NAME))
    assert plan.requests > 0
    assert {r.path.rsplit("/", 1)[-1] for r in sandbox.requests} == {"spaces", "reports", "datasets"}


@pytest.mark.parametrize("listing", [Listing.COLLECTIONS, Listing.DISCOVERY])
def test_a_plan_that_looks_ahead_estimates_query_runs_by_recent_runs(reads, listing):
    old = timedelta(days=900)

    def aged(body: dict) -> dict:
        rows = body.get("_embedded", {}).get("reports", body.get("reports", []))
        for row in rows:
            row["created_at"] = (NOON - old).isoformat()
        return body

    with serve(replace(SMALL, reports=60, days=20)) as served:
        served.faults.append(Fault(r"/reports", kind="edit", edit=aged))
        settings = reads(served, listing=listing, query_run_days=7)
        with Sync(settings, clock=served.world.now) as sync:
            before = sync.make_plan(frozenset(BY_NAME))
            asked = sync.requests
            plan = sync.make_plan(frozenset(BY_NAME), looks_ahead=True)
            assert 0 < sync.requests - asked <= 40, "a page of some reports"
        due = [row for row in served.world.rows("runs") if row["created_at"] >= NOON - timedelta(days=7)]
    (low, high) = (next(t.requests for t in each.tables if t.table == "query_runs") for each in (before, plan))
    assert low < len(due) / 3, "spread over the life of the reports"
    assert 0.8 < high / len(due) < 1.25


def test_a_plan_that_looks_ahead_asks_for_nothing_where_runs_were_read(sandbox, load_from, reads):
    load_from(sandbox)
    with Sync(reads(sandbox), pipeline=mode_pipeline(), clock=sandbox.world.now) as sync:
        sync.make_plan(frozenset(BY_NAME), looks_ahead=True)
        assert not sync.client.adapter.sent["runs"]


@pytest.mark.parametrize("status", [403, 418])
def test_a_plan_that_looks_ahead_is_made_without_what_it_could_not_read(sandbox, reads, status):
    sandbox.faults.append(Fault(r"/runs\?", status=status))
    with Sync(reads(sandbox), clock=sandbox.world.now) as sync:
        plan = sync.make_plan(frozenset(BY_NAME), looks_ahead=True)
    assert {table.table: table.requests for table in plan.tables}["query_runs"] == 0


def test_a_plan_that_looks_ahead_ends_with_credentials_that_are_revoked(sandbox, reads):
    sandbox.faults.append(Fault(r"/runs\?", status=401))
    with (
        Sync(reads(sandbox), clock=sandbox.world.now) as sync,
        pytest.raises(ModeAuthError, match="Could not list runs"),
    ):
        sync.make_plan(frozenset(BY_NAME), looks_ahead=True)


def test_the_plan_of_some_reports_counts_no_query_runs_of_others(sandbox, load_from, reads):
    load_from(sandbox, "reports", "runs")
    (report, *_) = (run["report_token"] for run in sandbox.world.rows("query_runs"))
    with Sync(reads(sandbox), pipeline=mode_pipeline(), clock=sandbox.world.now, only_reports=[report]) as sync:
        plan = sync.make_plan(frozenset({"runs", "query_runs"}))
    finished = [run for run in sandbox.world.rows("runs") if run["report_token"] == report and run["ended_at"] <= NOON]
    assert {table.table: table.requests for table in plan.tables} == {"runs": 0, "query_runs": len(finished)}


@pytest.mark.slow
def test_a_plan_alone_tells_what_the_next_sync_asks_for(load_from, reads):
    with serve(SMALL) as before:
        load_from(before)
    later = replace(SMALL, clock=lambda: NOON + timedelta(days=1), epoch=NOON - timedelta(days=SMALL.days))
    with serve(later) as after:
        settings = reads(after)
        with Sync(settings, pipeline=mode_pipeline(), clock=after.world.now) as sync:
            plan = sync.make_plan(frozenset(BY_NAME))
        assert {r.path.rsplit("/", 1)[-1] for r in after.requests} == {"spaces", "reports", "datasets"}
        done = load_from(after).plan
    assert [(table.table, table.due) for table in plan.tables] == [(table.table, table.due) for table in done.tables]
