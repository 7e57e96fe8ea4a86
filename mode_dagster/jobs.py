"""The jobs that people and schedules start.

Here: which assets a job materializes, and what it does otherwise than usual.
Not here: when (`schedules`), how (`assets`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import dagster as dg

from mode_dagster.assets import OP, SyncConfig
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.workspace import Workspace

HOURLY_TABLES = ("spaces", "reports", "runs", "query_runs", LEDGER)
"""Collections too, because a new one brings its reports; their listing is asked for anyway to find those."""
RETRY = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)
"""For outages; what trying again can't help (credentials, settings) says so itself and is not tried again."""

Job = Any
"""What `define_asset_job` gives; dagster 1.13 doesn't export its class."""


def build_jobs(
    workspace: Workspace,
    tables: dg.AssetsDefinition,
    models: Sequence[dg.AssetsDefinition] = (),
    retry: dg.RetryPolicy = RETRY,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> Sequence[Job]:
    """The jobs of one workspace.

    Args:
        executor: Where steps are worked; in one process, they never wait for each other's lock of a DuckDB file.
    """
    computed = dg.AssetSelection.assets(*models)
    everything = dg.AssetSelection.assets(tables) | computed
    hourly = dg.AssetSelection.assets(*(workspace.table_key(table) for table in HOURLY_TABLES))
    job = partial(dg.define_asset_job, op_retry_policy=retry, executor_def=executor)
    return [
        job(
            workspace.named("mode_sync"),
            everything,
            description="Everything that changed: every table that Mode can give, and what is computed from them.",
        ),
        job(
            workspace.named("mode_runs_hourly"),
            # with the models that those models read, should they have no table yet
            hourly | ((hourly.downstream() & computed).upstream() & computed),
            description="New runs: the listings of collections and reports, a page for each report that ran, a request "
            "for each finished run, and what is computed from them.",
        ),
        job(
            workspace.named("mode_reconcile"),
            everything,
            config=dg.RunConfig(ops={workspace.named(OP): SyncConfig(reconcile=True)}),
            description="Everything, whether it seems to have changed or not; counts what incremental syncs had "
            "missed.",
        ),
    ]
