"""The workspace report: one HTML page on the state of a Mode workspace.

Here: the page as an asset; writing the file.
Not here: what it tells (`facts`), drawing (`charts`), the page itself (`page`, page.html).
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from mode_dagster.extract.destination import database_path
from mode_dagster.models.mart import RETRY, mart_spec, model_as_failure
from mode_dagster.resources import WarehouseResource
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report.facts import READS, Facts, read_facts

REPORT = "workspace_report"


def build_workspace_report(workspace: Workspace) -> dg.AssetsDefinition:
    """The asset that writes the page anew."""
    # it reads two words of loaded tables too (name of the workspace, time of the sync), which move with the models
    deps = [workspace.model_key(name) for name in READS]
    spec = mart_spec(workspace, REPORT, "html", deps=deps, description=DESCRIPTION)

    @dg.multi_asset(
        name=spec.key.to_python_identifier(), description=spec.description, specs=[spec], retry_policy=RETRY
    )
    def write(mode_warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        with model_as_failure(), mode_warehouse.open(workspace) as warehouse:
            facts = read_facts(warehouse, workspace)
        return dg.MaterializeResult(metadata=_write(facts, workspace))

    return write


DESCRIPTION = """\
One HTML page on the state of the Mode workspace: runs and failures over time, reports that fail now, late schedules,
slow reports and queries, the hours in which schedules run, reports that nobody uses and what they cost, and the most
used tables.

The file is beside the DuckDB file, or in the current folder. It needs no network and no server: open it, send it, or
put it on any web space. It names reports, their owners and errors: whoever gets it can read those."""


def report_path(workspace: Workspace) -> Path:
    """Where a workspace's page is: beside the DuckDB file; in the current folder where there is none."""
    return Path(database_path()).parent / f"{workspace.named('mode_workspace_report')}.html"


def _write(facts: Facts, workspace: Workspace) -> dict[str, Any]:
    """Draws the page and puts it in its place; gives what the asset's page in Dagster shows."""
    # altair takes a second to load, which only a run should wait for
    from mode_dagster.workspace_report.charts import draw
    from mode_dagster.workspace_report.page import render_page

    charts, path = draw(facts), report_path(workspace)
    page = render_page(facts, charts, workspace.marts, datetime.now(UTC))
    _replace(path, page)
    return {
        "page": dg.MetadataValue.path(str(path)),
        **{f"{name}_chart": dg.MetadataValue.md(chart.image()) for name, chart in charts.items()},
        **_numbers(facts),
        "page_bytes": len(page.encode()),
    }


def _numbers(facts: Facts) -> dict[str, Any]:
    return {
        **({"synced_at": dg.MetadataValue.timestamp(facts.synced_at)} if facts.synced_at else {}),
        "active_reports": facts.active_reports,
        "runs_7d": int(facts.week["runs"]),
        "failed_runs_7d": int(facts.week["failed_runs"]),
        "run_minutes_7d": round(float(facts.week["run_minutes"]), 1),
        "failing_reports": len(facts.failing),
        "late_schedules": len(facts.late),
        "stale_reports": len(facts.stale),
        "stale_run_minutes_30d": round(float(facts.stale_minutes), 1),
    }


def _replace(path: Path, page: str) -> None:
    """Whoever opens the file meanwhile sees the old page or the new one, never a part."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
