"""What a loaded table holds, for its asset's page: how many rows, and a few of them.

Here: one look at each table after a load.
Not here: what the load did (`materialization`), the tables' shape (`extract.endpoints`).

A sample goes into Dagster's event log, which outlives the rows and is read by more people than the tables. So it has
only columns that are named here, less those that the catalogue calls personal or sensitive. The rows that a check shows
go there too, and keep to `showable`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS
from mode_dagster.warehouse import Warehouse, open_warehouse
from mode_dagster.warehouse.sql import quoted

SAMPLE_ROWS = 5
SAMPLE_COLUMNS = 4
"""As many as the page shows side by side in a window of ordinary width."""
TELLING = (
    *("name", "title", "query_name", "endpoint", "action", "token", "state", "outcome", "rows"),
    *("chart_type", "data_type", "filter_type", "adapter", "database", "frequency", "cron_hour"),
    *("space_type", "group_type", "entity_type", "accessor_type", "member_type", "plan_code", "error_code"),
    *("default_access_level", "member_count", "email_subscriber_count"),
    *("edited_at", "last_run_at", "created_at", "completed_at"),
    *("timestamp", "read_at", "activated_at", "last_day_engaged", "updated_at", "type", "admin", "view_count"),
    *("report_token", "query_token", "schedule_token", "dataset_token", "space_token", "group_token", "member_token"),
)
"""Columns that a sample may show, the most telling first."""
NEWEST = ("completed_at", "timestamp", "edited_at", "created_at", "read_at", "activated_at", "last_day_engaged")
"""What tells the newest rows: the first of these that a table has."""


@dataclass(frozen=True)
class Contents:
    """One look at a table."""

    rows: int
    live: int | None
    """Rows without `deleted_at`; None where the table has no such column."""
    columns: Sequence[str]
    sample: Sequence[Sequence[Any]]
    """The newest live rows, in those columns."""
    described: TTableSchemaColumns
    """All columns, as dlt's schema has them."""


def look_into(pipeline: Pipeline, tables: Collection[str]) -> Mapping[str, Contents]:
    """What each table holds in the destination."""
    schema = pipeline.default_schema  # which dlt reads from a file each time
    with open_warehouse(pipeline) as warehouse:
        found = {}
        for table in tables:
            columns = schema.get_table_columns(table)
            found[table] = _look(warehouse, f"{pipeline.dataset_name}.{table}", columns, shown(table, columns))
    return found


def _look(warehouse: Warehouse, table: str, columns: TTableSchemaColumns, sampled: Sequence[str]) -> Contents:
    is_marked = "deleted_at" in columns
    live = "deleted_at IS NULL" if is_marked else "TRUE"
    newest = next((f"{name} DESC NULLS LAST" for name in NEWEST if name in columns), "1")
    selected = ", ".join(map(quoted, sampled))
    # the names are those of the catalogue
    rows, alive = warehouse.query(f"SELECT count(*), count(*) FILTER (WHERE {live}) FROM {table}").first  # noqa: S608
    sample = warehouse.query(
        f"SELECT {selected} FROM {table} WHERE {live} ORDER BY {newest} LIMIT {SAMPLE_ROWS}"  # noqa: S608
    ).rows
    return Contents(
        rows=rows,
        live=alive if is_marked else None,
        columns=sampled,
        # seconds are more than a page has room for
        sample=[[f"{each:%Y-%m-%d %H:%M}" if isinstance(each, datetime) else each for each in row] for row in sample],
        described=columns,
    )


def shown(table: str, columns: Collection[str]) -> Sequence[str]:
    """Those of a table's columns that a sample shows."""
    may_be_shown = showable(table)
    return [name for name in TELLING if name in columns and name in may_be_shown][:SAMPLE_COLUMNS]


def showable(table: str) -> set[str]:
    """The columns of a table whose values may be in Dagster's event log: documented ones that need not be kept out."""
    if table == LEDGER:
        return {column.name for column in LEDGER_COLUMNS}
    return {column.name for column in BY_NAME[table].all_columns if column.showable}
