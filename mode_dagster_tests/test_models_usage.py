"""Models of use: stale and late reports, load, data sources, people, daily counters, on small known rows."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.models.statement import reads
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.known_rows import found, known_rows

NOW = datetime(2026, 6, 17, 12, 20, tzinfo=UTC)
"""A Wednesday."""
USAGE = (
    "stale_reports",
    "schedule_load",
    "data_source_usage",
    "people_activity",
    "report_snapshots",
    "report_daily",
    "late_reports",
)


@pytest.fixture(scope="module")
def empty():
    with duckdb.connect() as connection:
        known_rows(connection)
        build(connection, "time_zones")
        yield connection


@pytest.fixture
def connection(empty):
    """Tables without rows, no models but `time_zones`; one connection for all tests, for their speed."""
    yield empty
    for schema, table in empty.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
        if table != "time_zones":
            empty.execute(f"{'DROP TABLE' if schema == 'mode_marts' else 'DELETE FROM'} {schema}.{table}")


def build(connection, name, now=NOW):
    """Builds a model and those that it reads; every check of its head has to hold."""
    for read in reads(MODELS[name]).models:
        if read != "time_zones":
            build(connection, read, now)
    run_model(DuckDBWarehouse(connection), MODELS[name], Workspace(), now)
    for check in (key_check(MODELS[name]), *MODELS[name].checks):
        broken = violations(DuckDBWarehouse(connection), MODELS[name], check, Workspace(), now)
        assert not broken.count, (name, check, broken.rows)


def answer(connection, name, now=NOW):
    """The rows of a model by its key."""
    build(connection, name, now)
    key = MODELS[name].key
    rows = found(connection, f"SELECT * FROM mode_marts.{name}")
    return {row[key[0]] if len(key) == 1 else tuple(row[part] for part in key): row for row in rows}


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(token, report, begun, minutes=1, state="succeeded", **more):
    ended = str(utc(begun) + timedelta(minutes=minutes)) if minutes is not None else None
    return {
        "token": token,
        "report_token": report,
        "created_at": begun,
        "completed_at": ended,
        "state": state,
        "executed_by_username": "ada",
        **more,
    }


@pytest.mark.parametrize("name", USAGE)
def test_there_is_no_answer_where_nothing_was_loaded(connection, name):
    assert answer(connection, name) == {}


OLD = {"created_at": "2024-01-01", "edited_at": "2025-01-01"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({}, "never run"),
        ({"runs": [run("x", "r", "2026-01-02")]}, "not run for 90 days"),
        (
            {"runs": [run("x", "r", "2026-01-02"), run("y", "r", "2026-06-16", report_schedule_token="s")]},
            "only its schedule runs it",
        ),
    ],
    ids=["never run", "run long ago", "only scheduled"],
)
def test_why_a_report_is_stale(connection, rows, reason):
    known_rows(connection, reports=[{"token": "r", **OLD}], **rows)
    assert answer(connection, "stale_reports")["r"]["reason"] == reason


@pytest.mark.parametrize(
    ("report", "rows"),
    [
        ({}, {"runs": [run("x", "r", "2026-06-01")]}),
        ({"edited_at": "2026-06-01"}, {}),
        ({"last_saved_at": "2026-06-01"}, {}),
        ({"last_viewed_at": "2026-06-01"}, {}),
        ({"last_run_at": "2026-06-01"}, {}),
        ({"created_at": "2026-06-01", "edited_at": None}, {}),
        ({"archived": True}, {}),
        ({"deleted_at": "2026-06-01"}, {}),
    ],
    ids=["run", "edited", "saved", "viewed", "run by nobody knows whom", "young", "archived", "deleted"],
)
def test_a_report_is_not_stale_that_was(connection, report, rows):
    known_rows(connection, reports=[{"token": "r", **OLD, **report}], **rows)
    assert answer(connection, "stale_reports") == {}


def test_what_a_stale_report_costs_and_who_would_miss_it(connection):
    known_rows(
        connection,
        spaces=[{"token": "c", "name": "Finance"}],
        reports=[{"token": "r", "name": "Revenue", "space_token": "c", "creator_username": "ada", **OLD}],
        report_schedules=[
            {"token": "s", "report_token": "r", "subscriber_count": 2},
            {"token": "t", "report_token": "r", "subscriber_count": 3},
            {"token": "gone", "report_token": "r", "subscriber_count": 9, "deleted_at": "2026-06-01"},
        ],
        report_subscriptions=[{"token": "m", "report_token": "r", "email_subscriber_count": 4}],
        runs=[
            run("a", "r", "2026-06-10", 10, report_schedule_token="s"),
            run("b", "r", "2026-04-10", 20, report_schedule_token="s"),
            run("c", "r", "2026-01-10", 40, report_schedule_token="s"),
            run("d", "r", "2026-06-17 12:19", None, state="pending", report_schedule_token="s"),
        ],
    )
    row = answer(connection, "stale_reports")["r"]
    assert (row["run_minutes_30d"], row["run_minutes_90d"]) == (10, 30)
    assert (row["is_scheduled"], row["subscribers"]) == (True, 5)
    assert (row["report_name"], row["collection_name"], row["owner_username"]) == ("Revenue", "Finance", "ada")
    assert (row["last_run_at"], row["last_manual_run_at"]) == (utc("2026-06-17 12:19"), None)
    assert (row["unused_days"], row["age_days"]) == (532, 898)


def test_a_report_that_mode_says_nothing_of_is_stale_without_days(connection):
    known_rows(connection, reports=[{"token": "r"}])
    row = answer(connection, "stale_reports")["r"]
    assert (row["reason"], row["unused_days"], row["age_days"]) == ("never run", None, None)
    assert (row["views_known_from"], row["subscribers"], row["is_scheduled"]) == ("nothing", None, False)


@pytest.mark.parametrize(
    ("report", "stats", "known_from"),
    [
        ({"last_viewed_at": "2025-01-01"}, [], "last_viewed_at"),
        ({"view_count": 0}, [], "view_count"),
        ({"view_count": 7}, [], "nothing"),
        ({}, [{"report_token": "r", "view_count": 0, "active_schedules_count": 1}], "view_count"),
    ],
    ids=["viewed long ago", "never viewed", "viewed some time", "never viewed, by the statistics"],
)
def test_how_far_views_are_known(connection, report, stats, known_from):
    known_rows(connection, reports=[{"token": "r", **OLD, **report}], report_stats=stats)
    row = answer(connection, "stale_reports")["r"]
    assert row["views_known_from"] == known_from
    assert row["is_scheduled"] is bool(stats)


def test_views_are_counted_between_snapshots(connection):
    known_rows(
        connection,
        reports=[{"token": "quiet", "view_count": 7, **OLD}, {"token": "viewed", "view_count": 7, **OLD}],
    )
    build(connection, "stale_reports", NOW - timedelta(days=100))
    build(connection, "stale_reports", NOW - timedelta(days=89))
    connection.execute("UPDATE mode_analytics_data.reports SET view_count = 8 WHERE token = 'viewed'")
    stale = answer(connection, "stale_reports")
    assert list(stale) == ["quiet"]
    assert stale["quiet"]["views_known_from"] == "report_daily"


SOURCES = [
    {"token": "wh", "id": "1", "name": "Warehouse", "queryable": True},
    {"token": "lake", "id": "2", "name": "Lake", "queryable": True},
]


def test_load_of_an_hour_of_the_week(connection):
    def scheduled(token, begun, minutes=10):
        return run(token, "r", begun, minutes, report_schedule_token="s")

    known_rows(
        connection,
        data_sources=SOURCES,
        queries=[{"token": "q", "report_token": "r", "data_source_id": "1"}],
        runs=[
            scheduled("too old", "2026-05-17 23:59"),
            scheduled("first", "2026-05-18 00:00"),
            scheduled("second", "2026-05-25 00:30", 50),
            scheduled("beside it", "2026-05-25 00:40", 20),
            scheduled("after it", "2026-05-25 01:20"),
            scheduled("without end", "2026-05-31 23:00", None),
            scheduled("this week", "2026-06-15 00:00"),
            run("by hand", "r", "2026-05-25 00:35"),
        ],
    )
    load = answer(connection, "schedule_load")
    assert sorted(load) == [(0, "wh"), (1, "wh"), (167, "wh")]
    monday = load[0, "wh"]
    assert (monday["weekday"], monday["hour"], monday["data_source_name"]) == ("Monday", 0, "Warehouse")
    # runs in two of the four weeks: two weeks count
    assert (monday["runs_per_week"], monday["run_minutes_per_week"], monday["most_at_once"]) == (1.5, 40, 2)
    assert (load[1, "wh"]["most_at_once"], load[167, "wh"]["weekday"]) == (1, "Sunday")


def test_load_falls_on_the_sources_that_the_run_read(connection):
    known_rows(
        connection,
        data_sources=SOURCES,
        queries=[{"token": "q", "report_token": "r", "data_source_token": "lake"}],
        runs=[
            run("queries known", "r", "2026-06-10 08:00", report_schedule_token="s"),
            run("queries unknown", "r", "2026-06-10 09:00", report_schedule_token="s"),
            run("nothing known", "other", "2026-06-10 10:00", report_schedule_token="s"),
        ],
        query_runs=[
            {"token": "a", "run_token": "queries known", "data_source_id": "1", "created_at": "2026-06-10 08:00"},
            {"token": "b", "run_token": "queries known", "data_source_token": "wh", "created_at": "2026-06-10 08:00"},
        ],
    )
    assert sorted(answer(connection, "schedule_load")) == [(56, "wh"), (57, "lake"), (58, "unknown")]


def test_use_of_a_data_source(connection):
    known_rows(
        connection,
        data_sources=SOURCES,
        reports=[{"token": "r"}, {"token": "s"}, {"token": "old", "archived": True}],
        queries=[
            {"token": "a", "report_token": "r", "data_source_id": "1"},
            {"token": "b", "report_token": "r", "data_source_token": "wh"},
            {"token": "c", "report_token": "s", "data_source_id": "1"},
            {"token": "d", "report_token": "s", "data_source_id": "1", "deleted_at": "2026-06-01"},
            {"token": "e", "report_token": "old", "data_source_id": "1"},
        ],
        definitions=[{"token": "f", "data_source_id": "1"}],
        runs=[run("x", "r", "2026-06-10 08:00", 6), run("y", "r", "2026-04-10 08:00", 60)],
        query_runs=[
            {
                "token": f"{run_token}{number}",
                "run_token": run_token,
                "data_source_token": "wh",
                "state": state,
                "created_at": f"2026-{month}-10 08:01",
                "completed_at": f"2026-{month}-10 08:05",
            }
            for number, (run_token, month, state) in enumerate(
                [("x", "06", "succeeded"), ("x", "06", "failed"), ("y", "04", "failed")]
            )
        ],
    )
    used = answer(connection, "data_source_usage")
    row = used["wh"]
    assert (row["reports"], row["queries"], row["definitions"]) == (2, 3, 1)
    assert (row["query_runs_30d"], row["failed_query_runs_30d"]) == (2, 1)
    assert (row["query_minutes_30d"], row["run_minutes_30d"]) == (8, 6)
    assert row["last_used_at"] == utc("2026-06-10 08:01")
    assert (row["state"], row["is_dead_but_used"]) == ("ok", False)
    assert (used["lake"]["queries"], used["lake"]["last_used_at"]) == (0, None)


def test_a_dataset_uses_its_data_source_as_a_report_does(connection):
    known_rows(
        connection,
        data_sources=[{"token": "d", "id": "1", "queryable": False}],
        datasets=[{"token": "s"}, {"token": "gone", "deleted_at": "2026-06-01"}],
        queries=[
            {"token": "q", "report_token": "s", "data_source_token": "d"},
            {"token": "p", "report_token": "gone", "data_source_token": "d"},
        ],
    )
    used = answer(connection, "data_source_usage")["d"]
    assert (used["reports"], used["queries"], used["is_dead_but_used"]) == (1, 1, True)


@pytest.mark.parametrize(
    ("source", "state", "is_dead"),
    [
        ({"soft_deleted": True}, "deleted", True),
        ({"deleted_at": "2026-06-01"}, "deleted", True),
        ({"queryable": False}, "not queryable", True),
        ({"asleep": True, "queryable": True}, "asleep", False),
        ({}, "ok", False),
    ],
    ids=["deleted softly", "gone from the list", "not queryable", "asleep", "nothing said"],
)
def test_a_dead_source_that_a_live_query_reads_is_flagged(connection, source, state, is_dead):
    known_rows(
        connection,
        data_sources=[{"token": "d", "id": "1", **source}, {"token": "unused", "id": "2", **source}],
        reports=[{"token": "r"}],
        queries=[{"token": "q", "report_token": "r", "data_source_id": "1"}],
    )
    used = answer(connection, "data_source_usage")
    assert (used["d"]["state"], used["d"]["is_dead_but_used"]) == (state, is_dead)
    assert used["unused"]["is_dead_but_used"] is False


def test_a_source_that_only_queries_name_is_not_listed(connection):
    known_rows(
        connection,
        reports=[{"token": "r"}],
        queries=[
            {"token": "q", "report_token": "r", "data_source_id": "8"},
            {"token": "p", "report_token": "r", "data_source_id": "9"},
            {"token": "o", "report_token": "r"},
        ],
        query_runs=[
            {"token": "x", "run_token": "u", "data_source_id": "9", "data_source_token": "hidden"},
            {"token": "y", "run_token": "u"},
        ],
    )
    used = answer(connection, "data_source_usage")
    assert {token: row["state"] for token, row in used.items()} == {"8": "not listed", "hidden": "not listed"}
    assert used["hidden"]["is_dead_but_used"] is True


def test_who_does_what(connection):
    known_rows(
        connection,
        workspaces=[{"token": "w", "username": "acme"}],
        memberships=[
            {"member_token": "1", "member_username": "ada", "admin": True, "activated_at": "2024-01-01"},
            {"member_token": "2", "member_username": "ben", "deleted_at": "2026-05-01", "admin": True},
            {"member_token": "3", "member_username": "ina", "invited": True},
        ],
        users=[{"token": "1", "username": "ada", "name": "Ada Marlow"}],
        reports=[
            {"token": "r", "creator_username": "ada", "created_at": "2026-06-01"},
            {"token": "s", "creator_username": "ada", "created_at": "2026-06-02", "deleted_at": "2026-06-03"},
            {"token": "t", "creator_username": "ben", "created_at": "2025-01-01"},
            {"token": "u", "creator_username": "ben", "archived": True},
            {"token": "v"},
        ],
        report_schedules=[{"token": "s", "report_token": "t"}],
        runs=[
            run("a", "r", "2026-06-10"),
            run("b", "r", "2026-05-10"),
            run("c", "r", "2026-06-11", report_schedule_token="s"),
            run("d", "r", "2026-06-10", executed_by_username="acme"),
            run("e", "r", "2026-06-10", executed_by_username="guest"),
            run("f", "r", "2026-06-10", executed_by_username=None),
        ],
        audit_logs=[
            {"id": "1", "actor_username": "ada", "timestamp": "2026-06-16"},
            {"id": "2", "actor_username": "stranger", "timestamp": "2026-06-16"},
        ],
    )
    people = answer(connection, "people_activity")
    assert sorted(people) == ["ada", "ben", "guest", "ina"]
    ada, ben = people["ada"], people["ben"]
    assert (ada["name"], ada["is_member"], ada["is_admin"]) == ("Ada Marlow", True, True)
    assert (ada["reports"], ada["orphaned_reports"], ada["reports_created_90d"]) == (1, 0, 2)
    assert (ada["manual_runs_30d"], ada["manual_runs_90d"], ada["last_run_at"]) == (1, 2, utc("2026-06-10"))
    assert (ada["last_created_at"], ada["last_active_at"]) == (utc("2026-06-02"), utc("2026-06-16"))
    assert (ben["is_member"], ben["is_admin"], ben["left_at"]) == (False, False, utc("2026-05-01"))
    assert (ben["reports"], ben["orphaned_reports"], ben["scheduled_reports"]) == (1, 1, 1)
    assert (people["ina"]["is_member"], people["ina"]["last_active_at"]) == (False, None)
    assert (people["guest"]["is_member"], people["guest"]["orphaned_reports"]) == (False, 0)


def test_nobody_has_left_where_members_could_not_be_listed(connection):
    known_rows(connection, reports=[{"token": "r", "creator_username": "ada"}])
    ada = answer(connection, "people_activity")["ada"]
    assert (ada["is_member"], ada["orphaned_reports"], ada["reports"]) == (None, 0, 1)


def test_the_discovery_listing_names_people_by_email(connection):
    known_rows(
        connection,
        members=[
            {
                "member_token": "1",
                "member_username": "ada",
                "member_email": "ada@example.com",
                "state": "active",
                "last_report_edited_at": "2026-06-14",
                "last_report_viewed_at": "2026-06-15",
                "last_day_engaged": "2026-06-16",
            },
            {"member_token": "2", "member_username": "ben", "state": "banned", "banned_at": "2026-01-15"},
        ],
        reports=[
            {"token": "r", "creator_email": "ada@example.com"},
            {"token": "s", "creator_email": "gone@example.com"},
        ],
    )
    people = answer(connection, "people_activity")
    assert {name: (row["is_member"], row["orphaned_reports"]) for name, row in people.items()} == {
        "ada": (True, 0),
        "ben": (False, 0),
        "gone@example.com": (False, 1),
    }
    assert people["ben"]["left_at"] == utc("2026-01-15")
    assert (people["ada"]["last_edited_at"], people["ada"]["last_viewed_at"]) == (utc("2026-06-14"), utc("2026-06-15"))
    assert people["ada"]["last_active_at"] == utc("2026-06-16")


def test_counters_become_gains_between_days(connection):
    def snapshot(day, views, runs, hour=8):
        connection.execute("UPDATE mode_analytics_data.reports SET view_count = ?, runs_count = ?", [views, runs])
        build(connection, "report_daily", utc(f"2026-06-{day:02} {hour:02}:00"))

    known_rows(connection, reports=[{"token": "r"}])
    snapshot(1, 10, 100)
    snapshot(2, 12, 110, hour=1)
    snapshot(2, 15, 130, hour=23)  # the same day again: replaces
    snapshot(5, 15, 131)  # two days without
    snapshot(6, 3, 132)  # a counter that was reset
    snapshot(7, None, 133)
    snapshot(8, 4, 134)
    rows = found(connection, "SELECT * FROM mode_marts.report_daily ORDER BY day")
    assert [row["day"].day for row in rows] == [1, 2, 5, 6, 7, 8]
    assert [row["days_covered"] for row in rows] == [None, 1, 3, 1, 1, 1]
    assert [row["views_gained"] for row in rows] == [None, 5, 0, None, None, None]
    assert [row["runs_gained"] for row in rows] == [None, 30, 1, 1, 1, 1]


def test_snapshots_of_a_deleted_report_stay(connection):
    known_rows(connection, reports=[{"token": "r", "view_count": 1}])
    build(connection, "report_daily", NOW - timedelta(days=1))
    connection.execute("UPDATE mode_analytics_data.reports SET deleted_at = '2026-06-17'")
    assert [day.day for _, day in answer(connection, "report_daily")] == [16]


def test_the_statistics_stand_in_for_a_missing_view_count(connection):
    known_rows(
        connection,
        reports=[{"token": "r"}, {"token": "s", "view_count": 1}],
        report_stats=[{"report_token": "r", "view_count": 5}, {"report_token": "s", "view_count": 9}],
    )
    day = NOW.date()
    views = {key: row["view_count"] for key, row in answer(connection, "report_snapshots").items()}
    assert views == {("r", day): 5, ("s", day): 1}


def late(connection, schedule, now=NOW, report=None, **rows):
    """The answer on the one schedule `s` of the one report `r`."""
    known_rows(
        connection,
        reports=[{"token": "r", "name": "Revenue", **(report or {})}],
        report_schedules=[{"token": "s", "report_token": "r", **schedule}],
        **rows,
    )
    return answer(connection, "late_reports", now)["s"]


RAN = {"last_run_at": "2020-01-01"}
"""The schedule is alive: it has run once."""


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"frequency": "every_15_minutes", "cron_minute": 5}, "2026-06-17 12:20"),
        ({"frequency": "every_30_minutes", "cron_minute": 25}, "2026-06-17 11:55"),
        ({"frequency": "hourly", "cron_minute": 20}, "2026-06-17 12:20"),
        ({"frequency": "hourly", "cron_minute": 21}, "2026-06-17 11:21"),
        ({"frequency": "hourly", "cron_minute": 21, "time_zone": "Kathmandu"}, "2026-06-17 11:36"),
        ({"frequency": "daily", "cron_hour": 12, "cron_minute": 20}, "2026-06-17 12:20"),
        ({"frequency": "Daily", "cron_hour": 13}, "2026-06-16 13:00"),
        ({"cron_hour": 13}, "2026-06-16 13:00"),
        ({"frequency": "weekly", "day_of_week": "0", "cron_hour": 8}, "2026-06-14 08:00"),
        ({"frequency": "weekly", "day_of_week": "Sunday", "cron_hour": 8}, "2026-06-14 08:00"),
        ({"frequency": "weekly", "day_of_week": "3", "cron_hour": 8}, "2026-06-17 08:00"),
        ({"day_of_week": "wed", "cron_hour": 13}, "2026-06-10 13:00"),
        ({"frequency": "monthly", "day_of_month": "17", "cron_hour": 8}, "2026-06-17 08:00"),
        ({"frequency": "monthly", "day_of_month": "17", "cron_hour": 13}, "2026-05-17 13:00"),
        ({"day_of_month": "31", "cron_hour": 8}, "2026-05-31 08:00"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_when_a_schedule_was_due_by_its_settings(connection, schedule, expected):
    row = late(connection, {**RAN, **schedule})
    assert (row["expected_by"], row["expected_from"]) == (utc(expected), "settings")


@pytest.mark.parametrize(
    ("now", "expected"),
    [("2026-06-15 07:00", "2026-06-12 08:00"), ("2026-06-14 12:00", "2026-06-12 08:00")],
    ids=["early on Monday", "Sunday"],
)
def test_weekdays_have_no_weekend(connection, now, expected):
    row = late(connection, {"frequency": "weekday", "cron_hour": 8, **RAN}, utc(now))
    assert row["expected_by"] == utc(expected)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-30 12:00", "2026-01-31 08:00"),
        ("2026-05-30 12:00", "2026-03-31 08:00"),
        ("2026-03-31 12:00", "2026-03-31 08:00"),
    ],
    ids=["over February", "over April", "on the day"],
)
def test_months_without_the_day_are_passed_over(connection, now, expected):
    row = late(connection, {"frequency": "monthly", "day_of_month": "31", "cron_hour": 8, **RAN}, utc(now))
    assert row["expected_by"] == utc(expected)


@pytest.mark.parametrize(
    ("now", "hour", "expected"),
    [
        ("2026-03-28 12:00", 8, "2026-03-28 07:00"),
        ("2026-03-29 12:00", 8, "2026-03-29 06:00"),
        ("2026-10-24 12:00", 8, "2026-10-24 06:00"),
        ("2026-10-25 12:00", 8, "2026-10-25 07:00"),
        ("2026-03-29 12:00", 2, "2026-03-29 01:00"),
        ("2026-10-25 12:00", 2, "2026-10-25 00:00"),
    ],
    ids=[
        "before the clocks go forward",
        "after it",
        "before they go back",
        "after that",
        "an hour that does not exist",
        "an hour that comes twice",
    ],
)
def test_daylight_saving_time(connection, now, hour, expected):
    row = late(connection, {"frequency": "daily", "cron_hour": hour, "time_zone": "Berlin", **RAN}, utc(now))
    assert row["expected_by"] == utc(expected)


@pytest.mark.parametrize("zone", ["Europe/Berlin", " berlin ", "Bern"])
def test_a_time_zone_has_many_names(connection, zone):
    row = late(connection, {"frequency": "daily", "cron_hour": 8, "time_zone": zone, **RAN})
    assert (row["expected_by"], row["is_time_zone_known"]) == (utc("2026-06-17 06:00"), True)


@pytest.mark.parametrize("zone", [None, "", "Middle Earth"], ids=["none", "empty", "unknown"])
def test_a_time_zone_that_is_not_known_is_utc(connection, zone):
    row = late(connection, {"frequency": "daily", "cron_hour": 8, "time_zone": zone, **RAN})
    assert (row["expected_by"], row["time_zone"]) == (utc("2026-06-17 08:00"), "UTC")
    assert row["is_time_zone_known"] is False


@pytest.mark.parametrize(
    "settings",
    [
        {"frequency": "daily", "cron_hour": 24},
        {"frequency": "weekly", "cron_hour": 8, "day_of_week": "1,3"},
        {"frequency": "monthly", "cron_hour": 8, "day_of_month": "last"},
        {"frequency": "monthly", "cron_hour": 8, "day_of_month": "32"},
    ],
    ids=["hour 24", "two days of the week", "a word for a day of the month", "day 32"],
)
def test_settings_that_make_no_sense_tell_nothing(connection, settings):
    row = late(connection, {**settings, **RAN}, report={"expected_runtime": float("inf")})
    assert (row["expected_by"], row["outcome"], row["is_late"]) == (None, "unknown", False)


def test_every_time_zone_that_mode_schedules_in_is_known(connection):
    # of the list in Mode's specification: names without a city of the IANA database, and some with
    names = "Pacific Time (US & Canada)", "International Date Line West", "Nuku'alofa", "Hong Kong", "Samoa", "UTC"
    zones = answer(connection, "time_zones")
    meant = [zones[name]["iana_name"] for name in names]
    assert meant == [
        "America/Los_Angeles",
        "Etc/GMT+12",
        "Pacific/Tongatapu",
        "Asia/Hong_Kong",
        "Pacific/Apia",
        "UTC",
    ]


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Sydney", "America/St_Johns"]
STEPS = {"every_15_minutes": 15, "every_30_minutes": 30, "hourly": 60}


def by_trying(schedule, now):
    """When a schedule was last due, found minute by minute or day by day."""
    zone = ZoneInfo(schedule["time_zone"])
    if step := STEPS.get(schedule["frequency"]):
        minute = now.replace(second=0)
        while (minute.astimezone(zone).minute - schedule["cron_minute"]) % step:
            minute -= timedelta(minutes=1)
        return minute
    for back in range(63):
        day = now.astimezone(zone).date() - timedelta(days=back)
        is_due = {
            "daily": True,
            "weekday": day.isoweekday() < 6,
            "weekly": str(day.isoweekday() % 7) == schedule["day_of_week"],
            "monthly": str(day.day) == schedule["day_of_month"],
        }
        time = datetime(day.year, day.month, day.day, schedule["cron_hour"], schedule["cron_minute"], tzinfo=zone)
        if is_due[schedule["frequency"]] and time.astimezone(UTC) <= now:
            return time.astimezone(UTC)
    raise AssertionError(schedule)


@pytest.mark.parametrize(
    "now",
    ["2026-03-29 01:00:00", "2026-10-25 00:31:00", "2026-11-01 06:40:00", "2026-03-01 00:00:00", "2026-04-04 16:30:00"],
)
def test_the_last_due_time_is_what_trying_every_time_finds(connection, now):
    draw = random.Random(now)
    schedules = [
        {
            "token": str(number),
            "report_token": "r",
            "frequency": draw.choice([*STEPS, "daily", "weekday", "weekly", "monthly"]),
            "time_zone": draw.choice(ZONES),
            "cron_hour": draw.randrange(24),
            "cron_minute": draw.choice([0, 7, 30, 59]),
            "day_of_week": str(draw.randrange(7)),
            "day_of_month": draw.choice(["1", "28", "29", "30", "31"]),
            **RAN,
        }
        for number in range(150)
    ]
    known_rows(connection, reports=[{"token": "r"}], report_schedules=schedules)
    rows = answer(connection, "late_reports", utc(now))
    assert {token: row["expected_by"] for token, row in rows.items()} == {
        schedule["token"]: by_trying(schedule, utc(now)) for schedule in schedules
    }


DAILY = {"frequency": "daily", "cron_hour": 3, "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            # Mode's words beat the settings
            {"last_scheduled_run": "2026-06-17 08:00", "next_scheduled_run": "2026-06-18 08:00"},
            ("2026-06-17 08:00", "mode"),
        ),
        (
            # the schedule was read two days ago
            {"last_scheduled_run": "2026-06-14 08:00", "next_scheduled_run": "2026-06-15 08:00"},
            ("2026-06-17 08:00", "settings"),
        ),
        (
            # one was left out
            {"last_scheduled_run": "2026-06-16 08:00", "next_scheduled_run": "2026-06-18 08:00"},
            ("2026-06-17 08:00", "settings"),
        ),
        (
            # Mode knows of a pause that the frequency does not
            {"last_scheduled_run": "2026-06-12 08:00", "next_scheduled_run": "2026-06-22 08:00"},
            ("2026-06-12 08:00", "mode"),
        ),
        ({"next_scheduled_run": "2026-06-17 08:00"}, ("2026-06-17 08:00", "mode")),
        ({"next_scheduled_run": "2026-06-18 08:00"}, ("2026-06-17 08:00", "settings")),
        ({"last_scheduled_run": "2026-06-16 08:00", "cron_hour": None}, ("2026-06-17 08:00", "settings")),
        (
            {"frequency": "when it rains", "last_scheduled_run": "2026-06-16 08:00"},
            ("2026-06-16 08:00", "mode"),
        ),
        ({"frequency": None, "cron_hour": None, **RAN}, (None, None)),
        ({"created_at": "2026-06-17 09:00", "next_scheduled_run": "2026-06-18 08:00"}, (None, None)),
    ],
    ids=[
        "last and next",
        "next is past",
        "a run was left out",
        "a pause",
        "only next, past",
        "only next",
        "only last",
        "unknown frequency",
        "nothing",
        "younger than that",
    ],
)
def test_mode_knows_best_when_a_schedule_was_due(connection, schedule, expected):
    row = late(connection, {**DAILY, **schedule})
    assert (row["expected_by"], row["expected_from"]) == (expected[0] and utc(expected[0]), expected[1])
    assert row["is_late"] is (expected[0] is not None)


DUE = {**DAILY, "last_scheduled_run": "2026-06-17 12:00", "next_scheduled_run": "2026-06-18 12:00"}


def scheduled_run(begun, minutes, state):
    return run("x", "r", begun, minutes, state, report_schedule_token="s")


@pytest.mark.parametrize(
    ("runs", "now", "outcome", "minutes_late"),
    [
        ([scheduled_run("2026-06-17 12:01", 2, "succeeded")], "12:20", "succeeded", 0),
        ([scheduled_run("2026-06-17 12:01", 2, "completed")], "12:20", "succeeded", 0),
        ([scheduled_run("2026-06-17 12:01", None, "enqueued")], "12:20", "running", 0),
        ([scheduled_run("2026-06-17 12:01", None, "enqueued")], "12:26", "running", 26),
        ([scheduled_run("2026-06-17 12:01", 2, "failed")], "12:20", "failed", 0),
        ([scheduled_run("2026-06-17 12:01", 2, "cancelled")], "12:40", "failed", 40),
        ([scheduled_run("2026-06-16 12:01", 2, "succeeded")], "12:26", "not run", 26),
        ([run("x", "r", "2026-06-17 12:01", report_schedule_token="other")], "12:26", "not run", 26),
        ([], "12:25", "not run", 0),
    ],
    ids=[
        "succeeded",
        "notebook completed",
        "running",
        "running too long",
        "failed",
        "cancelled",
        "yesterday's",
        "another schedule's",
        "nothing yet",
    ],
)
def test_what_became_of_the_last_due_run(connection, runs, now, outcome, minutes_late):
    row = late(connection, DUE, utc(f"2026-06-17 {now}"), {"expected_runtime": 300}, runs=runs)
    assert (row["outcome"], row["minutes_late"], row["is_late"]) == (outcome, minutes_late, minutes_late > 0)
    assert row["grace_minutes"] == 25


@pytest.mark.parametrize(
    ("last_run_at", "outcome"),
    [("2026-06-17 12:01", "succeeded"), ("2026-06-17 12:04", "failed"), ("2026-06-17 11:59", "not run")],
    ids=["its last", "before its last", "begun before it was due"],
)
def test_the_schedule_itself_tells_of_successes(connection, last_run_at, outcome):
    schedule = {**DUE, "last_run_at": last_run_at, "last_succeeded_at": "2026-06-17 12:03"}
    row = late(connection, schedule)
    assert (row["outcome"], row["last_succeeded_at"]) == (outcome, utc("2026-06-17 12:03"))


def test_a_schedule_that_never_ran_and_has_no_next_run_is_not_late(connection):
    row = late(connection, DAILY)
    assert (row["outcome"], row["is_late"], row["minutes_late"]) == ("inactive", False, 0)


def test_only_live_schedules_of_live_reports_can_be_late(connection):
    known_rows(
        connection,
        reports=[{"token": "r"}, {"token": "old", "archived": True}, {"token": "gone", "deleted_at": "2026-06-01"}],
        report_schedules=[
            {"token": "gone", "report_token": "r", "deleted_at": "2026-06-01", **DUE},
            {"token": "of an archived one", "report_token": "old", **DUE},
            {"token": "of a deleted one", "report_token": "gone", **DUE},
        ],
    )
    assert answer(connection, "late_reports") == {}


def test_one_bad_time_zone_among_thousands_does_no_harm(connection):
    zones = ["UTC", "Tokyo", "nowhere", None]
    known_rows(connection, reports=[{"token": "r"}])
    connection.execute(
        "INSERT INTO mode_analytics_data.report_schedules (token, report_token, frequency, cron_hour, time_zone) "
        "SELECT CAST(n AS VARCHAR), 'r', 'daily', 8, ?[n % 4 + 1] FROM range(5000) AS numbers (n)",
        [zones],
    )
    rows = answer(connection, "late_reports").values()
    assert len(rows) == 5_000
    assert sum(row["is_time_zone_known"] for row in rows) == 2_500


BREAKS = {
    ("stale_reports", "nothing_used_lately_is_stale"): "unused_days = 89",
    ("stale_reports", "minutes_add_up"): "run_minutes_90d = -1",
    ("schedule_load", "hours_are_of_a_week"): "hour_of_week = 168",
    ("schedule_load", "a_run_runs_with_itself"): "most_at_once = 0",
    ("data_source_usage", "failures_are_runs"): "failed_query_runs_30d = 99",
    ("people_activity", "only_who_left_has_orphans"): "orphaned_reports = 1",
    ("people_activity", "months_are_in_quarters"): "manual_runs_30d = 99",
    ("report_snapshots", "counters_are_not_negative"): "view_count = -1",
    ("report_daily", "gains_are_not_negative"): "views_gained = -1",
    ("report_daily", "days_are_covered_once"): "days_covered = 0",
    ("late_reports", "late_is_later_than_the_grace"): "minutes_late = 1",
    ("late_reports", "nothing_is_expected_of_the_future"): "expected_by = '2026-06-17 12:21'",
}


@pytest.mark.parametrize(("name", "check"), BREAKS, ids=lambda value: value)
def test_each_check_of_a_head_finds_a_row_that_breaks_it(connection, name, check):
    known_rows(
        connection,
        reports=[{"token": "r", "view_count": 1, **OLD, "creator_username": "ada"}],
        memberships=[{"member_token": "1", "member_username": "ada"}],
        report_schedules=[{"token": "s", "report_token": "r", **DAILY}],
        data_sources=SOURCES,
        runs=[run("x", "r", "2026-06-10 08:00", report_schedule_token="s")],
    )
    build(connection, name)
    one = f"rowid = (SELECT min(rowid) FROM mode_marts.{name})"
    connection.execute(f"UPDATE mode_marts.{name} SET {BREAKS[name, check]} WHERE {one}")
    broken = {
        found: violations(DuckDBWarehouse(connection), MODELS[name], found, Workspace(), NOW)
        for found in MODELS[name].checks
    }
    assert {found: violated.count for found, violated in broken.items() if violated.count} == {check: 1}


def test_every_check_of_these_models_is_broken_once():
    assert set(BREAKS) == {(name, check) for name in USAGE for check in MODELS[name].checks}
