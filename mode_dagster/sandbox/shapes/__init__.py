"""How Mode words each record: the fields, links and forms of REST answers, oddities included.

Not here: envelopes and paging (`routes`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.shapes import people, reports, runs, sources
from mode_dagster.sandbox.shapes.wording import Json

SHAPES: Mapping[str, Callable[[Moment, Any], Json]] = {
    "workspaces": sources.workspace,
    "data_sources": sources.data_source,
    "definitions": sources.definition,
    "spaces": reports.space,
    "reports": reports.report,
    "queries": reports.query,
    "charts": reports.chart,
    "report_filters": reports.report_filter,
    "runs": runs.run,
    "query_runs": runs.query_run,
    "report_schedules": runs.schedule,
    "report_subscriptions": runs.subscription,
    "datasets": reports.report,
    "dataset_runs": runs.run,
    "dataset_schedules": runs.schedule,
    "dataset_fields": reports.field,
    "dataset_field_descriptions": reports.field_description,
    "memberships": people.membership,
    "groups": people.group,
    "group_memberships": people.group_membership,
    "space_memberships": people.space_membership,
    "space_permissions": people.space_permission,
    "audit_logs": people.audit_log,
    "users": people.user,
}
"""The wording of each REST list of the catalogue."""
