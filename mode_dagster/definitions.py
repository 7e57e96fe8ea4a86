"""Everything that Dagster loads, and nothing else: `dagster dev -m mode_dagster.definitions`.

Loading needs no credentials and no network.
"""

import dagster as dg

from mode_dagster.assets import build_assets
from mode_dagster.jobs import mode_reconcile, mode_runs_hourly, mode_sync
from mode_dagster.resources import ModeDltResource, WarehouseResource


def build_definitions() -> dg.Definitions:
    """A fresh set of definitions."""
    return dg.Definitions(
        assets=[build_assets()],
        jobs=[mode_sync, mode_runs_hourly, mode_reconcile],
        resources={"dlt": ModeDltResource(), "duckdb": WarehouseResource()},
        # DuckDB has one writer: steps in one process never wait for each other's lock
        executor=dg.in_process_executor,
    )


defs = build_definitions()
