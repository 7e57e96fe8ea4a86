"""Models about reports, runs, queries and days: known rows in, answers that can be counted by hand out."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.models.statement import reads
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.known_rows import found, known_rows
from mode_dagster_tests.test_models_usage import USAGE

ONLY = Workspace()


def build(connection: duckdb.DuckDBPyConnection, name: str, now: datetime = NOON) -> list[dict[str, Any]]:
    """The rows of a model, after the models that it reads; its checks hold."""
    model = MODELS[name]
    for upstream in reads(model).models:
        build(connection, upstream, now)
    run_model(DuckDBWarehouse(connection), model, ONLY, now)
    for check in (key_check(model), *model.checks):
        assert violations(DuckDBWarehouse(connection), model, check, ONLY, now).rows == [], check
    return found(connection, f"SELECT * FROM mode_marts.{name} ORDER BY {', '.join(model.key)}")


@pytest.fixture
def answers():
    """Puts rows in, gives the rows of a model."""

    def run(model: str, **rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with duckdb.connect() as connection:
            known_rows(connection, **rows)
            return build(connection, model)

    return run


def ago(days: float = 0, seconds: float = 0) -> datetime:
    return NOON - timedelta(days=days, seconds=seconds)


def run(token: str, days: float, state: str = "succeeded", seconds: float | None = 60, **more: Any) -> dict[str, Any]:
    """A run of report r1 that began some days ago."""
    end = None if seconds is None else ago(days) + timedelta(seconds=seconds)
    return {"token": token, "report_token": "r1", "state": state, "created_at": ago(days), "completed_at": end, **more}


def query_run(token: str, days: float, state: str = "succeeded", seconds: float = 10, **more: Any) -> dict[str, Any]:
    """A run of query q1 of report r1."""
    return {**run(token, days, state, seconds), "query_token": "q1", **more}


MINE = ["report_owners", "report_catalogue", "run_facts", "report_health", "query_performance", "workspace_daily"]


@pytest.mark.parametrize("model", MINE)
def test_without_any_row_there_is_no_answer_and_no_error(answers, model):
    assert answers(model) == []


@pytest.mark.parametrize("model", MINE)
def test_rows_that_say_nothing_but_their_key_are_no_error(answers, model):
    rows = answers(
        model,
        reports=[{"token": "r1"}],
        runs=[{"token": "a", "report_token": "r1"}, {"token": "b"}],
        query_runs=[{"token": "c", "run_token": "a"}, {"token": "d"}],
        queries=[{"token": "q1"}],
    )
    assert len(rows) == {"report_owners": 1, "report_catalogue": 1, "run_facts": 2}.get(model, 0)


# run_facts


def test_a_run_is_timed_from_its_own_clock_and_its_first_query(answers):
    (fact,) = answers(
        "run_facts",
        reports=[{"token": "r1", "name": "Sales"}],
        runs=[run("a", 1, seconds=90.5)],
        query_runs=[
            query_run("x", 1, run_token="a", created_at=ago(1, -7)),
            query_run("y", 1, run_token="a", created_at=ago(1, -2.25)),
        ],
    )
    assert (fact["report_name"], fact["outcome"], fact["is_finished"]) == ("Sales", "succeeded", True)
    assert (fact["duration_seconds"], fact["queue_seconds"], fact["queries"]) == (90.5, 2.25, 2)
    assert (fact["failed_queries"], fact["error_code"], fact["is_purged"]) == (0, None, False)


def test_what_is_not_known_of_a_run_is_empty_not_zero(answers):
    (fact,) = answers("run_facts", runs=[run("a", 1, "pending", seconds=None)])
    assert (fact["outcome"], fact["is_finished"]) == ("unfinished", False)
    unknown = ("duration_seconds", "queue_seconds", "queries", "failed_queries", "is_report_deleted", "report_name")
    assert [fact[name] for name in unknown] == [None] * 6


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("succeeded", "succeeded"),
        ("completed", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("enqueued", "unfinished"),
        ("running_notebook", "unfinished"),
        ("brand_new", "unknown"),
        (None, "unknown"),
    ],
)
def test_states_become_outcomes(answers, state, outcome):
    (fact,) = answers("run_facts", runs=[run("a", 1, state, None if outcome == "unfinished" else 60)])
    assert fact["outcome"] == outcome


@pytest.mark.parametrize(
    ("who", "trigger"),
    [
        ({"report_schedule_token": "s1", "executed_by_username": "ada"}, "scheduled"),
        ({"executed_by_username": "ada"}, "manual"),
        ({"executed_by_username": "never_met"}, "manual"),
        ({"executed_by_username": "acme"}, "api"),
        ({"executed_by_username": "robot"}, "api"),
        ({}, "unknown"),
    ],
    ids=["schedule", "person", "unknown person", "workspace", "no person", "nobody"],
)
def test_what_started_a_run(answers, who, trigger):
    (fact,) = answers(
        "run_facts",
        runs=[run("a", 1, **who)],
        users=[{"token": "u1", "username": "ada", "user": True}, {"token": "u2", "username": "robot", "user": False}],
        workspaces=[{"token": "w", "username": "acme"}],
    )
    assert fact["trigger"] == trigger


def test_the_error_is_that_of_the_query_that_failed_first(answers):
    (fact,) = answers(
        "run_facts",
        runs=[run("a", 1, "failed")],
        query_runs=[
            query_run("x", 1, run_token="a", seconds=1),
            query_run("y", 1, "failed", 50, run_token="a", query_token="q2", error_code="QueryTimeout"),
            query_run(
                "z", 1, "failed", 5, run_token="a", query_token="q3", error_code="SqlSyntaxError", query_name="Q"
            ),
            query_run("o", 1, "failed", 1, run_token="another", error_code="ResourceFailure"),
        ],
    )
    assert (fact["error_code"], fact["error_query_token"], fact["error_query_name"]) == ("SqlSyntaxError", "q3", "Q")
    assert (fact["queries"], fact["failed_queries"]) == (3, 2)


def test_runs_of_deleted_reports_and_purged_results_stay(answers):
    (fact,) = answers(
        "run_facts",
        reports=[{"token": "r1", "deleted_at": ago(1)}],
        runs=[run("a", 50, purge_completed_at=ago(2))],
    )
    assert fact["is_report_deleted"]
    assert fact["is_purged"]


# report_owners


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("members", {"member_token": "m", "member_username": "ada", "member_email": "ada@example.com"}),
        ("memberships", {"member_token": "m", "member_username": "ada", "email": "ada@example.com"}),
        ("users", {"token": "u", "username": "ada", "email": "ada@example.com"}),
    ],
)
def test_an_owner_is_the_same_to_every_model_whoever_tells_the_username(answers, table, columns):
    def of(model: str) -> list[Any]:
        rows = answers(
            model,
            reports=[{"token": "r1", "creator_email": "ada@example.com"}],
            datasets=[{"token": "d1", "creator_email": "ada@example.com"}],
            runs=[run("a", 1)],
            **{table: [columns]},
        )
        return [row["owner_username"] for row in rows]

    assert (of("report_owners"), of("report_catalogue"), of("report_health")) == (["ada", "ada"], ["ada"], ["ada"])


def test_who_gets_a_report_is_counted_once_though_mode_tells_it_twice(answers):
    silent, told = answers(
        "report_owners",
        reports=[{"token": "r1"}, {"token": "r2"}],
        datasets=[{"token": "r1", "creator_username": "ada"}],
        report_schedules=[
            {"token": "s1", "report_token": "r2", "subscriber_count": 2},
            {"token": "s2", "report_token": "r2", "subscriber_count": 3},
            {"token": "s3", "report_token": "r2", "subscriber_count": 9, "deleted_at": ago(1)},
        ],
        report_subscriptions=[{"token": "b1", "report_token": "r2", "email_subscriber_count": 4}],
    )
    assert silent == {"report_token": "r1", "owner_username": "ada", "schedules": None, "subscribers": None}
    assert told == {"report_token": "r2", "owner_username": None, "schedules": 2, "subscribers": 5}


# report_catalogue


def test_a_report_shows_where_it_is_whose_it_is_and_what_it_queries(answers):
    (report,) = answers(
        "report_catalogue",
        spaces=[{"token": "s1", "name": "Finance", "space_type": "custom"}],
        reports=[
            {
                "token": "r1",
                "name": "Sales",
                "space_token": "s1",
                "creator_username": "ada",
                "query_count": 3,
                "schedules_count": 0,
                "view_count": 12,
            }
        ],
        memberships=[{"member_token": "u1", "member_username": "ada"}],
        users=[{"token": "u1", "username": "ada", "name": "Ada Marlow"}],
        data_sources=[
            {"token": "d1", "id": "1", "name": "prod_1", "display_name": "Warehouse"},
            {"token": "d2", "id": "2", "name": "Lake"},
        ],
        queries=[
            {"token": "q1", "report_token": "r1", "data_source_id": "1"},
            {"token": "q2", "report_token": "r1", "data_source_token": "d2"},
            {"token": "q3", "report_token": "r1", "data_source_id": "1"},
            {"token": "q4", "report_token": "r1", "data_source_id": "3", "deleted_at": ago(1)},
        ],
        charts=[{"token": "c1", "report_token": "r1"}, {"token": "c2", "report_token": "r1", "deleted_at": ago(1)}],
        runs=[run("a", 2), run("b", 1, "failed")],
    )
    assert (report["collection_name"], report["owner_name"], report["is_owner_member"]) == (
        "Finance",
        "Ada Marlow",
        True,
    )
    assert (report["data_source_names"], report["data_sources"]) == ("Lake, Warehouse", 2)
    counts = [report[name] for name in ("queries", "charts", "schedules", "runs", "views")]
    assert counts == [3, 1, 0, 2, 12]
    assert (report["last_run_at"], report["last_succeeded_at"]) == (ago(1), ago(2, -60))
    assert (report["state"], report["deleted_at"]) == ("active", None)


def test_counters_of_mode_win_over_loaded_rows_and_unknown_stays_unknown(answers):
    counted, unknown = answers(
        "report_catalogue",
        reports=[{"token": "r1", "runs_count": 500}, {"token": "r2"}],
        runs=[run("a", 1)],
    )
    assert counted["runs"] == 500
    assert [unknown[name] for name in ("queries", "charts", "schedules", "runs", "views")] == [None] * 5


@pytest.mark.parametrize(
    ("memberships", "is_member"),
    [
        ([{"member_token": "u1", "member_username": "ada"}], True),
        ([{"member_token": "u2", "member_username": "ben"}], False),
        ([{"member_token": "u1", "member_username": "ada", "deleted_at": ago(3)}], False),
        ([{"member_token": "u1", "member_username": "ada", "invited": True}], False),
        ([], None),
    ],
    ids=["member", "never", "left", "invited", "not listed"],
)
def test_owners_who_left_are_told_from_unlisted_members(answers, memberships, is_member):
    somebody = [{"member_token": "u9", "member_username": "zoe"}] if memberships else []
    (report,) = answers(
        "report_catalogue",
        reports=[{"token": "r1", "creator_username": "ada"}],
        memberships=[*memberships, *somebody],
    )
    assert report["is_owner_member"] is is_member


@pytest.mark.parametrize(("banned_at", "is_member"), [(None, True), (ago(3), False)], ids=["member", "removed"])
def test_owners_are_found_among_the_members_that_only_discovery_lists(answers, banned_at, is_member):
    (report,) = answers(
        "report_catalogue",
        reports=[{"token": "r1", "creator_username": "ada"}],
        members=[{"member_token": "u1", "member_username": "ada", "banned_at": banned_at}],
    )
    assert report["is_owner_member"] is is_member


OF_THE_WORKSPACE = {
    "the workspace": {"workspaces": [{"token": "w", "username": "acme"}]},
    "a user that is no person": {"users": [{"token": "w", "username": "acme", "user": False}]},
}


@pytest.mark.parametrize("account", OF_THE_WORKSPACE.values(), ids=OF_THE_WORKSPACE)
def test_the_workspaces_own_account_is_no_owner_who_left(answers, account):
    rows = {
        "reports": [{"token": "r1", "creator_username": "acme"}, {"token": "r2", "creator_username": "ben"}],
        "memberships": [{"member_token": "u1", "member_username": "ada"}],
        **account,
    }
    reports = [(row["owner_username"], row["is_owner_member"]) for row in answers("report_catalogue", **rows)]
    assert reports == [("acme", None), ("ben", False)]
    assert [person["username"] for person in answers("people_activity", **rows)] == ["ada", "ben"]


@pytest.mark.parametrize("model", ["report_catalogue", "report_health"])
def test_an_owner_known_by_e_mail_only_is_looked_up(answers, model):
    report = {"token": "r1", "creator_email": "ada@example.com"}
    member = {"member_token": "m", "member_username": "ada", "member_email": "ada@example.com"}
    (row,) = answers(model, reports=[report], runs=[run("a", 1)], members=[member])
    assert row["owner_username"] == "ada"
    report["creator_email"] = "ben@example.com"
    (row,) = answers(model, reports=[report], runs=[run("a", 1)], members=[member])
    assert row["owner_username"] == "ben@example.com"


def test_archived_and_deleted_reports_stay_in_the_catalogue(answers):
    archived, deleted = answers(
        "report_catalogue",
        reports=[{"token": "r1", "archived": True}, {"token": "r2", "archived": True, "deleted_at": ago(1)}],
        data_sources=[{"token": "d1", "id": "1", "name": "Lake"}],
        queries=[{"token": "q1", "report_token": "r2", "data_source_id": "1", "deleted_at": ago(1)}],
    )
    assert archived["state"] == "archived"
    assert (deleted["state"], deleted["deleted_at"], deleted["data_source_names"]) == ("deleted", ago(1), "Lake")


# report_health


def test_rates_are_of_what_succeeded_or_failed_in_the_window(answers):
    (health,) = answers(
        "report_health",
        reports=[{"token": "r1", "name": "Sales"}],
        runs=[
            run("a", 1, seconds=100),
            run("b", 2, "failed", 10),
            run("c", 3, "cancelled", 50),
            run("d", 6.9, "completed", 200),
            run("e", 29, seconds=300),
            run("f", 80, seconds=9000),
            run("g", 100, "failed"),
            run("h", 0, "pending", None),
        ],
    )
    assert [health[f"runs_{days}d"] for days in (7, 30, 90)] == [3, 4, 5]
    assert [health[f"success_rate_{days}d"] for days in (7, 30, 90)] == [pytest.approx(2 / 3), 0.75, 0.8]
    assert (health["p50_duration_seconds"], health["p95_duration_seconds"]) == (200, pytest.approx(290))
    assert health["run_minutes_30d"] == 11
    assert (health["is_failing"], health["failing_streak"], health["failing_since"]) == (False, 0, None)
    assert health["last_failed_at"] == ago(2, -10)


def test_a_streak_begins_after_the_last_success_whatever_was_cancelled(answers):
    (health,) = answers(
        "report_health",
        reports=[{"token": "r1"}],
        runs=[
            run("a", 9, "failed"),
            run("b", 8),
            run("c", 7, "failed"),
            run("d", 6, "cancelled"),
            run("e", 5, "failed"),
            run("f", 4, "pending", None),
        ],
        query_runs=[query_run("x", 5, "failed", run_token="e", error_code="QueryTimeout", error_message="600 s")],
    )
    assert (health["is_failing"], health["failing_streak"], health["failing_since"]) == (True, 2, ago(7))
    assert (health["last_error_code"], health["last_error_message"]) == ("QueryTimeout", "600 s")
    assert health["last_succeeded_at"] == ago(8, -60)


def test_a_report_that_never_succeeded_is_failing_since_its_first_run(answers):
    (health,) = answers(
        "report_health", reports=[{"token": "r1"}], runs=[run("a", 200, "failed"), run("b", 1, "failed")]
    )
    assert (health["failing_streak"], health["failing_since"]) == (2, ago(200))
    assert (health["last_succeeded_at"], health["p50_duration_seconds"]) == (None, None)
    assert health["success_rate_90d"] == 0


def test_reports_that_are_gone_or_never_ran_have_no_health(answers):
    assert (
        answers(
            "report_health",
            reports=[{"token": "r1", "deleted_at": ago(1)}, {"token": "r2"}],
            runs=[run("a", 5), run("b", 5, report_token="never loaded")],
        )
        == []
    )


# query_performance

QUERY = {"queries": [{"token": "q1", "name": "Margin", "report_token": "r1"}], "reports": [{"token": "r1"}]}


def test_a_query_is_compared_with_itself_a_month_ago(answers):
    (query,) = answers(
        "query_performance",
        **QUERY,
        data_sources=[{"token": "d1", "id": "1", "name": "Old"}, {"token": "d2", "id": "2", "name": "New"}],
        query_runs=[
            query_run("a", 1, seconds=10, data_source_id="2"),
            query_run("b", 2, seconds=20, data_source_token="d1"),
            query_run("c", 29, "completed", 30, data_source_token="d1"),
            query_run("d", 3, "failed", 999),
            query_run("e", 3, "cancelled", 1),
            query_run("f", 40, seconds=8),
            query_run("g", 59, seconds=12),
            query_run("h", 61, seconds=500),
            query_run("i", 0, "running", 1),
        ],
    )
    assert [query[name] for name in ("runs_30d", "succeeded_30d", "failed_30d", "succeeded_before")] == [5, 3, 1, 2]
    assert (query["p50_seconds_30d"], query["p95_seconds_30d"]) == (20, pytest.approx(29))
    assert (query["p50_seconds_before"], query["p50_change"]) == (10, 1)
    assert query["total_minutes_30d"] == pytest.approx(1060 / 60)
    assert (query["data_source_name"], query["last_run_at"]) == ("New", ago(1))


def test_errors_are_counted_by_kind_the_most_frequent_first(answers):
    (query,) = answers(
        "query_performance",
        **QUERY,
        query_runs=[
            *(query_run(f"t{n}", n, "failed", error_code="QueryTimeout") for n in range(3)),
            query_run("s", 1, "failed", error_code="SqlSyntaxError"),
            query_run("u", 1, "failed"),
            *(query_run(f"o{n}", 40, "failed", error_code="ResourceFailure") for n in range(9)),
        ],
    )
    assert (query["top_error_code"], query["top_error_count"]) == ("QueryTimeout", 3)
    assert query["error_counts"] == "QueryTimeout: 3, SqlSyntaxError: 1, unknown: 1"
    assert (query["p50_seconds_30d"], query["p50_change"]) == (None, None)


@pytest.mark.parametrize(
    "rows",
    [
        {"queries": [{"token": "q1", "report_token": "r1", "deleted_at": ago(1)}], "reports": [{"token": "r1"}]},
        {"queries": QUERY["queries"], "reports": [{"token": "r1", "deleted_at": ago(1)}]},
        {"reports": [{"token": "r1"}]},
    ],
    ids=["query deleted", "report deleted", "query unknown"],
)
def test_queries_that_are_gone_are_left_out(answers, rows):
    assert answers("query_performance", **rows, query_runs=[query_run("a", 1)]) == []


# workspace_daily


def test_days_are_utc_and_have_no_gap(answers):
    days = answers(
        "workspace_daily",
        runs=[
            run("a", 0, created_at="2026-06-14 23:59:59", completed_at="2026-06-15 00:01:59"),
            run("b", 0, "failed", created_at="2026-06-16 00:00:00", completed_at="2026-06-16 00:01"),
            run("c", 0, created_at="2026-06-16 05:00:00", completed_at=None, report_schedule_token="s"),
        ],
    )
    assert [row["day"] for row in days] == [date(2026, 6, 14) + timedelta(days=n) for n in range(4)]
    assert [row["runs"] for row in days] == [1, 0, 2, 0]
    assert [row["failed_runs"] for row in days] == [0, 0, 1, 0]
    assert [row["scheduled_runs"] for row in days] == [0, 0, 1, 0]
    assert [row["run_minutes"] for row in days] == [2, 0, 1, 0]


def test_reports_exist_from_their_creation_to_their_deletion(answers):
    days = answers(
        "workspace_daily",
        reports=[
            {"token": "r1", "created_at": "2026-06-14 08:00"},
            {"token": "r2", "created_at": "2026-06-15 08:00", "deleted_at": "2026-06-17 01:00"},
            {"token": "r3", "created_at": "2026-06-15 09:00", "archived": True},
            {"token": "r4", "deleted_at": "2026-06-16 01:00"},
        ],
    )
    assert [row["reports"] for row in days] == [1, 3, 3, 2]


def test_people_are_counted_once_a_day_and_accounts_never(answers):
    days = answers(
        "workspace_daily",
        workspaces=[{"token": "w", "username": "acme"}],
        reports=[{"token": "r1", "created_at": "2026-06-16 08:00", "creator_username": "ada"}],
        runs=[
            run("a", 1, executed_by_username="ada"),
            run("b", 1, executed_by_username="ben"),
            run("c", 1, executed_by_username="cleo", report_schedule_token="s"),
            run("d", 1, executed_by_username="acme"),
            run("e", 0, executed_by_username="ada"),
        ],
        audit_logs=[
            {"id": "1", "timestamp": "2026-06-16 10:00", "actor_username": "dora"},
            {"id": "2", "timestamp": "2026-06-16 11:00", "actor_username": "acme"},
            {"id": "3", "timestamp": "2026-06-16 11:00"},
        ],
    )
    assert [row["active_people"] for row in days] == [3, 1]


@pytest.mark.parametrize("model", ["data_source_usage", "query_performance", "schedule_load"])
def test_a_data_source_has_the_name_that_people_see_in_every_model(answers, model):
    rows = answers(
        model,
        reports=[{"token": "r1"}],
        queries=[{"token": "q1", "report_token": "r1"}],
        data_sources=[{"token": "s1", "id": "1", "name": "conn_1", "display_name": "Warehouse"}],
        runs=[run("a", 7, report_schedule_token="s")],
        query_runs=[query_run("x", 7, run_token="a", data_source_id="1")],
    )
    assert [row["data_source_name"] for row in rows] == ["Warehouse"]


def test_whoever_made_a_report_was_active_by_e_mail_too(answers):
    days = answers(
        "workspace_daily",
        members=[{"member_token": "m", "member_username": "ada", "member_email": "ada@example.com"}],
        reports=[
            {"token": "r1", "created_at": "2026-06-17 08:00", "creator_email": "ada@example.com"},
            {"token": "r2", "created_at": "2026-06-17 08:00", "creator_email": "ben@example.com"},
        ],
        runs=[run("a", 0, executed_by_username="ada")],
    )
    assert [row["active_people"] for row in days] == [2]


# what their heads say must hold


@pytest.mark.parametrize(
    ("model", "check", "fault"),
    [
        ("run_facts", "duration_is_not_negative", "duration_seconds = -1"),
        ("run_facts", "queue_is_not_negative", "queue_seconds = -0.5"),
        ("run_facts", "outcome_fits_end", "outcome = 'unfinished', is_finished = FALSE"),
        ("report_owners", "counts_are_not_negative", "subscribers = -1"),
        ("report_catalogue", "deleted_has_a_time", "state = 'deleted'"),
        ("report_catalogue", "counts_are_not_negative", "views = -1"),
        ("report_health", "success_rates_are_shares", "success_rate_7d = 1.5"),
        ("report_health", "a_streak_has_a_beginning", "failing_since = '2026-06-01'"),
        ("report_health", "a_streak_is_of_failures", "failing_streak = 1"),
        ("query_performance", "parts_fit_the_whole", "failed_30d = 5"),
        ("query_performance", "median_is_below_p95", "p50_seconds_30d = 1000"),
        ("workspace_daily", "outcomes_fit_the_runs", "failed_runs = 5"),
        ("workspace_daily", "reports_are_not_negative", "reports = -1"),
    ],
)
def test_a_broken_row_breaks_its_check_and_no_other(model, check, fault):
    rows = {"runs": [run("a", 1)], "query_runs": [query_run("x", 1, run_token="a")]}
    with duckdb.connect() as connection:
        known_rows(connection, **QUERY, **rows)
        build(connection, model)
        connection.execute(f"UPDATE mode_marts.{model} SET {fault}")
        broken = {
            name
            for name in (key_check(MODELS[model]), *MODELS[model].checks)
            if violations(DuckDBWarehouse(connection), MODELS[model], name, ONLY, NOON).count
        }
    assert broken == {check}


def test_every_check_of_these_models_has_a_row_that_breaks_it():
    broken = {case[:2] for case in test_a_broken_row_breaks_its_check_and_no_other.pytestmark[0].args[1]}
    assert broken == {(model, check) for model in MINE for check in MODELS[model].checks}


def test_every_model_has_tests_on_known_rows():
    untested = {*MODELS} - {*MINE, *USAGE, "table_usage", "time_zones"}  # these two: test_references, test_models_usage
    assert not untested, "test it on known rows: in MINE here, or in USAGE of test_models_usage"


# all of them on the sandbox


def test_the_models_answer_for_the_sandbox_what_the_sandbox_did(sandbox, load_first, tmp_path):
    load_first(sandbox)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        rows = {model: build(connection, model, NOON) for model in MINE}
    reports = {row["report_token"]: row for row in rows["report_catalogue"]}
    assert sorted(reports) == sorted(sandbox.world.truth("reports"))
    assert sorted(row["run_token"] for row in rows["run_facts"]) == sorted(sandbox.world.truth("runs"))
    assert {"scheduled", "manual"} <= {row["trigger"] for row in rows["run_facts"]}
    assert all(row["data_sources"] for row in reports.values() if row["queries"])
    assert sum(row["runs"] for row in rows["workspace_daily"]) == len(rows["run_facts"])
    assert rows["workspace_daily"][-1]["day"] == NOON.date()
    assert rows["workspace_daily"][-1]["reports"] == len(reports)
    finished = {row["report_token"] for row in rows["run_facts"] if row["outcome"] in ("succeeded", "failed")}
    assert {row["report_token"] for row in rows["report_health"]} >= finished
    assert sum(row["failed_30d"] for row in rows["query_performance"]) > 0
