"""What a load adds to the page of each asset: numbers, and whether all is there.

Here: from a sync's reports and the loaded tables to Dagster metadata.
Not here: loading (`assets`), what is known before a load (`translator`).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.plan import Plan, PlannedTable
from mode_dagster.extract.sync import Sync
from mode_dagster.translator import documented_columns

FAILED = "failed_tables"
"""Metadata of the ledger: what stopped each table that could not be read in that sync."""


def count_rows(pipeline: Pipeline, tables: list[str]) -> dict[str, int]:
    """How many rows each table has in the destination."""
    counts = {}
    with pipeline.sql_client() as client:
        for table in tables:
            name = client.make_qualified_table_name(table)
            found = client.execute_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of the catalogue
            counts[table] = int(found[0][0]) if found else 0
    return counts


def load_metadata(pipeline: Pipeline, table: str, sync: Sync, row_count: int) -> Mapping[str, Any]:
    """Metadata of one materialization."""
    report = sync.reports[table]
    metadata: dict[str, Any] = {
        "dagster/row_count": row_count,
        "dagster/table_name": f"{pipeline.dataset_name}.{table}",
        "dagster/column_schema": _real_columns(pipeline, table),
        "rows_fetched": report.rows,
        "requests": report.requests,
        "seconds": round(report.seconds, 2),
        "lists_read": report.lists,
        "lists_unchanged": report.unchanged,
        "lists_known_empty": report.empty,
    }
    if sync.plan is not None:
        metadata["plan"] = str(sync.plan)
    if report.counted is not None:
        metadata["rows_by_mode_counter"] = report.counted
        metadata["rows_of_counted_lists"] = report.counted_rows
    if report.missed:
        metadata["rows_missed_before"] = report.missed
    if report.skipped:
        metadata["lists_refused"] = ", ".join(f"{n} x HTTP {status}" for status, n in sorted(report.skipped.items()))
    if report.note:
        metadata["note"] = report.note
    return metadata


def ledger_metadata(pipeline: Pipeline, sync: Sync, row_count: int) -> Mapping[str, Any]:
    """Metadata of the ledger's materialization: the sync as a whole."""
    return {
        "dagster/row_count": row_count,
        "dagster/table_name": f"{pipeline.dataset_name}.{LEDGER}",
        "dagster/column_schema": documented_columns(LEDGER),
        "requests": sync.requests,
        "refused_429": sync.client.refused,
        "plan": str(sync.plan),
        FAILED: {table: str(error) for table, error in sync.failures.items()},
    }


def plan_metadata(plan: Plan, table: PlannedTable) -> Mapping[str, Any]:
    """Metadata of a dry run's observation."""
    return {"plan": str(plan), "lists": table.lists, "lists_due": table.due, "requests_planned": table.requests}


def _real_columns(pipeline: Pipeline, table: str) -> dg.TableSchema:
    """The documented columns and whatever else Mode sent, as they are in the destination."""
    documented = documented_columns(table)
    known = {column.name for column in documented.columns}
    others = [
        dg.TableColumn(name=name, type=str(column.get("data_type")), description="Not documented by Mode.")
        for name, column in pipeline.default_schema.get_table_columns(table).items()
        if name not in known and not name.startswith("_dlt_")
    ]
    return dg.TableSchema(columns=[*documented.columns, *others])
