"""Which tables and columns Mode's queries read, as assets.

Here: one step that makes three tables of the loaded queries, and the check of how much was understood.
Not here: parsing (`lineage`), the tables' rows (`tables`), the warehouse's tables as assets (`external`), what is asked
of the tables (`models`).

The three tables are made together, because they are three views of the same parsed queries:
- `report_table_references`: a row for a query and a table;
- `report_column_references`: a row for a query, a table and a column;
- `query_parses`: each query with what became of it, and the answers that the next run takes over.
"""

# ruff: noqa: S608 - names are of the catalogue and of `tables`

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mode_dagster.lineage import PARSER_VERSION, Status
from mode_dagster.markdown import markdown_table
from mode_dagster.models.mart import RETRY, mart_spec, model_as_failure
from mode_dagster.references.tables import (
    DESCRIBED,
    DESCRIPTIONS,
    PARSES,
    SOURCES,
    TABLES,
    Answer,
    Query,
    answer_all,
    known_answers,
    loaded_queries,
    write_tables,
)
from mode_dagster.resources import WarehouseResource
from mode_dagster.translator import table_schema
from mode_dagster.warehouse import Warehouse
from mode_dagster.workspace import Workspace

FAILED_SHARE = 0.05
"""The check warns when more of the queries than this could not be parsed."""
SHOWN = 20


def build_references(workspace: Workspace) -> dg.AssetsDefinition:
    """The three tables as assets of one step; whichever is selected, all are made."""

    @dg.multi_asset(
        name=workspace.named("mode_references"),
        specs=[_spec(table, workspace) for table in DESCRIBED],
        can_subset=True,
        retry_policy=RETRY,
    )
    def references(
        context: dg.AssetExecutionContext, mode_warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        began = time.monotonic()
        with model_as_failure(), mode_warehouse.open(workspace) as warehouse:
            queries = loaded_queries(warehouse, workspace)
            known = known_answers(warehouse, workspace, queries)
        context.log.info(f"{len(queries):,} queries; answers are known for {len(known):,} texts")
        # nothing is kept open while texts are parsed
        answers = answer_all(queries, known, datetime.now(UTC))
        with mode_warehouse.open(workspace) as warehouse:
            write_tables(warehouse, workspace, queries, answers)
            numbers = _numbers(queries, known, answers, time.monotonic() - began)
            for table in DESCRIBED:
                if (key := workspace.model_key(table)) in context.selected_asset_keys:
                    metadata = {**numbers, **_table_metadata(warehouse, workspace, table)}
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return references


def build_references_checks(workspace: Workspace) -> list[dg.AssetChecksDefinition]:
    """Whether nearly all queries could be parsed; the others are shown with their reasons."""

    @dg.asset_check(
        asset=workspace.model_key(TABLES),
        name="queries_are_parsed",
        description=f"At most {FAILED_SHARE:.0%} of the queries could not be parsed.",
        retry_policy=RETRY,
    )
    def check(mode_warehouse: WarehouseResource) -> dg.AssetCheckResult:
        parses = f"{workspace.marts}.{PARSES}"
        with mode_warehouse.open(workspace) as warehouse:
            counts = dict(warehouse.query(f"SELECT status, count(*) FROM {parses} GROUP BY status").rows)
            failing = warehouse.query(
                f"SELECT query_token, report_token, dialect, reason FROM {parses} "
                f"WHERE status = 'failed' ORDER BY reason, query_token LIMIT {SHOWN}"
            ).rows
        return _check_result(counts, failing)

    return [check]


def _check_result(counts: Mapping[str, int], failing: Sequence[tuple[Any, ...]]) -> dg.AssetCheckResult:
    with_sql = sum(count for status, count in counts.items() if status != Status.EMPTY)
    share = counts.get(Status.FAILED, 0) / with_sql if with_sql else 0.0
    metadata: dict[str, Any] = {
        "share_failed": round(share, 4),
        **{f"{each}_queries": counts.get(each, 0) for each in Status},
    }
    if failing:
        columns = ["query_token", "report_token", "dialect", "reason"]
        metadata["failed"] = dg.MetadataValue.md(markdown_table(columns, failing))
    says = f"{share:.1%} of {with_sql:,} queries with SQL could not be parsed; what they read is not in the references."
    return dg.AssetCheckResult(
        passed=share <= FAILED_SHARE, severity=dg.AssetCheckSeverity.WARN, description=says, metadata=metadata
    )


def _spec(table: str, workspace: Workspace) -> dg.AssetSpec:
    columns = ((name, kind, meaning) for name, (kind, meaning) in DESCRIBED[table].items())
    return mart_spec(
        workspace,
        table,
        "python",
        deps=[workspace.table_key(source) for source in SOURCES],
        description=DESCRIPTIONS[table],
        metadata={
            "dagster/table_name": f"{workspace.marts}.{table}",
            "dagster/column_schema": table_schema(columns),
        },
        code_version=str(PARSER_VERSION),
    )


def _numbers(
    queries: Sequence[Query], known: Mapping[str, Answer], answers: Mapping[str, Answer], seconds: float
) -> Mapping[str, Any]:
    """What this run did, the same on the page of each of the three."""
    statuses = Counter(answers[query.text_hash].references.status for query in queries)
    with_sql = len(queries) - statuses[Status.EMPTY]
    reused = sum(answers[key] is known.get(key) for key in answers)
    return {
        **{f"{status}_queries": statuses[status] for status in Status},
        "share_parsed": round(statuses[Status.PARSED] / with_sql, 4) if with_sql else 1.0,
        "texts_parsed": len(answers) - reused,
        "texts_unchanged": reused,
        "seconds": round(seconds, 2),
    }


def _table_metadata(warehouse: Warehouse, workspace: Workspace, table: str) -> dict[str, Any]:
    name = f"{workspace.marts}.{table}"
    (count,) = warehouse.query(f"SELECT count(*) FROM {name}").first
    shown = [column for column in DESCRIBED[table] if column not in ("answer", "text_hash")]
    sample = warehouse.query(f"SELECT {', '.join(shown)} FROM {name} LIMIT 5").rows
    return {
        "dagster/row_count": count,
        "dagster/table_name": name,
        "sample": dg.MetadataValue.md(markdown_table(shown, sample)),
    }
