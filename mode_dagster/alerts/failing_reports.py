"""Which of Mode's reports used to work and fail now, and what is said of them.

Here: one query; its answer as a message and as observations.
Not here: what was told before (`sensors`), when a report fails (the model `report_health`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from mode_dagster.alerts.webhook import Message, escaped, link
from mode_dagster.warehouse.sql import literal
from mode_dagster.wording import clock
from mode_dagster.workspace import Workspace

REPORTS_TOLD = 20
"""At most so many reports are told one by one; the others are counted."""

QUERY = """
WITH failed AS (
    SELECT
        report_token,
        error_query_name,
        row_number() OVER (PARTITION BY report_token ORDER BY created_at DESC, run_token) AS place
    FROM {marts}.run_facts
    WHERE outcome = 'failed'
)
SELECT
    health.report_token AS token,
    coalesce(health.report_name, health.report_token) AS name,
    coalesce(health.web_url, '') AS address,
    coalesce(health.owner_username, '') AS owner,
    NOT health.is_failing AS works,
    health.failing_since AS since,
    coalesce(health.last_succeeded_at, reports.last_successfully_run_at) AS last_success,
    health.failing_streak AS failures,
    coalesce(failed.error_query_name, '') AS query,
    coalesce(health.last_error_code, '') AS error_code,
    coalesce(health.last_error_message, '') AS error
FROM {marts}.report_health AS health
JOIN {dataset}.reports AS reports ON reports.token = health.report_token
LEFT JOIN failed ON failed.report_token = health.report_token AND failed.place = 1
WHERE NOT health.is_archived
    AND (health.report_token IN ({told}) OR health.is_failing)
    AND coalesce(health.last_succeeded_at, reports.last_successfully_run_at) IS NOT NULL
ORDER BY health.failing_since DESC, health.report_token
"""


@dataclass(frozen=True)
class Report:
    """A report that fails now, or that failed when it was last looked at."""

    token: str
    name: str
    address: str
    owner: str
    works: bool
    since: datetime | None
    """Start of the first failed run after the last success."""
    last_success: datetime | None
    failures: int
    """Failed runs since then."""
    query: str
    """Query that failed first in the latest run, where that is loaded."""
    error_code: str
    error: str

    @property
    def does(self) -> str:
        """What it does now, and since when."""
        return f"works again since {clock(self.last_success)}" if self.works else f"fails since {clock(self.since)}"


def failing_reports(workspace: Workspace, told: Collection[str] = ()) -> list[Report]:
    """Reports that used to work and fail now, the newest failure first, and those of `told` whether they fail or not.

    Args:
        told: Tokens of reports that are known to fail.

    Raises:
        NoWarehouseError: Nothing is loaded yet, or a program is writing.
        MissingError: A table or model was never made.
    """
    told_to_fail = ", ".join(map(literal, told)) or "NULL"
    query = QUERY.format(marts=workspace.marts, dataset=workspace.dataset, told=told_to_fail)
    with workspace.read() as warehouse:
        return [Report(**row) for row in warehouse.query(query).by_name()]


def reports_message(began: Sequence[Report], again: Sequence[Report]) -> Message:
    """What is told of reports: those that began to fail, and those that work again."""
    counts = [
        f"{len(began)} of Mode's reports began to fail" if began else "",
        f"{len(again)} work again" if again else "",
    ]
    return Message(
        ", ".join(count for count in counts if count),
        [*map(_section, began[:REPORTS_TOLD]), *_rest(began), *map(_section, again[:REPORTS_TOLD]), *_rest(again)],
    )


def _section(report: Report) -> str:
    says = f"{link(report.address, report.name)} {report.does}"
    if report.works:
        return says
    why = " · ".join(part for part in (report.query, report.error_code, report.error) if part)
    return (
        f"{says}\nowner {escaped(report.owner or 'unknown')} · last success {clock(report.last_success)}\n"
        f"{escaped(why or 'Why is not loaded.')}"
    )


def _rest(reports: Sequence[Report]) -> list[str]:
    more = len(reports) - REPORTS_TOLD
    return [f"… and {more} more: see the model report_health."] if more > 0 else []


def observations(key: dg.AssetKey, reports: Sequence[Report]) -> list[dg.AssetObservation]:
    """One for each report, and one for all that are too many."""
    shown = [
        dg.AssetObservation(key, description=f"{report.name} {report.does}", metadata=_metadata(report))
        for report in reports[:REPORTS_TOLD]
    ]
    rest = reports[REPORTS_TOLD:]
    if rest:
        names = ", ".join(report.name for report in rest)[:2_000]
        verb = "work again" if rest[0].works else "fail"
        shown.append(
            dg.AssetObservation(key, description=f"{len(rest)} more reports {verb}", metadata={"reports": names})
        )
    return shown


def _metadata(report: Report) -> dict[str, Any]:
    """What the event log keeps of it: not the owner nor the error's text, which the message has."""
    metadata = {
        "report": report.name,
        "report_token": report.token,
        "works": report.works,
        "link": dg.MetadataValue.url(report.address) if report.address else "",
        "last_success": dg.MetadataValue.timestamp(report.last_success) if report.last_success else "",
    }
    if not report.works:
        metadata |= {
            "failing_query": report.query,
            "error_code": report.error_code,
            "failing_since": dg.MetadataValue.timestamp(report.since) if report.since else "",
            "failed_runs": report.failures,
        }
    return {name: value for name, value in metadata.items() if value != ""}
