"""The jobs that people and schedules start.

Here: which assets a job materializes, and what it does otherwise than usual.
Not here: when (schedules), how (`assets`).
"""

import dagster as dg

from mode_dagster.assets import OP, SyncConfig
from mode_dagster.translator import asset_key

mode_sync = dg.define_asset_job(
    "mode_sync",
    selection=dg.AssetSelection.all(),
    description="Everything that changed: every table that Mode can give, and what is computed from them.",
)

mode_runs_hourly = dg.define_asset_job(
    "mode_runs_hourly",
    selection=dg.AssetSelection.assets(*(asset_key(table) for table in ("reports", "runs", "query_runs"))),
    description="New runs: the listing of reports, a page for each report that ran, a request for each finished run.",
)

mode_reconcile = dg.define_asset_job(
    "mode_reconcile",
    selection=dg.AssetSelection.all(),
    config=dg.RunConfig(ops={OP: SyncConfig(reconcile=True)}),
    description="Everything, whether it seems to have changed or not; counts what incremental syncs had missed.",
)
