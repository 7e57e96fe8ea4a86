"""What the workspace report tells, read from the SQL models.

Here: the questions, as SQL on the models' tables; answers as plain rows.
Not here: how they look (`page`, `charts`), how each number comes about (`mode_dagster.models`).
"""

# ruff: noqa: S608 - names are the workspace's own

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mode_dagster.extract.ledger import LEDGER
from mode_dagster.models.build import need_tables
from mode_dagster.warehouse import MissingError, Warehouse
from mode_dagster.workspace import Workspace

Row = Mapping[str, Any]

DAYS = 90
WEEK = 7
MOST = 10
NEEDED = (
    *("workspace_daily", "report_catalogue", "report_health", "query_performance"),
    *("schedule_load", "late_reports", "stale_reports"),
)
TABLE_USAGE = "table_usage"
"""The report does without it: that parsing query texts failed is no reason to have none of the other numbers."""
READS = (*NEEDED, TABLE_USAGE)
"""The models that the report reads."""

QUESTIONS: Mapping[str, str] = {
    "days": """
        SELECT day, runs, succeeded_runs, failed_runs, run_minutes
        FROM {marts}.workspace_daily
        WHERE day > (SELECT MAX(day) FROM {marts}.workspace_daily) - {days}
            AND day >= (SELECT MIN(day) FROM {marts}.workspace_daily WHERE runs > 0)
        ORDER BY day
    """,
    "failing": """
        SELECT report_name, web_url, owner_username, failing_since, failing_streak, last_error_code,
            last_error_message, last_succeeded_at
        FROM {marts}.report_health
        WHERE is_failing AND NOT is_archived
        ORDER BY failing_since DESC, report_token
    """,
    "late": """
        SELECT late.schedule_name, late.report_name, late.web_url, catalogue.owner_username, late.expected_by,
            late.minutes_late, late.outcome, late.last_succeeded_at
        FROM {marts}.late_reports AS late
        LEFT JOIN {marts}.report_catalogue AS catalogue ON catalogue.report_token = late.report_token
        WHERE late.is_late
        ORDER BY late.minutes_late DESC, late.schedule_token
    """,
    "slow_reports": """
        SELECT report_name, web_url, owner_username, p50_duration_seconds, p95_duration_seconds, run_minutes_30d
        FROM {marts}.report_health
        WHERE p95_duration_seconds IS NOT NULL AND NOT is_archived
        ORDER BY p95_duration_seconds DESC, report_token
        LIMIT {most}
    """,
    "slow_queries": """
        SELECT queries.query_name, queries.report_name, catalogue.web_url, queries.data_source_name,
            queries.runs_30d, queries.p50_seconds_30d, queries.p95_seconds_30d, queries.p50_change
        FROM {marts}.query_performance AS queries
        LEFT JOIN {marts}.report_catalogue AS catalogue ON catalogue.report_token = queries.report_token
        WHERE queries.p95_seconds_30d IS NOT NULL AND catalogue.state = 'active'
        ORDER BY queries.p95_seconds_30d DESC, queries.query_token
        LIMIT {most}
    """,
    "hours": """
        SELECT hour_of_week, weekday, hour, SUM(runs_per_week) AS runs_per_week,
            SUM(run_minutes_per_week) AS run_minutes_per_week, MAX(most_at_once) AS most_at_once
        FROM {marts}.schedule_load
        GROUP BY hour_of_week, weekday, hour
        ORDER BY hour_of_week
    """,
    "stale": """
        SELECT report_name, web_url, owner_username, reason, unused_days, run_minutes_30d, subscribers
        FROM {marts}.stale_reports
        ORDER BY run_minutes_30d DESC NULLS LAST, unused_days DESC, report_token
    """,
}
MOST_USED = """
    SELECT qualified_name, warehouse, reports, queries, owners, subscribers, runs_30d
    FROM {marts}.table_usage
    WHERE reports > 0
    ORDER BY reports DESC, queries DESC, qualified_name, warehouse
    LIMIT {most}
"""


@dataclass(frozen=True)
class Facts:
    """Everything that the page says."""

    name: str
    """The workspace, as Mode calls it; empty where that is not known, or not the only one."""
    synced_at: datetime | None
    """When Mode was last asked for a list."""
    active_reports: int
    days: Sequence[Row]
    """The last days, up to today; none before the first known run."""
    failing: Sequence[Row]
    late: Sequence[Row]
    slow_reports: Sequence[Row]
    slow_queries: Sequence[Row]
    hours: Sequence[Row]
    """Hours of the week in which schedules start runs."""
    stale: Sequence[Row]
    tables: Sequence[Row] | None
    """Tables that queries read; None where that was never made."""

    @property
    def week(self) -> Mapping[str, float]:
        """Sums over the last seven days, today included."""
        return {
            name: sum(day[name] or 0 for day in self.days[-WEEK:]) for name in ("runs", "failed_runs", "run_minutes")
        }

    @property
    def stale_minutes(self) -> float:
        """Run minutes in 30 days that archiving all stale reports would save."""
        return sum(report["run_minutes_30d"] or 0 for report in self.stale)


def read_facts(warehouse: Warehouse, workspace: Workspace) -> Facts:
    """Asks all questions.

    Raises:
        ModelError: A model's table is missing.
    """
    need_tables(warehouse, workspace, "write the workspace report", models=NEEDED)
    words = {"marts": workspace.marts, "days": DAYS, "most": MOST}
    answers = {name: warehouse.query(sql.format(**words)).by_name() for name, sql in QUESTIONS.items()}
    has_usage = TABLE_USAGE in warehouse.tables(workspace.marts)
    catalogue = f"{workspace.marts}.report_catalogue"
    (active,) = warehouse.query(f"SELECT COUNT(*) FROM {catalogue} WHERE state = 'active'").first
    return Facts(
        name=_loaded(warehouse, workspace, "workspaces", "CASE WHEN COUNT(*) = 1 THEN MAX(name) END") or "",
        synced_at=_loaded(warehouse, workspace, LEDGER, "MAX(read_at)"),
        active_reports=active,
        tables=warehouse.query(MOST_USED.format(**words)).by_name() if has_usage else None,
        **answers,
    )


def _loaded(warehouse: Warehouse, workspace: Workspace, table: str, aggregate: str) -> Any:
    """One value of a loaded table; None where the table is missing or says nothing."""
    try:
        return warehouse.query(f"SELECT {aggregate} FROM {workspace.dataset}.{table}").first[0]
    except MissingError:
        return None
