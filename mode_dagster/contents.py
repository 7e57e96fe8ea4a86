"""What a loaded table holds, for its asset's page: how many rows, and a few of them.

Here: one look at each table after a load.
Not here: what the load did (`materialization`), the tables' shape (`extract.endpoints`).

A sample goes into Dagster's event log, which outlives the rows and is read by more people than the tables. So it has
only columns that are named here: none that tells of a person, and no text of a query or of an error.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlt.pipeline.pipeline import Pipeline

SAMPLE_ROWS = 5
SAMPLE_COLUMNS = 5
SHOWN = (
    *("name", "title", "query_name", "endpoint", "action", "token", "state", "outcome", "http_status", "error_code"),
    *("chart_type", "data_type", "filter_type", "adapter", "database", "frequency", "cron_hour", "time_zone", "rows"),
    *("space_type", "group_type", "entity_type", "accessor_type", "member_type", "plan_code", "member_count"),
    *("email_subscriber_count", "edited_at", "last_run_at", "created_at", "completed_at", "timestamp", "read_at"),
    *("activated_at", "last_day_engaged", "updated_at", "type", "admin", "view_count", "query_count"),
    *("report_token", "query_token", "schedule_token", "dataset_token", "space_token", "group_token", "member_token"),
)
"""Columns that a sample may show, the most telling first."""
NEWEST = ("completed_at", "timestamp", "edited_at", "created_at", "read_at", "activated_at", "last_day_engaged")
"""What tells the newest rows: the first of these that a table has."""
PERSONAL = "email"
"""A table with this column holds people: their names stay out, too."""


@dataclass(frozen=True)
class Contents:
    """One look at a table."""

    rows: int
    live: int
    """Rows without `deleted_at`."""
    columns: Sequence[str]
    sample: Sequence[Sequence[Any]]
    """The newest live rows, in those columns."""


def look_into(pipeline: Pipeline, tables: Collection[str]) -> Mapping[str, Contents]:
    """What each table holds in the destination."""
    with pipeline.sql_client() as client:
        found = {}
        for table in tables:
            columns = list(pipeline.default_schema.get_table_columns(table))
            name = client.make_qualified_table_name(table)
            found[table] = _look(client, name, columns)
    return found


def _look(client: Any, table: str, columns: Collection[str]) -> Contents:
    live = "deleted_at IS NULL" if "deleted_at" in columns else "TRUE"
    newest = next((f"{name} DESC NULLS LAST" for name in NEWEST if name in columns), "1")
    shown = sample_columns(columns)
    selected = ", ".join(client.escape_column_name(name) for name in shown)
    # the names are those of the catalogue
    counts = client.execute_sql(f"SELECT count(*), count(*) FILTER (WHERE {live}) FROM {table}")  # noqa: S608
    rows = client.execute_sql(
        f"SELECT {selected} FROM {table} WHERE {live} ORDER BY {newest} LIMIT {SAMPLE_ROWS}"  # noqa: S608
    )
    return Contents(rows=int(counts[0][0]), live=int(counts[0][1]), columns=shown, sample=rows)


def sample_columns(columns: Collection[str]) -> Sequence[str]:
    """The columns of a table that a sample shows."""
    hidden = {"name"} if PERSONAL in columns else set()
    return [name for name in SHOWN if name in columns and name not in hidden][:SAMPLE_COLUMNS]
