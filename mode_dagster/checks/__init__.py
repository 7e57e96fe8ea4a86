"""Asset checks of the loaded tables, derived from the catalogue: a new endpoint has them with its row.

Here: one step for each table with all its checks, as Dagster wants them.
Not here: what is checked (the modules of this folder), checks of SQL models (`mode_dagster.models`).

A step for each table and not one for all: a table that is not materialized takes only its own checks along.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mode_dagster.checks.counters import counter_checks
from mode_dagster.checks.lateness import schedule_checks
from mode_dagster.checks.listings import ledger_checks, listing_checks
from mode_dagster.checks.loaded import Check, Finding, Gravity, Loaded
from mode_dagster.checks.recency import recency_checks
from mode_dagster.checks.relations import relation_checks
from mode_dagster.checks.rows import key_check, row_checks
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS
from mode_dagster.extract.ledger import LEDGER, LEDGER_KEY
from mode_dagster.markdown import markdown_table
from mode_dagster.resources import WarehouseResource
from mode_dagster.workspace import Workspace

Clock = Callable[[], datetime]


def checks_of(table: str) -> list[Check]:
    """The checks of a loaded table."""
    if table == LEDGER:
        return [key_check(LEDGER, LEDGER_KEY), *ledger_checks()]
    makers = (row_checks, relation_checks, listing_checks, counter_checks, recency_checks, schedule_checks)
    return [check for make in makers for check in make(BY_NAME[table])]


def build_table_checks(
    workspace: Workspace, clock: Clock = lambda: datetime.now(UTC)
) -> list[dg.AssetChecksDefinition]:
    """The checks of all loaded tables, the ledger's too."""
    return [_step(table, workspace, clock) for table in (*(endpoint.name for endpoint in ENDPOINTS), LEDGER)]


def _step(table: str, workspace: Workspace, clock: Clock) -> dg.AssetChecksDefinition:
    key = workspace.table_key(table)
    checks = {check.name: check for check in checks_of(table)}

    @dg.multi_asset_check(
        name=f"{key.to_python_identifier()}__checks",
        specs=[_spec(check, key) for check in checks.values()],
        can_subset=True,
    )
    def look(
        context: dg.AssetCheckExecutionContext, mode_warehouse: WarehouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = {selected.name for selected in context.selected_asset_check_keys}
        with mode_warehouse.open(workspace) as warehouse:
            loaded = Loaded(warehouse, workspace.dataset, clock())
            found = [(check, check.find(loaded)) for name, check in checks.items() if name in wanted]
        yield from (_result(check, finding, key) for check, finding in found)

    return look


def _spec(check: Check, key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name, asset=key, description=check.description, blocking=check.gravity is Gravity.BLOCKS
    )


def _result(check: Check, finding: Finding, key: dg.AssetKey) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if finding.gravity is Gravity.WARNS else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check.name,
        passed=finding.passed,
        severity=severity,
        description=finding.says,
        metadata=_metadata(finding),
    )


def _metadata(finding: Finding) -> Mapping[str, Any]:
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.timestamp(value) if isinstance(value, datetime) else value
        for name, value in finding.numbers.items()
        if value is not None
    }
    if finding.rows:
        metadata["rows_shown"] = dg.MetadataValue.md(markdown_table(finding.columns, finding.rows))
    return metadata
