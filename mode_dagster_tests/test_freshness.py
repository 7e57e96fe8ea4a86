"""How old a load and its data may get: policies of the families, and checks that find what is behind."""

import os
import subprocess
import sys
from datetime import timedelta

import dagster as dg
import pytest

from mode_dagster.assets import build_assets
from mode_dagster.extract.endpoints import Family
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.freshness import DAILY, LIMITS
from mode_dagster.models import build_models
from mode_dagster.references.assets import build_references
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report import build_workspace_report
from mode_dagster_tests.loaded_file import File, file

__all__ = ["file"]

NOW = "TIMESTAMPTZ '2026-06-17 12:20:00+00'"
REPORT = "(SELECT min(report_token) FROM charts WHERE report_token IN (SELECT token FROM reports))"
OF_IT = f"WHERE token = {REPORT}"


@pytest.mark.parametrize("family", Family)
def test_every_family_has_a_policy_that_a_late_run_does_not_break(family):
    usual = timedelta(hours=1) if family is Family.RUNS else timedelta(days=1)
    policy = LIMITS[family].policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert usual < policy.warn_window.to_timedelta() < policy.fail_window.to_timedelta()
    assert policy.fail_window.to_timedelta() > 2 * usual


def test_the_ledger_follows_every_load_and_models_the_daily_one():
    ledger = build_assets().specs_by_key[Workspace().table_key(LEDGER)]
    assert ledger.freshness_policy == LIMITS[Family.RUNS].policy
    marts = [*build_models(Workspace()), build_references(Workspace()), build_workspace_report(Workspace())]
    assert all(spec.freshness_policy == DAILY.policy for made in marts for spec in made.specs)
    assert set(LIMITS) == set(Family)


@pytest.mark.slow
def test_definitions_use_nothing_that_dagster_is_about_to_drop():
    code = """
import re, warnings
warnings.simplefilter("error")
for module in ("dagster", "dagster_shared"):
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=module)
warnings.filterwarnings("ignore", message="The `__fields__` attribute is deprecated")
import dagster as dg
from mode_dagster.checks import build_table_checks
from mode_dagster.freshness import DAILY
from mode_dagster.workspace import Workspace
build_table_checks(Workspace())
dg.AssetSpec("a", freshness_policy=DAILY.policy)
import mode_dagster.definitions
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def of_one_schedule(**values: str) -> str:
    """One schedule of a report that is not archived, changed, as if none of its runs were loaded since it was due."""
    live = "JOIN reports AS r ON r.token = s.report_token WHERE NOT coalesce(r.archived, FALSE)"
    changes = ", ".join(f"{name} = {value}" for name, value in values.items())
    return (
        f"UPDATE report_schedules SET {changes} WHERE token = (SELECT min(s.token) FROM report_schedules AS s {live})"
    )


OVERDUE = of_one_schedule(next_scheduled_run=f"{NOW} - INTERVAL 2 HOUR", last_run_at=f"{NOW} - INTERVAL 2 DAY")
LEFT_OUT = of_one_schedule(
    next_scheduled_run=f"{NOW} + INTERVAL 1 DAY",
    last_scheduled_run=f"{NOW} - INTERVAL 2 HOUR",
    last_run_at=f"{NOW} - INTERVAL 2 DAY",
)
NO_RUNS_OF_SCHEDULES = "UPDATE runs SET report_schedule_token = NULL"
EDITED = f"UPDATE reports SET edited_at = {NOW} - INTERVAL 31 HOUR {OF_IT}"
READ_BEFORE = f"UPDATE {LEDGER} SET read_at = {NOW} - INTERVAL 32 HOUR WHERE endpoint = '{{0}}' AND parent = {REPORT}"
CHARTS = f"SELECT token FROM queries WHERE report_token = {REPORT}"
BEHIND = [
    ("runs", "newest_run_is_loaded", [f"UPDATE reports SET last_run_at = last_run_at + INTERVAL 61 MINUTE {OF_IT}"]),
    ("dataset_runs", "newest_run_is_loaded", ["UPDATE datasets SET last_run_at = last_run_at + INTERVAL 2 HOUR"]),
    ("queries", "edits_are_loaded", [EDITED, READ_BEFORE.format("queries")]),
    ("report_filters", "edits_are_loaded", [EDITED, READ_BEFORE.format("report_filters")]),
    ("queries", "edits_are_loaded", [EDITED, f"DELETE FROM {LEDGER} WHERE endpoint = 'queries'"]),
    (
        "charts",
        "edits_are_loaded",
        [EDITED, f"DELETE FROM {LEDGER} WHERE endpoint = 'charts' AND parent IN ({CHARTS})"],
    ),
    ("audit_logs", "newest_event_is_recent", ['UPDATE audit_logs SET "timestamp" = "timestamp" - INTERVAL 8 DAY']),
    ("audit_logs", "newest_event_is_recent", ["DELETE FROM audit_logs"]),
    ("report_schedules", "schedules_ran_on_time", [OVERDUE, NO_RUNS_OF_SCHEDULES]),
    ("report_schedules", "schedules_ran_on_time", [LEFT_OUT, NO_RUNS_OF_SCHEDULES]),
    (
        "dataset_schedules",
        "schedules_ran_on_time",
        [
            f"UPDATE dataset_schedules SET next_scheduled_run = {NOW} - INTERVAL 2 HOUR",
            f"UPDATE dataset_schedules SET last_run_at = {NOW} - INTERVAL 2 DAY",
            "UPDATE dataset_runs SET report_schedule_token = NULL",
        ],
    ),
    (
        LEDGER,
        "lists_were_read_lately",
        [f"UPDATE {LEDGER} SET read_at = read_at - INTERVAL 31 HOUR WHERE endpoint = 'memberships'"],
    ),
]


@pytest.mark.parametrize(("table", "check", "statements"), BEHIND, ids=[f"{t}.{c}" for t, c, _ in BEHIND])
def test_what_is_behind_is_found_by_its_check_alone(file: File, table, check, statements):
    file.change(*statements)
    found = file.look(table)
    assert [name for name, finding in found.items() if not finding.passed] == [check]
    assert found[check].rows or table == "audit_logs"


def test_a_late_schedule_is_shown_without_the_name_of_a_person(file: File):
    file.change(OVERDUE, NO_RUNS_OF_SCHEDULES, "UPDATE reports SET creator_username = 'jane.doe'")
    late = file.look("report_schedules")["schedules_ran_on_time"]
    assert late.rows
    assert "jane.doe" not in str(late)


NO_RUNS = f"DELETE FROM runs WHERE report_token = {REPORT}"
FIVE_DAYS = f"UPDATE {LEDGER} SET version = '{{\"history_days\": 5}}' WHERE endpoint = 'runs' AND parent = {REPORT}"
ONE_LIST = f"SELECT * REPLACE ('' AS parent) FROM {LEDGER} WHERE endpoint = 'queries' AND parent <> {REPORT} LIMIT 1"
ANOTHER_MODE = f"SELECT * REPLACE ('' AS parent, read_at - INTERVAL 90 DAY AS read_at) FROM {LEDGER}"
UNCHANGED = "('queries', 'runs', 'query_runs', 'space_permissions')"
OVERDUE_ONE = "(SELECT arg_min(token, next_scheduled_run) FROM report_schedules)"
ITS_RUN = f"created_at = {NOW} - INTERVAL 2 HOUR WHERE token = (SELECT min(token) FROM runs)"


def refused(table: str) -> str:
    return f"UPDATE {LEDGER} SET outcome = 'refused' WHERE endpoint = '{table}'"


FINE = {
    "runs: an hour is no difference": [f"UPDATE reports SET last_run_at = last_run_at + INTERVAL 59 MINUTE {OF_IT}"],
    "runs: Mode does not say": [f"UPDATE reports SET last_run_at = NULL {OF_IT}", NO_RUNS],
    "runs: older than wanted": [
        FIVE_DAYS,
        NO_RUNS,
        f"UPDATE reports SET last_run_at = {NOW} - INTERVAL 6 DAY {OF_IT}",
    ],
    "runs: refused": [NO_RUNS, refused("runs")],
    "queries: edited after the last daily load": [EDITED.replace("31 HOUR", "29 HOUR"), READ_BEFORE.format("queries")],
    "queries: refused": [EDITED, READ_BEFORE.format("queries"), refused("queries")],
    "queries: read as one list": [
        EDITED,
        READ_BEFORE.format("queries"),
        f"INSERT INTO {LEDGER} BY NAME {ONE_LIST}",
    ],
    "audit_logs: refused": ["DELETE FROM audit_logs", refused("audit_logs")],
    "report_schedules: within the hour": [of_one_schedule(next_scheduled_run=f"{NOW} - INTERVAL 59 MINUTE")],
    "report_schedules: archived": [OVERDUE, NO_RUNS_OF_SCHEDULES, "UPDATE reports SET archived = TRUE"],
    "report_schedules: ran a little early": [
        of_one_schedule(next_scheduled_run=f"{NOW} - INTERVAL 2 HOUR", last_run_at=f"{NOW} - INTERVAL 124 MINUTE")
    ],
    "report_schedules: its run is loaded": [
        OVERDUE,
        f"UPDATE runs SET report_schedule_token = {OVERDUE_ONE}, {ITS_RUN}",
    ],
    "report_schedules: its run is not loaded": [
        OVERDUE,
        "DELETE FROM runs",
        f"UPDATE reports SET last_run_at = {NOW} - INTERVAL 1 HOUR",
    ],
    "report_schedules: Mode names no schedule": [
        "UPDATE report_schedules SET last_run_at = NULL",
        NO_RUNS_OF_SCHEDULES,
    ],
    "sync_ledger: a list that did not change is not read again": [
        f"UPDATE {LEDGER} SET read_at = read_at - INTERVAL 90 DAY WHERE endpoint IN {UNCHANGED}"
    ],
    "sync_ledger: left behind by another listing mode": [
        f"INSERT INTO {LEDGER} BY NAME {ANOTHER_MODE} WHERE endpoint = 'reports' LIMIT 1"
    ],
}
RECENCY = {
    "newest_run_is_loaded",
    "edits_are_loaded",
    "newest_event_is_recent",
    "schedules_ran_on_time",
    "lists_were_read_lately",
}


@pytest.mark.parametrize(("case", "statements"), FINE.items(), ids=FINE)
def test_what_can_not_be_told_or_is_not_due_yet_is_no_alarm(file: File, case, statements):
    file.change(*statements)
    looked = {name: finding for name, finding in file.look(case.split(":")[0]).items() if name in RECENCY}
    assert looked
    assert all(finding.passed for finding in looked.values()), looked
